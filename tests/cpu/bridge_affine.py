"""A hand-written affine kernel, its derivative rules and its references, for the bridge's tests.

The state is (A, h): A_t = a_t A_{t-1} and h_t = a_t h_{t-1} + c b_t, with c a captured array
and h of as many lanes as b has.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from monoscan.lowering.targets.cpu import build
from monoscan.lowering.targets.cpu.bridge import protocol
from monoscan.lowering.targets.cpu.kernels import Kernel, compile_kernel

SOURCE = """
#define LANES %d
static ms_int start(const ms_launch* l, const ms_array* x, ms_int row) {
  ms_int at = row %% l->inner * x->inner, rest = row / l->inner;
  for (ms_int d = l->outer_ndim - 1; d >= 0; --d) {
    at += rest %% l->outer_shape[d] * x->outer[d];
    rest /= l->outer_shape[d];
  }
  return at;
}
static float* item(const ms_launch* l, const ms_array* x, ms_int row) { return (float*)x->data + start(l, x, row); }

MS_EXPORT void ms_schedule(const ms_launch* l, ms_schedule* s) {
  ms_int rows = l->outer_size * l->inner;
  s->phases = 2;
  s->tasks[0] = s->tasks[1] = rows;
  s->scratch_bytes = rows * (1 + LANES) * sizeof(float);
}

MS_EXPORT void ms_task(const ms_launch* l, ms_int phase, ms_int row) {
  float* state = (float*)l->scratch + row * (1 + LANES);
  if (phase == 0) {
    state[0] = l->has_init ? *item(l, &l->inits[0], row) : 1;
    for (int i = 0; i < LANES; ++i) {
      state[1 + i] = l->has_init ? item(l, &l->inits[1], row)[i * l->inits[1].lane] : 0;
    }
    return;
  }
  const ms_array *a = &l->inputs[0], *b = &l->inputs[1];
  const float *pa = item(l, a, row), *pb = item(l, b, row), c = *item(l, &l->inputs[2], row);
  ms_array *A = &l->outputs[0], *h = &l->outputs[1];
  float *pA = item(l, A, row), *ph = item(l, h, row);
  for (ms_int t = 0; t < l->n; ++t) {
    float gate = pa[t * a->axis];
    state[0] = gate * state[0];
    for (int i = 0; i < LANES; ++i) {
      state[1 + i] = gate * state[1 + i] + c * pb[t * b->axis + i * b->lane];
      ph[t * h->axis + i * h->lane] = state[1 + i];
    }
    pA[t * A->axis] = state[0];
  }
  if (l->want_carry) {
    *item(l, &l->carries[0], row) = state[0];
    for (int i = 0; i < LANES; ++i) item(l, &l->carries[1], row)[i * l->carries[1].lane] = state[1 + i];
  }
}
"""

ROOT = str(Path(build.__file__).parents[4])

Array = NDArray[np.float64]


@cache
def kernel(lanes: int = 1) -> Kernel:
    return compile_kernel(SOURCE % lanes)


class Rules:
    """Derivatives of the kernel without init and carry, by the kernel itself."""

    def vjp(
        self, primals: list[mx.array], cotangents: list[mx.array], argnums: list[int], outputs: list[mx.array],
        *, axis: int, rank: int,
    ) -> list[mx.array]:  # fmt: skip
        a, b, c = primals
        full = outputs[0].shape
        following = shift(mx.broadcast_to(a, full), axis, -1)
        one = mx.ones([1] * rank)
        p, g = (flip(scan(flip(following, axis), flip(w, axis), one, axis=axis)[1], axis) for w in cotangents)
        da = g * shift(outputs[1], axis, 1) + p * shift(outputs[0], axis, 1, first=1.0)
        grads = [da, c * g, b * g]
        return [unbroadcast(grads[i], primals[i].shape) for i in argnums]

    def jvp(
        self, primals: list[mx.array], tangents: list[mx.array], argnums: list[int], *, axis: int, rank: int
    ) -> list[mx.array]:
        a, b, c = primals
        da, db, dc = (
            tangents[argnums.index(i)] if i in argnums else mx.zeros_like(x) for i, x in enumerate(primals)
        )  # fmt: skip
        A, h = scan(a, b, c, axis=axis)
        one = mx.ones([1] * rank)
        dA = scan(a, da * shift(A, axis, 1, first=1.0), one, axis=axis)[1]
        return [dA, scan(a, da * shift(h, axis, 1) + c * db + dc * b, one, axis=axis)[1]]


def flip(x: mx.array, axis: int) -> mx.array:
    return x[(slice(None),) * axis + (slice(None, None, -1),)]


def shift(x: mx.array, axis: int, by: int, first: float = 0.0) -> mx.array:
    edge = mx.full([1 if d == axis else size for d, size in enumerate(x.shape)], first)
    before = (slice(None),) * axis
    parts = [edge, x[(*before, slice(None, -1))]] if by > 0 else [x[(*before, slice(1, None))], edge]
    return mx.concatenate(parts, axis=axis)


def unbroadcast(x: mx.array, shape: tuple[int, ...]) -> mx.array:
    axes = [d for d, size in enumerate(shape) if size == 1]
    return x.sum(axes, keepdims=True) if axes else x


@cache
def launch(
    axis: int, rank: int, lanes: int = 1, inits: bool = False, carry: bool = False, donors: tuple[int, ...] = (),
    rules: bool = True,
) -> protocol.Launch:  # fmt: skip
    code = kernel(lanes)
    event = () if lanes == 1 else (lanes,)
    leaves = [(mx.float32, ()), (mx.float32, event)]
    events = [(), event, ()] + ([(), event] if inits else [])
    return build.load().Launch(
        "Affine", schedule=code.schedule, task=code.task, axis=axis, rank=rank, elements=2, captures=1,
        inits=2 if inits else 0, whole=False, events=events, outputs=leaves, carries=leaves if carry else [],
        donors=donors, rules=Rules() if rules else None,
    )  # fmt: skip


def scan(a: mx.array, b: mx.array, c: mx.array, *, axis: int = 0) -> list[mx.array]:
    return launch(axis, a.ndim)([a, b, c])


def loop(a: mx.array, b: mx.array, c: mx.array, *, axis: int = 0) -> list[mx.array]:
    """The same in MLX operations, for derivatives."""
    shape = np.broadcast_shapes(a.shape, b.shape, c.shape)
    # Split, because indexing has no forward derivative of its reverse one in MLX.
    steps = (mx.split(mx.broadcast_to(x, shape), shape[axis], axis) for x in (a, b, c))
    A: list[mx.array] = []
    h: list[mx.array] = []
    for gate, value, scale in zip(*steps, strict=True):
        A.append(gate * A[-1] if A else gate)
        h.append(gate * h[-1] + scale * value if h else scale * value)
    return [mx.concatenate(x, axis) for x in (A, h)]


def fold(arrays: Sequence[Any], axis: int, lanes: int = 1) -> list[Array]:
    """The same in float64: outputs, then carries."""
    a, b, c, *inits = (np.asarray(x, dtype=np.float64) for x in arrays)
    if lanes > 1:
        a, c = a[..., None], c[..., None]
        inits = [inits[0][..., None], inits[1]] if inits else []
    shape = np.broadcast_shapes(*(x.shape for x in (a, b, c, *inits)))
    a, b, c = (np.moveaxis(np.broadcast_to(x, shape), axis, 0) for x in (a, b, c))
    rest = a.shape[1:]
    state = (
        [np.broadcast_to(np.moveaxis(x, axis, 0)[0], rest) for x in inits] if inits else [np.ones(rest), np.zeros(rest)]
    )
    outputs: list[list[Array]] = [[], []]
    for t in range(a.shape[0]):
        state = [a[t] * state[0], a[t] * state[1] + c[t] * b[t]]
        outputs[0].append(state[0])
        outputs[1].append(state[1])
    full = [np.moveaxis(np.stack(x), 0, axis) for x in outputs] + state
    return [x[..., 0] if lanes > 1 and i % 2 == 0 else x for i, x in enumerate(full)]


def python(code: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh process; None removes a variable."""
    settings = {**os.environ, "PYTHONPATH": ROOT, **environment}
    kept = {name: value for name, value in settings.items() if value is not None}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, env=kept, capture_output=True, text=True, timeout=120, check=False)
