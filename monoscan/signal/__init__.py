"""Filters, exponentially weighted and rolling statistics, with the arguments of SciPy and pandas."""

from monoscan.signal.ewm import ewm_mean, ewm_var
from monoscan.signal.filters import lfilter, sosfilt
from monoscan.signal.rolling import rolling_max, rolling_mean, rolling_min, rolling_std, rolling_sum, rolling_var

__all__ = [
    "ewm_mean",
    "ewm_var",
    "lfilter",
    "rolling_max",
    "rolling_mean",
    "rolling_min",
    "rolling_std",
    "rolling_sum",
    "rolling_var",
    "sosfilt",
]
