"""What the GPU targets share: a scan as launches of kernels."""
