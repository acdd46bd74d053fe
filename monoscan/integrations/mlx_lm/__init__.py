"""Models of mlx-lm whose loops over time run in kernels: ``accelerate(model)``, and back by ``restore(model)``."""

from monoscan.integrations.mlx_lm.swap import accelerate, restore

__all__ = ["accelerate", "restore"]
