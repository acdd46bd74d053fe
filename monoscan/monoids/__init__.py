"""What to combine: operators, combinators, and the bases to write new ones."""

from monoscan.monoids import aggregators
from monoscan.monoids import by_name as _by_name
from monoscan.monoids.action import Action
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.arithmetic import Product, Sum
from monoscan.monoids.base import Monoid, Semigroup
from monoscan.monoids.combinators.flagged import Maybe, Segmented
from monoscan.monoids.combinators.order import Dual
from monoscan.monoids.combinators.product import Struct, Tuple
from monoscan.monoids.combinators.semidirect import Semidirect
from monoscan.monoids.combinators.via import Via
from monoscan.monoids.custom import CustomMonoid, CustomSemigroup, monoid
from monoscan.monoids.custom_aggregator import aggregator, join
from monoscan.monoids.facts import Facts
from monoscan.monoids.filtering import KalmanFilter, KalmanSmoother
from monoscan.monoids.geometry import Quaternion, Rigid3
from monoscan.monoids.inputs import fixed, position
from monoscan.monoids.linear import Affine, MatMul, MatrixAffine
from monoscan.monoids.logic import All, Any, Xor
from monoscan.monoids.logspace import LogSumExp, OnlineSoftmax
from monoscan.monoids.order import ArgMax, ArgMin, First, Last, Max, Min, MinMax
from monoscan.monoids.piecewise import MaxPlusAffine, MaxSubarray
from monoscan.monoids.scaled import ScaledMatMul
from monoscan.monoids.semirings import Boolean, Log, MaxPlus, MinPlus, Semiring, SemiringMatMul
from monoscan.monoids.sequences import Bracket, FiniteMap
from monoscan.monoids.statistics import Mean, Moments

__all__ = [
    "Action",
    "Affine",
    "Aggregator",
    "All",
    "Any",
    "ArgMax",
    "ArgMin",
    "Boolean",
    "Bracket",
    "CustomMonoid",
    "CustomSemigroup",
    "Dual",
    "Facts",
    "FiniteMap",
    "First",
    "KalmanFilter",
    "KalmanSmoother",
    "Last",
    "Log",
    "LogSumExp",
    "MatMul",
    "MatrixAffine",
    "Max",
    "MaxPlus",
    "MaxPlusAffine",
    "MaxSubarray",
    "Maybe",
    "Mean",
    "Min",
    "MinMax",
    "MinPlus",
    "Moments",
    "Monoid",
    "OnlineSoftmax",
    "Product",
    "Quaternion",
    "Rigid3",
    "ScaledMatMul",
    "Segmented",
    "Semidirect",
    "Semigroup",
    "Semiring",
    "SemiringMatMul",
    "Struct",
    "Sum",
    "Tuple",
    "Via",
    "Xor",
    "aggregator",
    "aggregators",
    "fixed",
    "join",
    "monoid",
    "position",
]

_by_name.register()
