"""What runs on a machine that has an NVIDIA GPU and Python with NumPy, and maybe nothing else: no MLX, no monoscan."""
