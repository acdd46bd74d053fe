"""Random programs as GPU kernels on the machine of fibres, against a fold in order by the NumPy interpreter.

They are not associative: a run of four elements is folded in order, in rows and in columns.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from scans import fixed
from selection import thinned
from shim_driver import Shim, needs_shim

from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.render import gpu
from monoscan.lowering.render.gpu_spec import Body
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.targets.gpu.launch import forward

sys.path.append(str(Path(__file__).parents[1] / "cpu"))
from ir_oracle import fold_in_order
from test_render_fuzz import Generator, typed, values

pytestmark = needs_shim

BODIES = {1: fixed(Body.SHORT, 4, 1, 1, 1), 5: fixed(Body.COLUMNS, 4, 1, 1)}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("seed", thinned(range(100, 140), [100, 101]))
def test_random_programs(seed: int) -> None:
    generator, rng = Generator(seed, ["float32"]), np.random.default_rng(seed)
    program = generator.program()
    leaves = program.elements
    dtypes = tuple(leaf.dtype for leaf in leaves)
    emit = tuple(sorted(generator.random.sample(range(program.arity), k=generator.random.randint(1, program.arity))))
    reverse, inclusive = bool(rng.integers(2)), bool(rng.integers(2))
    known = {"results": tuple(dtypes[i] for i in emit), "emit": emit, "reverse": reverse, "inclusive": inclusive,
             "identity": tuple(True if leaf.dtype == "bool" else 1 for leaf in leaves for _ in range(leaf.lanes))}  # fmt: skip
    kernel, scan = KernelSpec(program, dtypes, **known), AlignedScan(program, **known)
    assert gpu.unsupported(kernel, "metal") is None
    for inner, plan in BODIES.items():
        for n in (1, 4):
            elements = typed([values(rng, (3, n, inner, *leaf.shape), leaf.dtype) for leaf in leaves], leaves)
            captures = typed([values(rng, (3, inner, *c.shape), c.dtype) for c in program.captures], program.captures)
            after, before = fold_in_order(program, elements, captures, None, reverse)
            arrays = [mx.array(x) for x in (*elements, *(np.expand_dims(c, 1) for c in captures))]
            found = forward(Shim(seed), plan, kernel, scan, arrays, 1, 3)
            for leaf, got in zip(emit, found, strict=True):
                want = (after if inclusive else before)[leaf]
                if not inclusive:
                    want = want.copy()
                    want[:, -1 if reverse else 0] = 1
                np.testing.assert_array_equal(np.array(got), want, err_msg=f"{program}")
