"""The way of a call that is known: short, and past everything that only a first call needs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import mlx.core as mx
import pytest

import monoscan as ms

PACKAGE = str(Path(ms.__file__).parent)
INLINED = ("<listcomp>", "<genexpr>", "__init__")


def hops(call: Callable[[], Any]) -> list[str]:
    """The functions of the package that a call enters, in order."""
    found: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE) and code.co_name not in INLINED:
            found.append(f"{Path(code.co_filename).relative_to(PACKAGE)}:{code.co_name}")

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return found


def test_a_known_scan_enters_ten_functions_before_its_kernel() -> None:
    a, b = mx.full((4, 16), 0.5), mx.ones((4, 16))
    for _ in range(3):
        mx.eval(ms.scan(ms.Affine(), (a, b), axis=1))
    way = hops(lambda: ms.scan(ms.Affine(), (a, b), axis=1))
    launched = way.index("lowering/targets/cpu/target.py:run")
    assert launched < 10, way
    assert way[launched + 1 :] == ["tree.py:unflatten"]


def test_a_known_call_from_a_state_checks_nothing_again_and_aligns_the_state_alone() -> None:
    a, b, start = mx.full((16, 4), 0.5), mx.ones((16, 4)), mx.ones((4,))
    calls: list[Callable[[], Any]] = [
        lambda: ms.scan(ms.Affine(), (a, b), init=(start, start)),
        lambda: ms.act(ms.Affine(), (a, b), start),
        lambda: ms.loop(_add, b, start),
    ]
    for call in calls:
        for _ in range(3):
            mx.eval(call())
        way = hops(call)
        assert not [step for step in way if step.startswith("scan/leaves.py") or step.endswith((":names", ":align"))], (
            way
        )


def test_a_known_pass_lays_out_no_input_again() -> None:
    x, start = mx.ones((16, 4)), mx.ones((4,))
    aggregator = ms.aggregator(lambda x, c: x * c, ms.Sum(), lambda total, x, c: total - x)
    for state in (None, start):
        for _ in range(3):
            mx.eval(ms.scan(aggregator, (x, ms.fixed(start)), state=state))
        way = hops(lambda state=state: ms.scan(aggregator, (x, ms.fixed(start)), state=state))  # type: ignore[misc]
        assert not [step for step in way if step.endswith((":lay_out", ":analyse", ":_names", ":event_shapes"))], way


def test_an_axis_that_equals_a_known_one_is_looked_at_all_the_same() -> None:
    x, aggregator = mx.ones((3, 4)), ms.Mean().aggregator()
    ms.scan(aggregator, x, axis=1)
    with pytest.raises(ms.ScanError, match="axis must be an int; got True"):
        ms.scan(aggregator, x, axis=True)


def _add(state: mx.array, x: mx.array) -> tuple[mx.array, mx.array]:
    return state + x, state


def test_a_known_gradient_looks_at_no_program() -> None:
    x, y = mx.ones((5, 4, 4)), mx.ones((5, 4))
    grad = mx.grad(lambda x, y: ms.scan(ms.MatrixAffine(), (x, y))[1].sum(), argnums=(0, 1))
    for _ in range(3):
        mx.eval(grad(x, y))
    way = hops(lambda: grad(x, y))
    assert any("gradient/adjoint.py" in step for step in way)
    assert not [step for step in way if step.startswith(("lowering/render", "lowering/trace/combine", "lowering/program"))
                and not step.endswith(("differentiable", ":captures", ":elements", ":results_of"))], way  # fmt: skip
