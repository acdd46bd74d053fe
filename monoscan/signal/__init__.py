"""Filters and exponentially weighted statistics, with the arguments of SciPy and pandas."""

from monoscan.signal.ewm import ewm_mean, ewm_var
from monoscan.signal.filters import lfilter, sosfilt

__all__ = ["ewm_mean", "ewm_var", "lfilter", "sosfilt"]
