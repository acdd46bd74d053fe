"""Operators are values: they are copied and pickled, with MLX's functions in their fields by name."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import attrs
import mlx.core as mx
import mlx.nn as nn
import pytest

import monoscan as ms
from monoscan.monoids import named


def _made() -> dict[str, ms.Semigroup]:
    special = {
        "Moments": ms.Moments(3), "FiniteMap": ms.FiniteMap(4), "SemiringMatMul": ms.SemiringMatMul(ms.Log()),
        "Tuple": ms.Tuple(ms.Min(), ms.Semidirect(ms.Product(), ms.Sum())), "Struct": ms.Struct(a=ms.Mean(), b=ms.Max()),
        "Dual": ms.Dual(ms.Semidirect(ms.Product(), ms.Sum())), "Maybe": ms.Maybe(ms.Last()),
        "Segmented": ms.Segmented(ms.Via(ms.Sum(), mx.negative, mx.negative)),
        "Semidirect": ms.Semidirect(ms.Product(), ms.Sum()), "Via": ms.Via(ms.Product(), mx.exp, mx.array.log),
    }  # fmt: skip
    made = {name: special[name] if name in special else getattr(ms, name)() for name in named.catalogue()}
    made["monoid of a function"] = ms.monoid(mx.add, identity=0, inverse=mx.negative)
    made["monoid of a compiled function"] = ms.monoid(mx.maximum, embed=nn.relu)
    made["event"] = ms.Semidirect(ms.MatMul(), ms.Sum(), mx.matmul, event=(2, 2))
    return made


OPERATORS = _made()
COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {p}": lambda x, p=p: pickle.loads(pickle.dumps(x, p)) for p in range(2, pickle.HIGHEST_PROTOCOL + 1)},
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", OPERATORS)
def test_a_copy_is_equal_and_of_equal_hash(name: str, how: str) -> None:
    operator = OPERATORS[name]
    again = COPIES[how](operator)
    assert type(again) is type(operator)
    assert again == operator
    assert hash(again) == hash(operator)


@pytest.mark.long
def test_a_copy_computes_the_same() -> None:
    elems = (mx.array([0.5, 0.5, 2.0]), mx.array([1.0, 2.0, 3.0]))
    for how in COPIES.values():
        again = how(ms.Semidirect(ms.Product(), ms.Sum()))
        assert ms.scan(again, elems)[1].tolist() == [1.0, 2.0, 2.75]


def test_another_process_reads_it() -> None:
    text = pickle.dumps(ms.Segmented(ms.Semidirect(ms.Product(), ms.Sum()))).hex()
    code = f"import pickle; print(pickle.loads(bytes.fromhex({text!r})).name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Segmented(Semidirect(Product, Sum))"


@attrs.frozen
class Own(ms.Semigroup):
    """Fields of MLX's kinds."""

    function: Any
    dtype: mx.Dtype
    rate: mx.array

    def combine(self, left: Any, right: Any) -> Any:
        return self.function(left, right) * self.rate.astype(self.dtype)


@pytest.mark.parametrize("how", COPIES)
def test_operators_of_ones_own_hold_functions_dtypes_and_arrays(how: str) -> None:
    again = COPIES[how](Own(mx.linalg.inv, mx.bfloat16, mx.array([1.0, 2.0])))
    assert again.function is mx.linalg.inv
    assert again.dtype == mx.bfloat16
    assert again.rate.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("function", [lambda l, r: l + r, mx.compile(lambda l, r: l + r)], ids=["plain", "compiled"])
def test_a_function_without_a_name_is_copied_and_not_pickled(function: Any) -> None:
    operator = ms.Semidirect(ms.Product(), ms.Sum(), function)
    assert copy.deepcopy(operator).act is function
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(operator)
