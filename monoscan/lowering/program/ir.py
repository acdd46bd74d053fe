"""The IR: straight-line scalar programs over a closed set of operations.

A `Program` is what a traced ``combine`` becomes. Values are numbered: the input lanes
come first, in order, then one value per instruction. There is no control flow and there
are no shapes left: a 2 x 2 matrix is four lanes, a complex number two. Everything in the library that needs to
know what an operator does (laws, error bounds, gradients, cost, kernels) interprets this.
"""

from __future__ import annotations

import enum
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from math import prod
from typing import Any

import attrs

Shape = tuple[int, ...]


class Op(enum.Enum):
    """Every scalar operation that a program may contain."""

    CONST = "const"  # param: the value
    CAST = "cast"  # to the instruction's dtype; integers wrap, floats are cut towards zero
    STOP = "stop"  # the value as it is, without its derivative
    SELECT = "select"  # condition, if_true, if_false
    LOOKUP = "lookup"  # index, which tracing keeps inside the table, then the table's lanes in order
    # arithmetic
    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"  # of floats
    FLOORDIV = "floordiv"  # rounds towards -inf, as Python's //
    REM = "rem"  # sign of the divisor, as Python's %
    POW = "pow"
    NEG = "neg"
    ABS = "abs"
    SIGN = "sign"
    MIN = "min"  # NaN wins
    MAX = "max"  # NaN wins
    SQRT = "sqrt"
    RSQRT = "rsqrt"
    # exponentials and logarithms
    EXP = "exp"
    EXPM1 = "expm1"
    LOG = "log"
    LOG2 = "log2"
    LOG10 = "log10"
    LOG1P = "log1p"
    LOGADDEXP = "logaddexp"
    SIGMOID = "sigmoid"
    ERF = "erf"
    ERFINV = "erfinv"
    # trigonometry
    SIN = "sin"
    COS = "cos"
    TAN = "tan"
    ARCSIN = "arcsin"
    ARCCOS = "arccos"
    ARCTAN = "arctan"
    ARCTAN2 = "arctan2"
    SINH = "sinh"
    COSH = "cosh"
    TANH = "tanh"
    # rounding
    FLOOR = "floor"
    CEIL = "ceil"
    ROUND = "round"  # half to even
    # comparison: bool results
    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    # logic (bool) and bits (integers, bool)
    NOT = "not"
    AND = "and"
    OR = "or"
    XOR = "xor"
    SHL = "shl"
    SHR = "shr"


COMPARISONS = frozenset({Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE})
TRANSCENDENTAL = frozenset(
    {
        Op.POW, Op.EXP, Op.EXPM1, Op.LOG, Op.LOG2, Op.LOG10, Op.LOG1P, Op.LOGADDEXP, Op.SIGMOID, Op.ERF, Op.ERFINV, Op.SIN,
        Op.COS, Op.TAN, Op.ARCSIN, Op.ARCCOS, Op.ARCTAN, Op.ARCTAN2, Op.SINH, Op.COSH, Op.TANH,
    }
)  # fmt: skip

MAX_LANES = 64
"""The most lanes that one element may have and still be unrolled."""


@attrs.frozen
class Leaf:
    """The type of one leaf of an element: the dtype's name and the event shape."""

    dtype: str
    shape: tuple[int, ...] = ()

    @property
    def lanes(self) -> int:
        return prod(self.shape)


@attrs.frozen
class Instr:
    """One operation on earlier values; ``dtype`` is that of the result."""

    op: Op
    args: tuple[int, ...]
    dtype: str
    param: Any = None


class Signature(ABC):
    """What a traced function of leaves reads and yields, and what depends on what."""

    inputs: tuple[Leaf, ...]
    outputs: tuple[Leaf, ...]
    arity: int
    rights: int

    @abstractmethod
    def results_of(self, leaf: int) -> object:
        """What an output leaf is: equal where two leaves are the same values."""

    @property
    @abstractmethod
    def depends(self) -> tuple[frozenset[int], ...]:
        """For each output leaf, the input leaves that it reads."""

    @property
    def captures(self) -> tuple[Leaf, ...]:
        """The captured arrays' leaves."""
        return self.inputs[self.arity + self.rights :]

    @property
    def elements(self) -> tuple[Leaf, ...]:
        """The right operand's leaves."""
        return self.inputs[self.arity : self.arity + self.rights]

    @cached_property
    def reads(self) -> tuple[tuple[frozenset[int], frozenset[int]], ...]:
        """For each leaf of a step's result, the leaves of the left and of the right operand that it reads."""
        k = self.arity
        left = (frozenset(i for i in each if i < k) for each in self.depends)
        right = (frozenset(i - k for i in each if k <= i < k + self.rights) for each in self.depends)
        return tuple(zip(left, right, strict=True))

    def carried(self, leaves: Iterable[int], *, parts: bool = False) -> tuple[int, ...]:
        """The leaves that a walk in fold order carries from one step to the next, for the sake of these.

        Args:
            leaves: The leaves that are wanted, which are among them.
            parts: Folds of parts are held, which stand on the right of a ``combine`` too.
        """
        reached = closure([left | right if parts else left for left, right in self.reads])
        return tuple(sorted(frozenset[int]().union(*(reached[leaf] for leaf in leaves))))


@attrs.frozen(cache_hash=True)
class Program(Signature):
    """A traced function of scalars.

    Args:
        inputs: The leaves it reads. For the step of a fold: the left operand's, which is the
            state, the right operand's, then the captured arrays.
        outputs: The leaves it returns.
        code: The instructions. Value ``i`` is input lane ``i`` below ``num_lanes`` and
            the result of ``code[i - num_lanes]`` from there on.
        results: The value of each output lane, in order.
        arity: How many leaves the left operand of a step has, and its result.
        rights: How many the right operand has; of a ``combine`` as many.
    """

    inputs: tuple[Leaf, ...]
    outputs: tuple[Leaf, ...]
    code: tuple[Instr, ...]
    results: tuple[int, ...]
    arity: int
    rights: int = attrs.field(default=attrs.Factory(lambda self: self.arity, takes_self=True))

    @cached_property
    def num_lanes(self) -> int:
        """The number of input lanes, which is the first instruction's value number."""
        return sum(leaf.lanes for leaf in self.inputs)

    @cached_property
    def input_lanes(self) -> tuple[range, ...]:
        """The value numbers of each input leaf's lanes."""
        return tuple(_runs(self.inputs))

    @cached_property
    def output_lanes(self) -> tuple[tuple[int, ...], ...]:
        """The value numbers of each output leaf's lanes."""
        return tuple(tuple(self.results[i] for i in run) for run in _runs(self.outputs))

    def results_of(self, leaf: int) -> object:
        return self.output_lanes[leaf]

    @cached_property
    def dtypes(self) -> tuple[str, ...]:
        """The dtype of every value."""
        lanes = tuple(leaf.dtype for leaf in self.inputs for _ in range(leaf.lanes))
        return lanes + tuple(instr.dtype for instr in self.code)

    @cached_property
    def depends(self) -> tuple[frozenset[int], ...]:
        """For each output leaf, the input leaves that it reads."""
        reads: list[frozenset[int]] = [frozenset({i}) for i, run in enumerate(self.input_lanes) for _ in run]
        for instr in self.code:
            reads.append(frozenset().union(*(reads[a] for a in instr.args)))
        return tuple(frozenset().union(*(reads[v] for v in lanes)) for lanes in self.output_lanes)

    def select(self, leaves: Sequence[int]) -> Program:
        """The program of some of its outputs."""
        outputs = tuple(self.outputs[leaf] for leaf in leaves)
        results = tuple(value for leaf in leaves for value in self.output_lanes[leaf])
        return eliminate_dead_code(attrs.evolve(self, outputs=outputs, results=results))

    def reorder(self, leaves: Sequence[int], arity: int, rights: int | None = None) -> Program:
        """The program with its inputs in this order; what is left out must not be read."""
        lanes = [lane for leaf in leaves for lane in self.input_lanes[leaf]]
        values = [*lanes, *range(self.num_lanes, len(self.dtypes))]
        names = {old: new for new, old in enumerate(values)}
        code = tuple(_rename(instr, names) for instr in self.code)
        inputs = tuple(self.inputs[leaf] for leaf in leaves)
        return Program(
            inputs,
            self.outputs,
            code,
            tuple(names[value] for value in self.results),
            arity,
            arity if rights is None else rights,
        )

    @cached_property
    def digest(self) -> str:
        """A hash of the whole program, stable between processes."""
        return hashlib.sha256(str(self).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        lines = [f"inputs  {_leaves(self.inputs, self.arity, self.rights)}"]
        for number, instr in enumerate(self.code, self.num_lanes):
            args = " ".join(f"%{a}" for a in instr.args)
            param = "" if instr.param is None else f" {instr.param!r}"
            lines.append(f"%{number} = {instr.op.value} {args}{param} : {instr.dtype}".replace("  ", " "))
        results = " ".join(f"%{value}" for value in self.results)
        return "\n".join([*lines, f"outputs {_leaves(self.outputs)} = {results}"])


def _runs(leaves: Iterable[Leaf]) -> Iterator[range]:
    start = 0
    for leaf in leaves:
        yield range(start, start + leaf.lanes)
        start += leaf.lanes


def _leaves(leaves: tuple[Leaf, ...], arity: int = 0, rights: int = 0) -> str:
    text = []
    for i, leaf in enumerate(leaves):
        side = "" if not arity else "left " if i < arity else "right " if i < arity + rights else "capture "
        text.append(f"{side}{leaf.dtype}{list(leaf.shape) if leaf.shape else ''}")
    return ", ".join(text)


def eliminate_dead_code(program: Program) -> Program:
    """The same program without the instructions that no output reads."""
    first = program.num_lanes
    live = set(program.results)
    for number in range(first + len(program.code) - 1, first - 1, -1):
        if number in live:
            live.update(program.code[number - first].args)
    kept = [number for number in range(first, first + len(program.code)) if number in live]
    renamed = {old: new for new, old in enumerate(kept, first)} | {lane: lane for lane in range(first)}
    code = tuple(_rename(program.code[number - first], renamed) for number in kept)
    return attrs.evolve(program, code=code, results=tuple(renamed[v] for v in program.results))


def _rename(instr: Instr, names: dict[int, int]) -> Instr:
    return Instr(instr.op, tuple([names[a] for a in instr.args]), instr.dtype, instr.param)


def closure(reads: Sequence[frozenset[int]]) -> tuple[tuple[int, ...], ...]:
    """What each leaf depends on after any number of combines, itself included."""
    known = [set(direct) | {i} for i, direct in enumerate(reads)]
    while True:
        grown = [set().union(*(known[j] for j in each)) for each in known]
        if grown == known:
            return tuple(tuple(sorted(each)) for each in known)
        known = grown
