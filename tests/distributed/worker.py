"""What a rank of a test does: a function by its name, whose answer it leaves in a file."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import pickle
import runpy
import signal
import sys
import time
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from ranks import SECONDS

faulthandler.dump_traceback_later(SECONDS, exit=True)
mx.set_default_device(mx.cpu)

from cases import CASES  # noqa: E402  # within the bound

import monoscan as ms  # noqa: E402
import monoscan.distributed as md  # noqa: E402
from monoscan.mapped import listed  # noqa: E402
from monoscan.tree import flatten  # noqa: E402

RANK = int(sys.argv[2])
GATHERS: list[int] = []
"""The bytes that this rank sent, one entry for each collective."""
_all_gather = mx.distributed.all_gather


def _counted(x: mx.array, **options: Any) -> mx.array:
    GATHERS.append(x.nbytes)
    return _all_gather(x, **options)


mx.distributed.all_gather = _counted


def arrays(found: Any) -> list[np.ndarray]:
    return [np.array(x) for x in flatten(found)[0]]


def share(whole: Any, lengths: list[int], axis: int = 0) -> Any:
    """This rank's part of what NumPy holds, as a tree of arrays: a lone leaf by itself."""
    lo = sum(lengths[:RANK])
    leaves = [mx.array(np.take(x, range(lo, lo + lengths[RANK]), axis)) for x in whole]
    return leaves[0] if len(leaves) == 1 else tuple(leaves)


def whole(leaves: Any) -> Any:
    made = [mx.array(x) for x in leaves]
    return made[0] if len(made) == 1 else tuple(made)


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


def _calls(kind: str) -> list[Any]:
    """What this rank does of a fault, one call after another; rank 1 is the one that does it."""
    odd, x = RANK == 1, mx.ones((4, 3))

    def total(operator: Any, x: Any = x, **options: Any) -> Any:
        return lambda: md.scan(operator, x, **options)

    def gathered() -> None:
        mx.eval(mx.distributed.all_gather(mx.zeros((1, 4096), mx.uint8)))

    right = total(ms.Sum())
    orders = [total(ms.Sum()), total(ms.Max())]
    return {
        "batch": [total(ms.Sum(), mx.ones((4, 2))) if odd else right],
        "dtype": [total(ms.Sum(), x.astype(mx.int32)) if odd else right],
        "operator": [total(ms.Max()) if odd else right],
        "option": [total(ms.Sum(), reverse=True) if odd else right],
        "init": [total(ms.Sum(), init=mx.array(1.0)) if odd else right],
        "call": [(lambda: md.fold(ms.Sum(), x)) if odd else right],
        "order": orders[::-1] if odd else orders,
        "tree": [total(ms.Affine(), x if odd else (x, x))],
        "option of no sense": [total(ms.Sum(), x, reverse=3) if odd else right],
        "loop": [(lambda: md.loop(lambda s, x: (s, x), x, x[0])) if odd else right],
        "combine": [total(ms.monoid(_raising if odd else mx.add, identity=0, name="adding"))],
        "compile": [(lambda: mx.compile(lambda x: md.scan(ms.Sum(), x))(x)) if odd else right],
        "vmap": [(lambda: mx.vmap(lambda x: md.scan(ms.Sum(), x))(x)) if odd else right],
        "other": [gathered if odd else right, right, right],
    }[kind]


def _raising(left: mx.array, right: mx.array) -> mx.array:
    raise ZeroDivisionError("by nought")


def faults(kinds: list[str]) -> dict[str, Any]:
    """Faults one after another, in one group."""
    return {kind: _faulty(kind) for kind in kinds}


def _faulty(kind: str) -> Any:
    """For each call of a fault the error on this rank and the seconds that it took; then a right call."""
    md.fold(ms.Sum(), mx.ones((2,)))  # ranks have all started
    found = []
    for call in _calls(kind):
        start = time.perf_counter()
        try:
            call()
            said = ""
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        found.append((said, time.perf_counter() - start))
    return found, md.fold(ms.Sum(), mx.ones((2,))).item()


def silent(kind: str, limit: float) -> Any:
    """The errors of two calls, and the seconds of each, where rank 1 does not make the first one."""
    md.fold(ms.Sum(), mx.ones((2,)))
    if RANK == 1:
        if kind == "exits":
            os._exit(3)
        if kind == "stops":
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(60 if kind == "sleeps" else 0)
        return None
    found = []
    for _ in range(2):
        start = time.perf_counter()
        try:
            md.fold(ms.Sum(), mx.ones((2,)), timeout=limit)
        except md.DistributedError as error:
            found.append((str(error), time.perf_counter() - start))
    return found


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
