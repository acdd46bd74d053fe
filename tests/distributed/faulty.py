"""What a rank of a test does wrong."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import mlx.core as mx
from rank import RANK

import monoscan as ms
import monoscan.distributed as md


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
        "time of no sense": [total(ms.Sum(), x, lengths=mx.array([2, 3, 4]), timeout=-1.0 if odd else None)],
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
