"""What a rank of a test does where products of gates overflow, and its tangents."""

from __future__ import annotations

import functools
from typing import Any

import mlx.core as mx
import numpy as np
from rank import GATHERS, RANK, arrays, share

import monoscan as ms
import monoscan.distributed as md


def overflowing(gate: float, lengths: list[int], reverse: bool, alone: bool = False) -> dict[str, Any]:
    """Gates above 1 over states of zero: calls, and gradients of the sum of the ranks' losses; or a recurrence alone."""
    total = sum(lengths)
    b = np.zeros((total, 2), np.float32)
    b[:, 1] = np.arange(total) == (3 if reverse else total - 4)
    a, b = share((np.full((total, 2), gate, np.float32), b), lengths)
    found: dict[str, Any] = {}
    GATHERS.clear()
    h, last = md.linear_recurrence(a, b, reverse=reverse, return_carry=True)
    found["recurrence"] = np.array(h), np.array(last)
    found["gathers"] = len(GATHERS)
    if alone:
        return found
    h, last = md.act(ms.Affine(), (a, b), mx.zeros((2,)), reverse=reverse, return_carry=True)
    found["act"] = np.array(h), np.array(last)
    found["fold"] = np.array(md.fold(ms.Affine(), (a, b), reverse=reverse)[1])
    found["exclusive"] = np.array(md.act(ms.Affine(), (a, b), mx.zeros((2,)), reverse=reverse, inclusive=False))
    quiet = md.act(ms.Affine(), (a, b * 0), mx.zeros((2,)), reverse=reverse)
    found["quiet"] = np.array(quiet)

    first = lengths[-1] - 3 if reverse else 0  # in fold order
    weights = np.zeros((len(b), 2), np.float32)
    if (len(lengths) - 1 if reverse else 0) == RANK:
        weights[first : first + 3] = np.arange(1, 4)[:, None]

    def loss(a: mx.array, b: mx.array, h0: mx.array) -> mx.array:
        h, last = md.act(ms.Affine(), (a, b), h0, reverse=reverse, return_carry=True)
        return (mx.sin(h) * mx.array(weights)).sum() + 0 * last.sum()

    found["gradient"] = arrays(list(mx.grad(loss, (0, 1, 2))(a, b * 0, mx.zeros((2,)))))

    def tangent(b: mx.array, u: mx.array) -> list[mx.array]:
        recurrence = functools.partial(md.linear_recurrence, a, reverse=reverse, return_carry=True)
        return mx.jvp(lambda b: list(recurrence(b)), [b], [u])[1]

    GATHERS.clear()
    found["tangent"] = tuple(arrays(tangent(b * 0, b)))
    found["tangent gathers"] = len(GATHERS)
    found["refused"] = [_refused(lambda: mx.grad(lambda b: tangent(b, b)[0].sum())(b * 0))]
    start = mx.zeros((2,))
    found["refused"].append(_refused(lambda: mx.grad(lambda h: mx.grad(lambda b: loss(a, b, h))(b * 0).sum())(start)))
    return found


def _refused(call: Any) -> str:
    try:
        mx.eval(call())
    except md.DistributedError as error:
        return str(error)
    return ""


def tangents(xs: Any, moved: Any, lengths: list[int], reverse: bool) -> Any:
    """Tangents of this rank's part, of the carry, and a gradient of tangents."""
    elems, along = list(share(xs, lengths)), list(share(moved, lengths))
    start = [mx.ones((3,)), mx.full((3,), 0.5)]

    def scan(a: mx.array, b: mx.array, p: mx.array, q: mx.array) -> list[mx.array]:
        y, carry = md.scan(ms.Affine(), (a, b), init=(p, q), reverse=reverse, return_carry=True)
        return [*y, *carry]

    GATHERS.clear()
    _, pushed = mx.jvp(scan, [*elems, *start], [*along, *start])
    mx.eval(pushed)
    count = len(GATHERS)

    def loss(*inputs: mx.array) -> mx.array:
        return sum(y.sum() for y in mx.jvp(scan, [*inputs, *start], [*along, *start])[1][:2])

    GATHERS.clear()
    twice = mx.grad(lambda a, b: loss(a * 1, mx.exp(mx.log(b + 2)) - 2), (0, 1))(*elems)
    mx.eval(twice)
    return arrays(pushed), arrays(list(twice)), count, len(GATHERS)


def relayed(turns: Any, lengths: list[int], state: np.ndarray, reverse: bool) -> Any:
    """States of matrices, whose products cost more than a few ranks gain, and their derivatives of both orders."""
    (own,), first = [share([turns], lengths)], mx.array(state)
    GATHERS.clear()
    states, last = md.act(ms.MatMul(), own, first, reverse=reverse, return_carry=True)
    mx.eval(states, last)
    sent = list(GATHERS)

    def loss(x: mx.array, s: mx.array) -> mx.array:
        states, last = md.act(ms.MatMul(), x, s, reverse=reverse, return_carry=True)
        return (states**2).sum() + (last**3).sum()

    first_order = mx.grad(loss, (0, 1))(own, first)
    second = mx.grad(lambda x, s: mx.grad(loss)(x, s).sum(), (0, 1))(own, first)
    pushed = mx.jvp(lambda x, s: md.act(ms.MatMul(), x, s, reverse=reverse), [own, first], [own, first])[1]
    return np.array(states), np.array(last), sent, arrays(list(first_order)), arrays(list(second)), np.array(pushed[0])
