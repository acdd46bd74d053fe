"""Sweeps the kernels' float32 functions against float64 and reports their errors in ulps.

Run it as ``python benchmarks/ulp_sweep.py [--step N] [--write docs/accuracy.md]``. A step
of 1 visits all 2**32 inputs. The text that is compiled is the text that kernels contain;
vectors and scalars must give the same bits.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from monoscan.lowering.program.ir import Op
from monoscan.lowering.render.headers import expand
from monoscan.lowering.targets.cpu.registers import vector_bytes

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
CHUNK = 1 << 22


def _sigmoid(x: Doubles) -> Doubles:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


ORACLES: dict[Op, Callable[..., Doubles]] = {
    Op.EXP: np.exp, Op.EXPM1: np.expm1, Op.LOG: np.log, Op.LOG1P: np.log1p, Op.TANH: np.tanh, Op.SIGMOID: _sigmoid,
}  # fmt: skip
BOUNDS = {Op.EXP: 1.1, Op.EXPM1: 2.0, Op.LOG: 1.0, Op.LOG1P: 2.0, Op.TANH: 3.0, Op.SIGMOID: 2.5}
"""What the documentation promises; tests hold the sweep to it."""


@attrs.frozen
class Result:
    """The worst error of one function: where, how large; NaN or infinity in the wrong place is an infinite error."""

    op: Op
    ulps: float
    at: float
    inputs: int


def compile_function(op: Op, folder: Path, flush: bool, item: str = "f32") -> Callable[[Any], Any]:
    """The kernels' own function, as a callable on arrays: vectors, and scalars that must give the same bits."""
    body = f"""\
extern "C" void apply(const {item}* x, {item}* y, ms_int n, bool vectors) {{
  [[maybe_unused]] const arithmetic_mode mode;
  if (vectors) for (ms_int i = 0; i < n; i += W) store_bits(y + i, {op.value}(load_bits<{item}v>(x + i)));
  else for (ms_int i = 0; i < n; ++i) y[i] = {op.value}(x[i]);
}}
"""
    bits = np.uint32 if item == "f32" else np.uint64
    width = vector_bytes() // np.dtype(bits).itemsize
    text = expand(
        f'#define MS_WIDTH {width}\n#define MS_MASK i32\n#define MS_FLUSH {flush:d}\n#include "maths.h"\n{body}'
    )
    path = folder / f"{op.value}.so"
    flags = ["-std=c++17", "-O2", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-shared", "-fPIC"]
    subprocess.run(["c++", *flags, "-x", "c++", "-", "-o", str(path), "-lm"], input=text, text=True, check=True)
    apply = ctypes.CDLL(str(path)).apply

    def run(x: Any, vectors: bool) -> Any:
        y = np.empty_like(x)
        apply(*(a.ctypes.data_as(ctypes.c_void_p) for a in (x, y)), ctypes.c_longlong(x.size), ctypes.c_bool(vectors))
        return y

    def call(x: Any) -> Any:
        padded = np.concatenate([x, np.zeros(-x.size % width, x.dtype)])
        vectors, scalars = (run(padded, kind)[: x.size] for kind in (True, False))
        same = (vectors.view(bits) == scalars.view(bits)) | (np.isnan(vectors) & np.isnan(scalars))
        return np.where(same, vectors, vectors.dtype.type(np.nan))

    return call


def ulp_errors(got: Floats, want: Doubles, flush: bool = False) -> Doubles:
    """|got - want| in units of the spacing of float32 at `want`; 0 where both are the same infinity or NaN.

    If results are flushed, zero is right where the exact one is subnormal.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = want.astype(np.float32)
        magnitude = np.minimum(np.abs(want), float(np.finfo(np.float32).max))
        spacing = np.spacing(magnitude.astype(np.float32)).astype(np.float64)
        error = np.abs(got.astype(np.float64) - want) / spacing
    same = (got == rounded) | (np.isnan(got) & np.isnan(want))
    special = ~np.isfinite(rounded) | ~np.isfinite(got)
    # An overflow that the rounded oracle does not share, or the reverse, may be half an ulp away.
    edge = special & ~np.isnan(got) & ~np.isnan(want) & (np.abs(want) > 3.4028e38) & np.isfinite(want)
    error = np.where(edge & ~same, 1.0, np.where(special, np.where(same, 0.0, np.inf), error))
    flushed = flush & (got == 0) & (np.abs(want) < float(np.finfo(np.float32).tiny))
    return np.where(flushed, 0.0, error)


def chunks(step: int) -> Iterator[Floats]:
    """Every `step`-th bit pattern of float32, and the special values."""
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, 88.72283, 88.72284, 88.37626, -103.97, -87.33655]
    yield np.array(edges, np.float32)
    for start in range(0, 1 << 32, CHUNK * step):
        stop = min(start + CHUNK * step, 1 << 32)
        yield np.arange(start, stop, step, dtype=np.uint64).astype(np.uint32).view(np.float32)


def sweep(op: Op, step: int, flush: bool = True) -> Result:
    """The worst error over every `step`-th input, with subnormal results flushed to zero or kept."""
    worst, at, count = 0.0, 0.0, 0
    with tempfile.TemporaryDirectory() as folder, np.errstate(all="ignore"):
        function = compile_function(op, Path(folder), flush)
        for x in chunks(step):
            error = ulp_errors(function(x), ORACLES[op](x.astype(np.float64)), flush)
            index = int(np.argmax(error))
            count += x.size
            if error[index] > worst:
                worst, at = float(error[index]), float(x[index])
    return Result(op, worst, at, count)


DOUBLES = {Op.EXP: (-746.0, 710.0), Op.LOG: (0.4, 2.1), Op.LOG1P: (-0.9, 1.1), Op.SIGMOID: (-40.0, 40.0)}
"""The functions of float64 that are polynomials too, and where most of their error is."""


def sweep_doubles(op: Op, number: int) -> Result:
    """The worst error over random float64 inputs, all bits and the ordinary range, against extended precision."""
    rng = np.random.default_rng(0)
    every = rng.integers(0, 1 << 64, number, dtype=np.uint64).view(np.float64)
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, 5e-324, -745.2, 709.79, 1e-310, 1e-20]
    x = np.concatenate([every, rng.uniform(*DOUBLES[op], number), edges])
    with tempfile.TemporaryDirectory() as folder, np.errstate(all="ignore"):
        got = compile_function(op, Path(folder), False, "f64")(x)
        exact = ORACLES[op](x.astype(np.longdouble))
        want = exact.astype(np.float64)
        error = np.abs(got - exact) / np.spacing(np.abs(want))
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    error = np.where(same, 0.0, np.where(np.isfinite(want) & np.isfinite(got), error, np.inf))
    return Result(op, float(error.max()), float(x[np.argmax(error)]), x.size)


def table(results: list[Result]) -> str:
    """The results in Markdown."""
    lines = ["| function | largest error, ulp | at | promised |", "|---|---|---|---|"]
    for r in results:
        lines.append(f"| `{r.op.value}` | {r.ulps:.2f} | {r.at:.9g} | {BOUNDS[r.op]} |")
    return "\n".join(lines)


def main() -> int:
    """Prints the table; with --write puts it between the marks of a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=int, default=1009)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    both = [[sweep(op, options.step, flush) for flush in (True, False)] for op in ORACLES]
    text = table([max(pair, key=lambda result: result.ulps) for pair in both])
    print(text)
    if options.write:
        before, rest = options.write.read_text().split("<!-- sweep -->\n", 1)
        after = rest.split("<!-- end -->", 1)[1]
        options.write.write_text(f"{before}<!-- sweep -->\n{text}\n<!-- end -->{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
