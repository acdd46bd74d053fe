"""What a rank of a test does: a function by its name, whose answer it leaves in a file."""

from __future__ import annotations

import contextlib
import io
import pickle
import runpy
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from beside import as_one, slopes_as_one  # noqa: F401  # called by name
from faulty import faults, silent  # noqa: F401
from rank import GATHERS, RANK, arrays, share, whole
from split_cases import CASES
from uneven import disagreeing, ragged  # noqa: F401
from unruly import overflowing, relayed, tangents  # noqa: F401

import monoscan as ms
import monoscan.distributed as md
from monoscan.mapped import listed
from monoscan.tree import flatten


def scans(asked: list[tuple[Any, ...]]) -> list[Any]:
    """Scans of cases: the results and the carry of each."""
    found = []
    for name, xs, lengths, reverse, inclusive, init in asked:
        given = {"reverse": reverse, "inclusive": inclusive, "init": None if init is None else whole(init)}
        y, carry = md.scan(CASES[name].make(), share(xs, lengths), return_carry=True, **given)
        total = md.fold(CASES[name].make(), share(xs, lengths), reverse=reverse, init=given["init"])
        found.append((arrays(y), arrays(carry), arrays(total)))
    return found


def of_nothing() -> Any:
    """The folds of nothing, and the errors of what has no identity."""
    nothing = mx.zeros((0,))
    folds = [md.fold(ms.Sum(), nothing).item(), md.fold(ms.Max(), nothing, init=mx.array(1.5)).item()]
    product = ms.monoid(mx.multiply, name="product")
    return folds, [failing(lambda: md.fold(product, nothing)), failing(lambda: ms.fold(product, nothing))]


def failing(call: Any) -> str:
    try:
        call()
    except ms.ScanError as error:
        return type(error).__name__
    return "nothing"


def acts(name: str, xs: Any, lengths: list[int], reverse: bool, state: np.ndarray) -> Any:
    operator, elems, given = CASES[name].make(), share(xs, lengths), mx.array(state)
    states, last = md.act(operator, elems, given, reverse=reverse, return_carry=True)
    before = md.act(operator, elems, given, reverse=reverse, inclusive=False)
    return np.array(states), np.array(last), np.array(before)


def recurrences(xs: Any, lengths: list[int], reverse: bool, h0: Any) -> Any:
    a, b = share(xs, lengths)
    start = None if h0 is None else mx.array(h0)
    h, last = md.linear_recurrence(a, b, start, reverse=reverse, return_carry=True)
    logged = md.linear_recurrence(mx.full(b.shape, -mx.inf), mx.ones(b.shape), start, reverse=reverse, log_gates=True)
    return np.array(h), np.array(last), np.array(logged)


def collectives() -> dict[str, list[int]]:
    """The bytes of the collectives of each call."""
    found = {}

    def counted(name: str, call: Any) -> None:
        GATHERS.clear()
        mx.eval(call())
        found[name] = list(GATHERS)

    for name, width in (("small", 3), ("large", 1200)):
        x = mx.ones((5, width))
        counted(name, lambda x=x: md.scan(ms.Sum(), x))
        counted(f"{name} gradient", lambda x=x: mx.grad(lambda x: md.scan(ms.Sum(), x).sum())(x))
    counted("fold", lambda: md.fold(ms.Sum(), mx.ones((5,))))
    counted("act", lambda: md.act(ms.Affine(), (mx.ones((5,)), mx.ones((5,))), mx.array(1.0)))
    return found


def gradients(asked: list[tuple[Any, ...]]) -> list[Any]:
    return [_gradients(*each) for each in asked]


def _gradients(name: str, xs: Any, lengths: list[int], reverse: bool, init: Any, weights: Any, twice: Any) -> Any:
    """The gradient of this rank's loss and its second derivative along a direction, of elements, init and scale."""
    ys, carries = weights
    starts = [] if init is None else [mx.array(x) for x in init]
    mine = share(xs, lengths)
    leaves = list(mine) if isinstance(mine, tuple) else [mine]
    number = len(leaves)
    given = [*leaves, *starts, mx.array(0.5)]

    def loss(*inputs: mx.array) -> mx.array:
        def tree(part: Any) -> Any:
            return part[0] if number == 1 else tuple(part)

        y, carry = md.scan(
            CASES[name].scaled(inputs[-1]), tree(inputs[:number]), reverse=reverse, return_carry=True,
            init=tree(inputs[number:-1]) if starts else None,
        )  # fmt: skip
        own = [(y**2 * w).sum() for y, w in zip(flatten(y)[0], flatten(share(ys, lengths))[0], strict=True)]
        return sum(own) + sum((c**2 * mx.array(w[RANK])).sum() for c, w in zip(flatten(carry)[0], carries, strict=True))

    numbers = list(range(len(given)))
    GATHERS.clear()
    first = mx.grad(loss, numbers)(*given)
    mx.eval(first)
    count = len(GATHERS)

    def along(*inputs: mx.array) -> mx.array:
        found = listed(mx.grad(loss, numbers)(*inputs))[:number]
        return sum((d * u).sum() for d, u in zip(found, flatten(share(twice, lengths))[0], strict=True))

    second = mx.grad(along, list(range(number)))(*given)
    return arrays(list(first)), arrays(listed(second)), count


def printing() -> Any:
    """Rank 0 looks at what the others do not look at, and at results in another order."""
    a, b = md.scan(ms.Sum(), mx.ones((2,))), md.scan(ms.Max(), mx.full((2,), RANK + 5.0))
    if RANK == 0:
        print(b, a)
    return np.array(a), np.array(b)


def example(path: str) -> str:
    """What an example prints here."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        runpy.run_path(path, run_name="__main__")
    return printed.getvalue()


def main() -> None:
    folder = Path(sys.argv[1])
    name, given = pickle.loads((folder / "given").read_bytes())
    answer = globals()[name](*given)
    (folder / f"answer{RANK}").write_bytes(pickle.dumps(answer))


if __name__ == "__main__":
    main()
