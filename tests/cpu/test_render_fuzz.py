"""Random programs on random strides, against a fold in order by the NumPy interpreter."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from ir_oracle import fold_in_order
from loop_driver import Call, store_dtype
from selection import thinned

from monoscan.lowering.program.ir import Instr, Leaf, Op, Program
from monoscan.lowering.render import KernelSpec, Loop, unsupported

INTS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
FLOATS = ["float32", "float64"]
FLOAT_OPS = [
    Op.ADD, Op.SUB, Op.MUL, Op.MIN, Op.MAX, Op.DIV, Op.SQRT, Op.NEG, Op.ABS, Op.FLOOR, Op.CEIL, Op.ROUND, Op.SIGN,
]  # fmt: skip
INT_OPS = [
    Op.ADD, Op.SUB, Op.MUL, Op.MIN, Op.MAX, Op.NEG, Op.ABS, Op.SIGN, Op.AND, Op.OR, Op.XOR, Op.NOT, Op.SHL, Op.SHR,
    Op.FLOORDIV, Op.REM, Op.POW,
]  # fmt: skip
BOOL_OPS = [
    Op.AND, Op.OR, Op.XOR, Op.NOT, Op.ADD, Op.SUB, Op.MUL, Op.FLOORDIV, Op.REM, Op.POW, Op.ABS, Op.SIGN, Op.MIN, Op.MAX,
]  # fmt: skip
COMPARES = [Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE]
UNARY = {Op.SQRT, Op.NEG, Op.ABS, Op.FLOOR, Op.CEIL, Op.ROUND, Op.SIGN, Op.NOT}


class Generator:
    """Draws programs whose every value is exact or rounded as IEEE says, so that bits can be compared."""

    def __init__(self, seed: int, floats: Sequence[str] = FLOATS) -> None:
        self.random = random.Random(seed)
        self.floats = list(floats)

    def program(self) -> Program:
        rng = self.random
        arity = rng.randint(1, 3)
        pool = rng.sample([*INTS, *self.floats, "float32", "int32", "bool"], k=rng.randint(1, 3))
        leaves = tuple(Leaf(rng.choice(pool), rng.choice([(), (), (2,), (3,), (2, 2), (5,)])) for _ in range(arity))
        captures = tuple(Leaf(rng.choice(pool), rng.choice([(), (2,)])) for _ in range(rng.randint(0, 1)))
        inputs = leaves + leaves + captures
        dtypes = [leaf.dtype for leaf in inputs for _ in range(leaf.lanes)]
        code: list[Instr] = []
        for _ in range(rng.randint(1, 12)):
            instr = self.instruction(dtypes)
            code.append(instr)
            dtypes.append(instr.dtype)
        results = []
        for leaf in leaves:
            for _ in range(leaf.lanes):
                index = rng.randrange(len(dtypes))
                if dtypes[index] != leaf.dtype:
                    code.append(Instr(Op.CAST, (index,), leaf.dtype))
                    dtypes.append(leaf.dtype)
                    index = len(dtypes) - 1
                results.append(index)
        return Program(inputs, leaves, tuple(code), tuple(results), arity)

    def instruction(self, dtypes: list[str]) -> Instr:
        rng = self.random
        a = rng.randrange(len(dtypes))
        dtype = dtypes[a]
        same = [i for i, d in enumerate(dtypes) if d == dtype]
        b = rng.choice(same)
        conditions = [i for i, d in enumerate(dtypes) if d == "bool"]
        choice = rng.random()
        if choice < 0.15:
            return Instr(rng.choice(COMPARES), (a, b), "bool")
        if choice < 0.3 and conditions:
            return Instr(Op.SELECT, (rng.choice(conditions), a, b), dtype)
        if choice < 0.4:
            return Instr(Op.CONST, (), dtype, True if dtype == "bool" else rng.choice([0, 1, 3, 100]))
        if choice < 0.45 and dtype == "int32":
            return Instr(Op.LOOKUP, (a, *rng.choices(same, k=3)), dtype)
        if choice < 0.5:
            return Instr(Op.CAST, (a,), rng.choice([*INTS, *self.floats, "bool"]))
        ops = BOOL_OPS if dtype == "bool" else FLOAT_OPS if dtype in FLOATS else INT_OPS
        op = rng.choice(ops)
        return Instr(op, (a,) if op in UNARY else (a, b), dtype)


def values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Awkward ones among them."""
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(np.uint8)
    if dtype in FLOATS:
        plain = rng.standard_normal(shape).astype(dtype)
        plain[rng.random(shape) < 0.02] = 0.0
        return plain
    info = np.iinfo(dtype)
    plain = rng.integers(max(info.min, -4), 5, shape).astype(dtype)
    plain[rng.random(shape) < 0.05] = rng.choice(np.array([info.min, info.max], dtype))
    return plain


def awkward(rng: np.random.Generator, array: np.ndarray, axes: int) -> np.ndarray:
    """The same shape with gaps, backwards, or broadcast along one of the first axes."""
    how = rng.integers(0, 5)
    if how == 0:
        wide = np.zeros((*array.shape[:1], 2 * array.shape[1], *array.shape[2:]), array.dtype)
        wide[:, ::2] = array
        return wide[:, ::2]
    if how == 1:
        return np.ascontiguousarray(array[:, ::-1])[:, ::-1]
    if how == 2:
        axis = int(rng.integers(0, axes))
        return np.broadcast_to(np.take(array, [0], axis), array.shape)
    if how == 3 and array.ndim == axes + 1:  # one stride between lanes
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -1, 1)), 1, -1)
    return array


def typed(arrays: list[np.ndarray], leaves: tuple[Leaf, ...]) -> list[np.ndarray]:
    """Bools as NumPy knows them."""
    return [a.astype(bool) if leaf.dtype == "bool" else a for a, leaf in zip(arrays, leaves, strict=False)]


def loop_of(kernel: KernelSpec, inner: int, seed: int) -> Loop:
    if seed % 5 == 0:
        return Loop.SEQUENTIAL
    if inner < kernel.width:
        return Loop.ROWS if inner == 1 else Loop.NARROW
    return Loop.SWEEP if seed % 2 else Loop.PANELS


@pytest.mark.sampled(6)
@pytest.mark.long
@pytest.mark.parametrize("seed", thinned(range(60), range(6)))
def test_random_programs(seed: int) -> None:
    generator, rng = Generator(seed), np.random.default_rng(seed)
    program = generator.program()
    arity = program.arity
    dtypes = tuple(leaf.dtype for leaf in program.inputs[:arity])
    emit = tuple(sorted(generator.random.sample(range(arity), k=generator.random.randint(1, arity))))
    inner = int(rng.choice([2, 3, 4, 9, 16, 21]))
    reverse, inclusive = bool(rng.integers(2)), bool(rng.integers(2))
    identity = tuple(True if d == "bool" else 1 for leaf in program.inputs[:arity] for d in [leaf.dtype] * leaf.lanes)
    fixed = KernelSpec(combine=program, elements=dtypes, results=tuple(dtypes[e] for e in emit), emit=emit)
    kernel = KernelSpec(
        combine=program, elements=dtypes, results=fixed.results, emit=emit, reverse=reverse, inclusive=inclusive,
        identity=identity, loop=loop_of(fixed, inner, seed) if loop_of(fixed, inner, seed) is not Loop.NARROW
        else Loop.SEQUENTIAL, vector_bytes=int(rng.choice([16, 32])),
    )  # fmt: skip
    assert unsupported(kernel) is None
    for n in (1, 2, 5, 40):
        elements = [
            awkward(rng, values(rng, (3, n, inner, *leaf.shape), leaf.dtype), 3) for leaf in program.inputs[:arity]
        ]
        captures = [awkward(rng, values(rng, (3, inner, *c.shape), c.dtype), 2) for c in program.captures]
        init = [values(rng, (3, inner, *leaf.shape), leaf.dtype) for leaf in program.inputs[:arity]] if n % 2 else None
        start = None if init is None else typed(init, program.inputs)
        held = typed(captures, program.captures)
        after, before = fold_in_order(program, typed(elements, program.inputs), held, start, reverse, flush=True)
        answer = Call(kernel, elements, captures, init, carry=True).run()
        first = -1 if reverse else 0
        for leaf, got in zip(emit, answer.results, strict=True):
            want = (after if inclusive else before)[leaf].astype(store_dtype(dtypes[leaf]))
            if not inclusive and init is None:
                want = want.copy()
                want[:, first] = 1
            np.testing.assert_array_equal(got, want, err_msg=f"{program}\nn={n} {kernel.loop}")
        for leaf in kernel.carried:
            want = after[leaf][:, 0 if reverse else -1].astype(store_dtype(dtypes[leaf]))
            np.testing.assert_array_equal(answer.carries[leaf], want)
