"""What a rank of a test does with lengths, masks and offsets, beside the same call on the whole on one machine."""

from __future__ import annotations

import itertools
from typing import Any

import mlx.core as mx
import numpy as np
from rank import GATHERS, RANK, arrays

import monoscan as ms
import monoscan.distributed as md
from monoscan.mapped import listed
from monoscan.tree import map_leaves

OFFSETS = np.array([0, 3, 3, 4, 9, 11])


def ragged(parts: list[int]) -> list[tuple[str, Any, Any]]:
    """Calls on parts of 12 positions of 2 rows, each beside this rank's slice of the call on the whole."""
    rng, found = np.random.default_rng(11), []
    lo, total = sum(parts[:RANK]), sum(parts)
    mine = slice(lo, lo + parts[RANK])

    def normal(*shape: int) -> mx.array:
        return mx.array(rng.uniform(-0.9, 0.9, shape).astype(np.float32))

    a, b, whole = normal(2, total), normal(2, total), mx.array(rng.integers(-9, 9, (2, total)))
    mask, rows, cut = mx.array(rng.random((2, total)) < 0.7), mx.array([5, 11]), mx.array(OFFSETS)
    each = mx.array(rng.integers(0, 5, (2, 5)))

    def compare(name: str, call: str, operator: Any, elems: Any, *more: Any, **options: Any) -> None:
        own = map_leaves(lambda x: x[:, mine], elems)
        mask = options.pop("mask", None)
        flags = ({}, {}) if mask is None else ({"mask": mask[:, mine]}, {"mask": mask})
        here = getattr(md, call)(operator, own, *more, axis=1, **options, **flags[0])
        right = getattr(ms, call)(operator, elems, *more, axis=1, **options, **flags[1])
        if call == "fold":
            found.append((name, arrays(here), arrays(right)))
            return
        found.append((f"{name}, carry", arrays(here[1]), arrays(right[1])))
        found.append((name, arrays(here[0]), arrays(map_leaves(lambda y: y[:, mine], right[0]))))

    bounds: dict[str, dict[str, Any]] = {
        "lengths": {"lengths": rows}, "mask": {"mask": mask}, "offsets": {"offsets": cut},
        "all": {"lengths": each, "mask": mask, "offsets": cut},
    }  # fmt: skip
    for (name, given), reverse, inclusive in itertools.product(bounds.items(), (False, True), (True, False)):
        options = {**given, "reverse": reverse, "inclusive": inclusive, "return_carry": True}
        said, number = f"{name} {reverse} {inclusive}", 5 if "offsets" in given else None
        ends = (2,) if number is None else (2, number)
        start = normal(*ends), normal(*ends)
        compare(f"integers {said}", "scan", ms.Sum(), whole, **options)
        compare(f"pairs {said}", "scan", ms.Affine(), (a, b), init=start, **options)
        compare(f"states {said}", "act", ms.Affine(), (a, b), start[0], **options)
        compare(f"fold {said}", "fold", ms.Max(), b, reverse=reverse, **given)
    here = md.linear_recurrence(a[:, mine], b[:, mine], axis=1, offsets=cut, return_carry=True)
    right = ms.linear_recurrence(a, b, axis=1, offsets=cut, return_carry=True)
    found.append(("recurrence", arrays(here), arrays((right[0][:, mine], right[1]))))
    weights, start = normal(2, total), normal(2, 5)

    def loss(module: Any, rows: slice) -> Any:
        def slopes(a: mx.array, b: mx.array, h: mx.array) -> mx.array:
            y, last = module.act(
                ms.Affine(), (a, b), h, axis=1, lengths=each, offsets=cut, mask=mask[:, rows], return_carry=True
            )
            share = 1 if module is ms else 1 / len(parts)
            return (mx.sin(y) * weights[:, rows]).sum() + share * (last**2).sum()

        return slopes

    for order in (1, 2):
        twice = (lambda f: f) if order == 1 else (lambda f: lambda *x: sum(d.sum() for d in mx.grad(f, (0, 1))(*x)))
        own = listed(mx.grad(twice(loss(md, mine)), (0, 1, 2))(a[:, mine], b[:, mine], start))
        own[2] = mx.distributed.all_sum(own[2])
        mx.eval(own)
        right = listed(mx.grad(twice(loss(ms, slice(0, total))), (0, 1, 2))(a, b, start))
        found.append(
            (f"gradient of order {order}", arrays(own), arrays([right[0][:, mine], right[1][:, mine], right[2]]))
        )
    GATHERS.clear()
    mx.eval(md.scan(ms.Sum(), whole[:, mine], axis=1, lengths=rows))
    found.append(("gathers", [np.array(len(GATHERS))], [np.array(2)]))
    return found


def disagreeing() -> str:
    """Lengths that are not the same on every rank."""
    try:
        md.scan(ms.Sum(), mx.ones((2, 3)), axis=1, lengths=mx.array([1, RANK]))
    except md.DistributedError as error:
        return str(error)
    return ""
