"""Linear algebra along a sequence: tridiagonal systems, products of many matrices, nonlinear recurrences by Newton's method."""

from monoscan.linalg.newton import deer
from monoscan.linalg.products import scaled_matmul
from monoscan.linalg.tridiagonal import solve_tridiagonal

__all__ = ["deer", "scaled_matmul", "solve_tridiagonal"]
