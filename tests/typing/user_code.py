"""What a user writes, for type checkers: each `assert_type` is what they must infer."""

from __future__ import annotations

from typing import Any, NamedTuple

import mlx.core as mx
from typing_extensions import assert_type

import monoscan as ms


class Point(NamedTuple):
    x: mx.array
    y: mx.array


a, b = mx.ones((8,)), mx.ones((8,))

assert_type(ms.scan(ms.Sum(), a), mx.array)
assert_type(ms.scan(ms.Affine(), (a, b)), tuple[mx.array, mx.array])
assert_type(ms.scan(ms.Tuple(ms.Sum(), ms.Max()), Point(a, b)), Point)
assert_type(ms.scan(ms.Sum(), {"x": a}, axis=0, reverse=True), dict[str, mx.array])
assert_type(ms.scan(ms.Sum(), a, return_carry=True), tuple[mx.array, mx.array])
assert_type(ms.fold(ms.Max(), a, strategy="blelloch"), mx.array)
assert_type(ms.scan(ms.aggregators.Mean(), a), Any)
assert_type(ms.linear_recurrence(a, b), mx.array)
assert_type(ms.linear_recurrence(0.5, b, return_carry=True), tuple[mx.array, mx.array])
assert_type(ms.act(ms.Affine(), (a, b), mx.array(0.0)), mx.array)
assert_type(ms.act(ms.Affine(), (a, b), mx.array(0.0), return_carry=True), tuple[mx.array, mx.array])
assert_type(ms.window(ms.Max(), a, 3), mx.array)
assert_type(ms.associative_scan(mx.add, a), mx.array)


def step(state: mx.array, x: mx.array) -> tuple[mx.array, Point]:
    return state + x, Point(state, x)


assert_type(ms.loop(step, a, mx.array(0.0)), Point)
assert_type(ms.loop(step, a, mx.array(0.0), return_carry=True), tuple[Point, mx.array])


class Compound(ms.Monoid):
    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return left + right + left * right

    def identity(self, like: mx.array) -> mx.array:
        return mx.zeros_like(like)


assert_type(ms.scan(Compound(), a), mx.array)
ms.scan(ms.Sum(), a, strategy="fast")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
ms.fold(ms.Sum(), a, inclusive=False)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
