"""Kernels on the CPU: the bridge into MLX's graph, and the compiler that makes both."""
