"""Gradients and tangents of a scan, from the derivatives of its program."""
