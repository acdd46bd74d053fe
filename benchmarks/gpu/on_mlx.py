"""Checks and times the kernels as MLX runs them: on Apple GPUs, and on NVIDIA's where MLX is built for them."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import mlx.core as mx
import numpy as np
from attrs import frozen

import monoscan as ms
from benchmarks.gpu.carried import formulas
from benchmarks.gpu.carried.clock import seconds_of
from benchmarks.gpu.carried.report import COPY, Report, Row
from benchmarks.gpu.carried.scans import difference
from benchmarks.gpu.cases import Checked, Timed, leaves_of
from monoscan import tree

Scan = Callable[..., Any]
"""``ms.scan``, by kernels on the GPU."""

LONGEST_LOOP = 512

GPU = mx.gpu
"""Where aggregators run."""


def missing() -> str:
    """Empty if MLX has a GPU here; else what it says."""
    if mx.metal.is_available() or (mx.cuda.is_available() and mx.is_available(mx.gpu)):
        return ""
    return f"MLX {mx.__version__} has no GPU here (neither Metal nor CUDA)"


def on_gpu(operator: Any, elems: Any, axis: int, **options: Any) -> Any:
    """The scan, or the act, that is checked."""
    if options.pop("act", False):
        return ms.act(operator, elems, options.pop("state"), axis, stream=mx.gpu, **options)
    return ms.scan(operator, elems, axis, strategy="kernel", stream=mx.gpu, **options)


def machine() -> dict[str, str]:
    """The GPU, the system and versions."""
    info = mx.device_info()
    card = " ".join(str(info[name]) for name in ("device_name", "name", "architecture") if name in info)
    memory = int(info.get("memory_size", info.get("total_memory", 0)))
    system = platform.mac_ver()[0]
    return {
        "GPU": f"{card or 'unnamed'}, {memory / 2**30:.0f} GiB",
        "system": f"macOS {system}" if system else f"{platform.system()} {platform.release()}",
        "monoscan": ms.__version__,
        "MLX": mx.__version__,
    }


def run(
    checked: Iterable[Checked], timed: Iterable[Timed], told: dict[str, str], scan: Scan = on_gpu, budget: float = 0.3
) -> Report:
    """Checks all cases and what MLX makes of kernels, then times.

    Args:
        checked: What is compared.
        timed: What is compared and timed.
        told: What the report says of the machine.
        scan: What is checked.
        budget: The seconds for which each peer of a case is timed.
    """
    report = Report(told)
    for case in checked:
        _note(report, case.name, lambda case=case: wrong(case, scan))
    for name, check in TRANSFORMED.items():
        _note(report, name, partial(check, scan))
    for case in timed:
        print(case.name, file=sys.stderr, flush=True)
        report.rows.append(_timed(case, scan, report, budget))
    if find_spec("mlx_scan") is None:
        report.notes.append("not there: mlx-scan (not installed)")
    return report


def wrong(case: Checked, scan: Scan) -> str:
    """Empty if a case is right, and so are the bits of a second run; else a sentence."""
    elems = case.elements()
    first, second = (leaves_of(scan(case.made(), elems, case.axis, **case.options(elems)), case.init) for _ in range(2))
    for a, b, expected in zip(first, second, case.expected(elems, in_order=False), strict=True):
        got, again, values = map(_numpy, (a, b, expected))
        found = difference(got, values, values.dtype.kind in "biu", case.tolerance)
        if not found and got.tobytes() != again.tobytes():
            found = "other bits in a second run"
        if found:
            return found
    return ""


def _gradients(scan: Scan, case: Checked, elems: Any) -> list[mx.array]:
    """The cotangents of the elements, for cotangents of the results that are drawn."""
    leaves, structure = tree.flatten(elems)
    random = np.random.default_rng(1)

    def compute(*x: mx.array) -> list[mx.array]:
        return leaves_of(scan(case.made(), tree.unflatten(structure, list(x)), case.axis), False)

    cotangents = [mx.array(random.uniform(-1, 1, y.shape).astype(np.float32)) for y in compute(*leaves)]
    return list(mx.vjp(compute, leaves, cotangents)[1])


def _note(report: Report, name: str, check: Callable[[], str]) -> None:
    """What is wrong with a case; a kernel that MLX refuses is wrong, and the others go on."""
    report.checked += 1
    print(name, file=sys.stderr, flush=True)
    try:
        found = check()
    except (RuntimeError, ValueError, TypeError) as error:
        found = f"{type(error).__name__}: {error}"
    if found:
        report.wrong[name] = found


def _numpy(x: mx.array) -> np.ndarray:
    return np.array(x.astype(mx.float32, stream=mx.cpu) if x.dtype == mx.bfloat16 else x)


# ------------------------------------------------------------------ what MLX makes of kernels
def _compiled(scan: Scan) -> str:
    """A compiled function gives the bits of one that is not."""
    elems = Checked("Affine", (2, 3000), 1).elements()

    def compute(a: mx.array, b: mx.array) -> Any:
        return scan(ms.Affine(), (a * 0.5, b), 1)[1]

    return difference(_numpy(mx.compile(compute)(*elems)), _numpy(compute(*elems)), True, 0)


def _mapped(scan: Scan) -> str:
    """A batch gives what its members give."""
    a, b = Checked("Affine", (6, 3000), 1).elements()
    found = mx.vmap(lambda a, b: scan(ms.Affine(), (a, b), 1)[1])(a.reshape(3, 2, -1), b.reshape(3, 2, -1))
    expected = ms.scan(ms.Affine(), (a, b), 1, stream=mx.cpu)[1]
    return difference(_numpy(found), _numpy(expected), False, 1e-4)


def _mapped_gradients(scan: Scan) -> str:
    """So do its gradients."""
    a, b = Checked("Affine", (6, 300), 1).elements()

    def loss(a: mx.array, b: mx.array) -> mx.array:
        return scan(ms.Affine(), (a, b), 1)[1].sum()

    found = mx.vmap(mx.grad(loss))(a.reshape(3, 2, -1), b.reshape(3, 2, -1))
    expected = mx.grad(lambda a, b: ms.scan(ms.Affine(), (a, b), 1, stream=mx.cpu)[1].sum())(a, b)
    return difference(_numpy(found), _numpy(expected), False, 1e-3)


def _aggregated(_: Scan) -> str:
    """Few rows, and few columns, of an aggregator: in one kernel or in three launches."""
    for shape, axis in (((2, 5000), 1), ((5000, 40), 0)):
        x = mx.array(np.random.default_rng(0).normal(size=shape).astype(np.float32))
        found, expected = (ms.scan(ms.aggregators.Variance(), x, axis, stream=where) for where in (GPU, mx.cpu))
        off = difference(_numpy(found), _numpy(expected), False, 1e-3)
        if off:
            return f"{shape}: {off}"
    return ""


TRANSFORMED: dict[str, Callable[[Scan], str]] = {
    "mx.compile of Affine": _compiled,
    "mx.vmap of Affine": _mapped,
    "mx.vmap of gradients of Affine": _mapped_gradients,
    "an aggregator of few rows": _aggregated,
}


# ------------------------------------------------------------------ times
@frozen
class Peer:
    """What a scan is raced against.

    Args:
        name: Its name.
        compute: From leaves to leaves.
        same: Whether it computes the same.
    """

    name: str
    compute: Callable[..., Any]
    same: bool = True


def peers(case: Timed) -> Iterator[Peer]:
    """A copy, MLX's own cumsum, the array operations of monoscan, mlx-scan and the loop that most models have."""
    combine = formulas.FORMULAS[case.formula]
    one = mx.array(1, mx.float32)
    yield Peer(COPY, lambda *x: tuple(leaf * one for leaf in x), same=False)
    yield Peer("mx.cumsum of a leaf", lambda *x: (mx.cumsum(x[-1], axis=case.axis),), same=False)
    yield Peer(
        "blelloch by monoscan", lambda *x: _leaves(ms.scan(case.operator, _tree(x), case.axis, strategy="blelloch"))
    )
    if case.formula == "affine" and find_spec("mlx_scan") is not None:
        import mlx_scan

        for algorithm in ("hillis_steele", "blelloch"):
            scanned = partial(mlx_scan.associative_scan, combine, axis=case.axis, algorithm=algorithm)
            yield Peer(f"mlx-scan {algorithm}", lambda *x, scanned=scanned: scanned(x))
    if case.formula == "affine" and case.shape[case.axis] <= LONGEST_LOOP:
        yield Peer("Python loop", partial(_loop, case.axis))


def _loop(axis: int, *leaves: mx.array) -> tuple[mx.array, ...]:
    steps = zip(*(mx.split(x, x.shape[axis], axis=axis) for x in leaves), strict=True)
    found = [next(steps)]
    for step in steps:
        found.append(formulas.affine(found[-1], step))
    return tuple(mx.concatenate(list(leaf), axis=axis) for leaf in zip(*found, strict=True))


def _timed(case: Timed, scan: Scan, report: Report, budget: float) -> Row:
    drawn = [formulas.inputs(case.formula, i, list(shape)) for i, shape in enumerate(case.shapes())]
    leaves = [mx.array(x) for x in drawn]
    mx.eval(leaves)
    row = Row(case.name, 2 * sum(x.nbytes for x in drawn), None)
    expected = formulas.reference(case.formula, tuple(drawn), case.axis)
    own = Peer("monoscan", lambda *x: _leaves(scan(case.operator, _tree(x), case.axis)))
    found = _raced(own, leaves, expected, budget)
    report.checked += 1
    if isinstance(found, str):
        report.wrong[case.name] = found
        return row
    row.seconds = found
    for peer in peers(case):
        row.peers[peer.name] = _raced(peer, leaves, expected, budget)
    return row


def _raced(peer: Peer, leaves: list[mx.array], expected: formulas.Leaves, budget: float) -> float | str:
    """The seconds of a call; or what is wrong with it."""
    try:
        found = peer.compute(*leaves)
        for a, b in zip(found if peer.same else (), expected, strict=peer.same):
            off = difference(_numpy(a), b, False, 1e-2)
            if off:
                return f"wrong: {off}"
        return seconds_of(lambda: mx.async_eval(peer.compute(*leaves)), mx.synchronize, budget)
    except (RuntimeError, ValueError, TypeError) as error:
        return f"failed: {type(error).__name__}: {error}".splitlines()[0]


def _tree(leaves: tuple[mx.array, ...]) -> Any:
    return leaves if len(leaves) > 1 else leaves[0]


def _leaves(found: Any) -> tuple[mx.array, ...]:
    return tuple(tree.flatten(found)[0])
