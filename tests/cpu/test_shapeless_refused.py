"""What a shapeless compile refuses, and how a scan knows that it is in one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from bridge_affine import python

import monoscan as ms
from monoscan import errors
from monoscan.lowering.plan import shapeless


def refused(function: Callable[..., Any], *given: mx.array) -> str:
    with pytest.raises(errors.StrategyError, match="shapeless=True") as raised:
        mx.compile(function, shapeless=True)(*given)
    return str(raised.value)


@pytest.mark.parametrize("length", [0, 1, 2, 5])
@pytest.mark.parametrize("strategy", ["blelloch", "hillis_steele", "brent_kung"])
def test_array_operations_are_refused_when_traced(strategy: str, length: int) -> None:
    said = refused(lambda x: ms.scan(ms.Sum(), x, strategy=strategy), mx.ones((length,)))
    assert "array operations hold the sizes of a trace" in said


@pytest.mark.parametrize("length", [1, 5])
def test_what_has_no_kernel_is_refused_when_traced(length: int) -> None:
    inverse = ms.monoid(lambda l, r: mx.linalg.inv(l) @ r, event=2)
    assert "no plan that fits every size" in refused(lambda x: ms.scan(inverse, x), mx.ones((length, 2, 2)))
    assert "are slices" in refused(
        lambda x: ms.scan(ms.Sum(), x, return_carry=True, strategy="native"), mx.ones((length,))
    )


SIZED: list[tuple[str, Callable[..., Any]]] = [
    ("a size", lambda l, r: l + r + l.shape[-1]),
    ("a branch on a size", lambda l, r: l + r if l.shape[-1] < 5 else mx.maximum(l, r)),
    ("a mask of positions", lambda l, r: mx.where(mx.arange(l.shape[-1]) < 1, l + r, mx.maximum(l, r))),
    ("the number of positions", lambda l, r: l + r + l.shape[0]),
    ("a flip along the axis", lambda l, r: mx.maximum(l, r[::-1])),
]


@pytest.mark.parametrize("function", [row[1] for row in SIZED], ids=[row[0] for row in SIZED])
@pytest.mark.parametrize("length", [1, 2, 4])
def test_functions_of_sizes_that_may_change_are_refused_when_traced(function: Callable[..., Any], length: int) -> None:
    assert "no plan that fits every size" in refused(lambda x: ms.associative_scan(function, x), mx.ones((length, 1)))


def test_tangents_and_derivatives_of_gradients_are_refused_when_traced() -> None:
    x = mx.ones((3,))
    refused(lambda x: mx.jvp(lambda y: ms.linear_recurrence(y, y), [x], [x])[1][0], x)
    twice = mx.grad(lambda x: mx.grad(lambda y: (ms.linear_recurrence(y, y) ** 2).sum())(x).sum())
    with pytest.raises(ValueError, match=r"Derivatives of gradients have no place in mx\.compile\(\.\.\., shapeless"):
        mx.compile(twice, shapeless=True)(x)


def test_elements_of_another_shape_or_of_two_lengths_are_refused() -> None:
    run = mx.compile(lambda x: ms.scan(ms.MatMul(), x), shapeless=True)
    assert run(mx.ones((1, 2, 2))).shape == (1, 2, 2)
    with pytest.raises(ValueError, match="MatMul was made for elements of another shape"):
        mx.eval(run(mx.ones((4, 3, 3))))
    pair = mx.compile(lambda a, b: ms.linear_recurrence(a, b), shapeless=True)
    mx.eval(pair(mx.ones((1,)), mx.ones((1,))))
    for n in (1, 4):
        with pytest.raises(ValueError, match="Affine cannot broadcast axis 0"):
            mx.eval(pair(mx.ones((n,)), mx.ones((5,))))


def test_a_shapeless_trace_is_known_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def ask(x: mx.array) -> mx.array:
        seen.append(shapeless.tracing())
        return x * 2

    def asked(wrap: Callable[[Callable[[mx.array], mx.array]], Callable[[mx.array], mx.array]]) -> bool:
        mx.eval(wrap(ask)(mx.ones(3)))
        return seen[-1]

    for loaded in (shapeless.build.load(), None):
        monkeypatch.setattr(shapeless.build.LOADER, "bridge", loaded)
        assert not asked(lambda f: f)
        assert not asked(mx.compile)
        assert not asked(mx.vmap)
        assert asked(lambda f: mx.compile(f, shapeless=True))
        assert asked(lambda f: mx.compile(mx.vmap(f), shapeless=True))
        assert asked(lambda f: mx.compile(mx.grad(lambda x: f(x).sum()), shapeless=True))


def test_other_threads_are_not_in_the_trace() -> None:
    answers: list[bool] = []

    def run(x: mx.array) -> mx.array:
        thread = threading.Thread(target=lambda: answers.append(shapeless.tracing()))
        thread.start()
        thread.join()
        return x + 1

    mx.eval(mx.compile(run, shapeless=True)(mx.ones(3)))
    assert answers == [False]


def test_a_mean_inside_combine_is_a_program_in_a_shapeless_trace_too() -> None:
    def combine(left: mx.array, right: mx.array) -> mx.array:
        return left + right * mx.mean(mx.ones((2,)))

    run = mx.compile(lambda x: ms.scan(ms.monoid(combine), x), shapeless=True)
    for n in (1, 4):
        assert run(mx.ones((n,))).tolist() == list(range(1, n + 1))


def test_without_a_compiler_only_scans_of_mlx_are_left(tmp_path: Path) -> None:
    done = python(
        """
        import mlx.core as mx, monoscan as ms
        mx.eval(mx.compile(lambda x: x + 1, shapeless=True)(mx.ones(3)))
        total = mx.compile(lambda x: (ms.scan(ms.Sum(), x), ms.fold(ms.Sum(), x)), shapeless=True)
        for n in (1, 4):
            print(*(y.tolist() for y in total(mx.ones((n,)))))
        for run in (lambda x: ms.linear_recurrence(x, x), lambda x: ms.scan(ms.Sum(), x, return_carry=True),
                    lambda x: ms.fold(ms.Max(), x)):
            for n in (1, 4):
                try:
                    mx.compile(run, shapeless=True)(mx.ones((n,)))
                except ms.StrategyError as error:
                    print("no plan that fits every size" in str(error))
        """,
        CXX="/nonexistent",
        MONOSCAN_CACHE_DIR=str(tmp_path),
    )
    assert done.stdout.splitlines() == ["[1.0] 1.0", "[1.0, 2.0, 3.0, 4.0] 4.0", *["True"] * 6], done.stderr
