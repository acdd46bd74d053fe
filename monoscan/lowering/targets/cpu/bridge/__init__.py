"""The MLX primitive that runs kernels: C++, built once on the machine, and its types as Python sees them."""
