"""Measured comparisons of monoscan with its peers: `python -m benchmarks --help`."""
