"""What a rank of a test does beside the same call on the whole sequence, on one machine."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
from rank import RANK, arrays

import monoscan as ms
import monoscan.distributed as md
from monoscan.mapped import listed
from monoscan.tree import flatten, map_leaves


def as_one(cut: int) -> list[tuple[str, Any, Any]]:
    """Calls on two parts of a sequence of 7, each beside this rank's slice of the call on the whole."""
    rng, found = np.random.default_rng(5), []
    mine = slice(0, cut) if RANK == 0 else slice(cut, 7)

    def normal(*shape: int, dtype: Any = np.float32) -> np.ndarray:
        return rng.uniform(-0.9, 0.9, shape).astype(dtype)

    def compare(name: str, call: str, operator: Any, elems: Any, *more: Any, axis: int = 0, **options: Any) -> None:
        rank = flatten(elems)[0]
        at = axis % rank[0].ndim
        own = map_leaves(lambda x: x[(slice(None),) * at + (mine,)], elems)
        first = () if operator is None else (operator,)
        given, part = (elems, own) if operator is None else ([elems], [own])
        here = getattr(md, call)(*first, *part, *more, axis=axis, **options)
        whole = getattr(ms, call)(*first, *given, *more, axis=axis, **options)
        if call == "fold":
            found.append((name, arrays(here), arrays(whole)))
            return
        if options.get("return_carry"):
            found.append((f"{name}, carry", arrays(here[1]), arrays(whole[1])))
            here, whole = here[0], whole[0]
        whole = map_leaves(lambda y: y[(slice(None),) * at + (mine,)], whole)
        found.append((name, arrays(here), arrays(whole)))

    a, b = mx.array(normal(2, 7, 3)), mx.array(normal(2, 7, 3))
    compare("axis in the middle", "scan", ms.Affine(), (a, b), axis=1, return_carry=True)
    compare("negative axis, reversed", "scan", ms.Affine(), (a, b), axis=-2, reverse=True, return_carry=True)
    compare("gates of fewer axes", "scan", ms.Affine(), (a[0, :, 0], b.swapaxes(0, 1)), inclusive=False)
    compare("a number as init", "scan", ms.Sum(), b, axis=1, init=2.0, return_carry=True)
    compare("init of more axes", "scan", ms.Max(), b, axis=1, init=mx.zeros((5, 2, 3)), return_carry=True)
    compare("pairs", "scan", ms.Tuple(ms.Sum(), ms.Max()), (a, b), axis=1, return_carry=True)
    compare("indices", "scan", ms.ArgMax(), ms.ArgMax().embed(a[0]), reverse=True, return_carry=True)
    compare("mean", "fold", ms.Mean(), ms.Mean().embed(b.astype(mx.float16)), axis=1)
    compare("truth", "fold", ms.Any(), b > 0.8, axis=1)
    compare("complex", "scan", ms.Affine(), (a + 1j * b, b + 1j * a), axis=1, return_carry=True)
    compare("float64", "scan", ms.Sum(), mx.array(normal(7, dtype=np.float64), mx.float64), return_carry=True)
    compare("halves", "act", ms.Affine(), (a[0].astype(mx.float16), b[0].astype(mx.float16)), return_carry=True)
    compare("bfloat16", "scan", ms.Max(), b.astype(mx.bfloat16), axis=1, return_carry=True)
    compare("begun", "act", ms.Affine(), (a, b), axis=1, reverse=True, return_carry=True)
    compare("left", "act", ms.Dual(ms.MatMul()), mx.array(normal(7, 2, 2)), mx.ones((2,)), reverse=True)
    compare("wide", "act", ms.MatMul(), mx.array(normal(7, 40, 40) / 6), mx.ones((40,)), return_carry=True)
    compare("in order", "scan", ms.Affine(), (a, b), axis=1, strategy="sequential")
    compare("by trees", "scan", ms.Affine(), (a, b), axis=1, strategy="blelloch", inclusive=False)
    compare("recurrence", "linear_recurrence", None, (a, b), mx.ones((3,)), axis=1, return_carry=True, reverse=True)
    compare("segments", "scan", ms.Segmented(ms.Sum()), (mx.array([0, 0, 1, 0, 0, 1, 0]) > 0, b[0]), inclusive=False)
    turn = mx.array(normal(2, 2))
    here = md.act(ms.MatrixAffine(), (ms.fixed(turn), a[0, mine, :2]), mx.ones((2,)))
    found.append(
        (
            "fixed",
            arrays(here),
            arrays(ms.act(ms.MatrixAffine(), (ms.fixed(turn), a[0, :, :2]), mx.ones((2,)))[mine]),
        )
    )
    here = md.linear_recurrence(0.5, b[0, mine], mx.ones((3,)))
    found.append(("one gate", arrays(here), arrays(ms.linear_recurrence(0.5, b[0], mx.ones((3,)))[mine])))
    numbers = normal(7, dtype=np.float64)
    found.append(("NumPy", arrays(md.scan(ms.Sum(), numbers[mine])), arrays(ms.scan(ms.Sum(), numbers)[mine])))
    return found


def slopes_as_one(reverse: bool) -> list[tuple[str, Any, Any]]:
    """Gradients of losses that this rank shares with the other one, each beside those of one machine on the whole."""
    rng, found = np.random.default_rng(6), []
    mine = slice(0, 4) if RANK == 0 else slice(4, 7)

    def normal(*shape: int) -> mx.array:
        return mx.array(rng.uniform(-0.9, 0.9, shape).astype(np.float32))

    def compare(name: str, call: Any, given: list[mx.array], split: int, options: Any) -> None:
        """Of the first ``split`` arrays the gradients of this rank's part, of the others the sums over ranks."""
        weights = normal(7, 4)

        def loss(module: Any, rows: slice) -> Any:
            def total(*xs: mx.array) -> mx.array:
                y = flatten(call(module, xs, options))[0][0].astype(mx.float32)
                return (mx.sin(y) * weights[rows, : y.shape[1]].reshape(-1, y.shape[1], *[1] * (y.ndim - 2))).sum()

            return total

        argnums = list(range(len(given)))
        own = [x[mine] if i < split else x for i, x in enumerate(given)]
        here = listed(mx.grad(loss(md, mine), argnums)(*own))
        here = [*here[:split], *map(mx.distributed.all_sum, here[split:])]
        mx.eval(here)
        right = listed(mx.grad(loss(ms, slice(0, 7)), argnums)(*given))
        found.append((name, arrays(here), arrays([d[mine] if i < split else d for i, d in enumerate(right)])))

    a, b, way = normal(7, 4), normal(7, 4), {"reverse": reverse}
    compare("recurrence", lambda m, x, o: m.linear_recurrence(*x[:2], x[2], **o), [a, b, normal(4)], 2, way)
    compare("no first state", lambda m, x, o: m.linear_recurrence(*x, **o), [a, b], 2, way)
    compare("act", lambda m, x, o: m.act(ms.MatMul(), x[0], x[1], **o), [normal(7, 4, 2, 2), normal(4, 2)], 1, way)
    compare("begun", lambda m, x, o: m.act(ms.Affine(), x, **o)[:, :], [a, b], 2, way)
    compare("halves", lambda m, x, o: m.scan(ms.Sum(), x[0].astype(mx.float16), **o), [a], 1, way)
    compare(
        "wide", lambda m, x, o: m.act(ms.MatMul(), x[0], x[1], **o), [normal(7, 1, 40, 40) / 6, normal(1, 40)], 1, way
    )
    index = mx.arange(28).reshape(7, 4)
    part = {md: index[mine], ms: index}
    compare("indices", lambda m, x, o: m.scan(ms.ArgMax(), (x[0], part[m]), **o), [a], 1, way)
    return found
