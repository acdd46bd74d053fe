"""Sequences as they come: ``lengths``, ``mask`` and ``offsets`` of the public calls."""
