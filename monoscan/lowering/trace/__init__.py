"""From a Python ``combine`` to a program: what it reads, what it does."""
