"""Kernels on a GPU: are they right, and how long do they take? ``python -m benchmarks.gpu --help``."""
