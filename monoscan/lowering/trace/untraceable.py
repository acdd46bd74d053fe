"""What a trace meets that no program can express."""

from __future__ import annotations


class Untraceable(Exception):
    """The IR cannot express a primitive; the message is the reason that ``explain`` shows."""
