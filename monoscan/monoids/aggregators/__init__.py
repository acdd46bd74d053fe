"""Aggregators ready for use, named as in Algebird and pandas: each goes where `scan` and `fold` take an operator."""

from monoscan.monoids.aggregators.spread import Kurtosis, Mean, Moments, Skewness, Std, Variance
from monoscan.monoids.aggregators.totals import (
    All,
    Any,
    ArgMax,
    ArgMin,
    Count,
    First,
    Last,
    LogSumExp,
    Max,
    Min,
    MinMax,
    Product,
    Sum,
)
from monoscan.monoids.aggregators.weighted import EMA, Attention, SelectiveScan

__all__ = [
    "EMA",
    "All",
    "Any",
    "ArgMax",
    "ArgMin",
    "Attention",
    "Count",
    "First",
    "Kurtosis",
    "Last",
    "LogSumExp",
    "Max",
    "Mean",
    "Min",
    "MinMax",
    "Moments",
    "Product",
    "SelectiveScan",
    "Skewness",
    "Std",
    "Sum",
    "Variance",
]


def __dir__() -> list[str]:
    return __all__
