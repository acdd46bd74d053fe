"""Programs written by hand: the operators that the loops are tested with."""

from __future__ import annotations

import attrs

from monoscan.lowering.program.ir import Instr, Leaf, Op, Program


@attrs.define
class Builder:
    """Collects instructions."""

    leaves: tuple[Leaf, ...]
    captures: tuple[Leaf, ...] = ()
    code: list[Instr] = attrs.field(factory=list)

    def __call__(self, op: Op, *args: int, dtype: str = "float32", param: object = None) -> int:
        self.code.append(Instr(op, args, dtype, param))
        return sum(leaf.lanes for leaf in (*self.leaves, *self.leaves, *self.captures)) + len(self.code) - 1

    def done(self, *results: int) -> Program:
        inputs = (*self.leaves, *self.leaves, *self.captures)
        return Program(inputs, self.leaves, tuple(self.code), results, len(self.leaves))


def affine(dtype: str = "float32") -> Program:
    b = Builder((Leaf(dtype), Leaf(dtype)))
    gate = b(Op.MUL, 2, 0, dtype=dtype)
    return b.done(gate, b(Op.ADD, b(Op.MUL, 2, 1, dtype=dtype), 3, dtype=dtype))


def scaled_affine() -> Program:
    """Affine with a captured pair: a factor and a shift for every step."""
    b = Builder((Leaf("float32"), Leaf("float32")), (Leaf("float32", (2,)),))
    gate = b(Op.MUL, b(Op.MUL, 2, 0), 4)
    return b.done(gate, b(Op.ADD, b(Op.ADD, b(Op.MUL, 2, 1), 3), 5))


def matmul(size: int, dtype: str = "float32") -> Program:
    b = Builder((Leaf(dtype, (size, size)),))
    results = []
    for i in range(size):
        for j in range(size):
            terms = [b(Op.MUL, i * size + k, size * size + k * size + j, dtype=dtype) for k in range(size)]
            total = terms[0]
            for term in terms[1:]:
                total = b(Op.ADD, total, term, dtype=dtype)
            results.append(total)
    return b.done(*results)


def addition(lanes: int, dtype: str) -> Program:
    b = Builder((Leaf(dtype, (lanes,)),))
    return b.done(*[b(Op.ADD, i, lanes + i, dtype=dtype) for i in range(lanes)])


def online_softmax() -> Program:
    b = Builder((Leaf("float32"), Leaf("float32")))
    high = b(Op.MAX, 0, 2)
    empty = b(Op.EQ, high, b(Op.CONST, param=float("-inf")), dtype="bool")
    base = b(Op.SELECT, empty, b(Op.CONST, param=0.0), high)
    left = b(Op.MUL, 1, b(Op.EXP, b(Op.SUB, 0, base)))
    return b.done(high, b(Op.ADD, left, b(Op.MUL, 3, b(Op.EXP, b(Op.SUB, 2, base)))))


def max_subarray() -> Program:
    b = Builder((Leaf("float32"),) * 4)
    total, prefix = b(Op.ADD, 0, 4), b(Op.MAX, 1, b(Op.ADD, 0, 5))
    suffix = b(Op.MAX, 6, b(Op.ADD, 2, 4))
    return b.done(total, prefix, suffix, b(Op.MAX, b(Op.MAX, 3, 7), b(Op.ADD, 2, 5)))


def arg_max() -> Program:
    """NaN wins, then the larger value, then the lower index."""
    b = Builder((Leaf("float32"), Leaf("int32")))
    left, right = b(Op.NE, 0, 0, dtype="bool"), b(Op.NE, 2, 2, dtype="bool")
    both = b(Op.OR, b(Op.EQ, 0, 2, dtype="bool"), b(Op.AND, left, right, dtype="bool"), dtype="bool")
    first = b(Op.AND, both, b(Op.LT, 1, 3, dtype="bool"), dtype="bool")
    alone = b(Op.AND, left, b(Op.NOT, right, dtype="bool"), dtype="bool")
    wins = b(Op.OR, b(Op.OR, alone, first, dtype="bool"), b(Op.GT, 0, 2, dtype="bool"), dtype="bool")
    return b.done(b(Op.SELECT, wins, 0, 2), b(Op.SELECT, wins, 1, 3, dtype="int32"))


def moments() -> Program:
    b = Builder((Leaf("float32"),) * 3)
    count, delta = b(Op.ADD, 0, 3), b(Op.SUB, 4, 1)
    empty = b(Op.EQ, count, b(Op.CONST, param=0.0), dtype="bool")
    share = b(Op.DIV, 3, b(Op.SELECT, empty, b(Op.CONST, param=1.0), count))
    spread = b(Op.MUL, b(Op.MUL, delta, delta), b(Op.MUL, 0, share))
    return b.done(count, b(Op.ADD, 1, b(Op.MUL, delta, share)), b(Op.ADD, b(Op.ADD, 2, 5), spread))


def finite_map(states: int) -> Program:
    """Composition of maps: the left one first."""
    b = Builder((Leaf("int32", (states,)),))
    table = range(states, 2 * states)
    return b.done(*[b(Op.LOOKUP, i, *table, dtype="int32") for i in range(states)])


def segmented_sum(dtype: str = "float32") -> Program:
    """(flag, value): a flag starts afresh."""
    b = Builder((Leaf("bool"), Leaf(dtype)))
    flag = b(Op.OR, 0, 2, dtype="bool")
    return b.done(flag, b(Op.SELECT, 2, 3, b(Op.ADD, 1, 3, dtype=dtype), dtype=dtype))
