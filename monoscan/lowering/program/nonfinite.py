"""What becomes of NaN and infinities in a combine: where a partial fold that overflowed can be seen.

A loop that cuts time combines partial folds, which may overflow where the fold in order does
not. The results are wrong then, and mostly NaN, but not always: a quotient by infinity is zero.
So a lane of an operand is taken to be bad, all others to be anything, and the program is walked:
each output is clean of that lane, or bad for sure, or lost, which is perhaps finite and wrong.
As long as whatever a bad lane touches leaves a bad lane behind, looking at results is enough.

A value is bad in a way that the combine can create from finite ones (a sum may overflow, a
maximum never does) and that is not ordinary: -inf is where the identity of the leaf holds it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

import attrs

from monoscan.cache import PROGRAMS
from monoscan.lowering.program.ir import Instr, Op, Program

NAN, HIGH, LOW = "nan", "inf", "-inf"
EVERY = frozenset({NAN, HIGH, LOW})
FLOATS = frozenset({"float32", "float64"})
MAX_CONDITIONS = 4
"""Selects on up to so many conditions are walked once for each of their outcomes."""

Kinds = frozenset[str]


class Fate(enum.IntEnum):
    """What a value has of the bad lane; the worst operand of a sum decides."""

    CLEAN = 0
    EITHER = 1  # bad, or clean of it: a condition decides that is clean itself
    LOST = 2
    BAD = 3


@attrs.frozen
class Value:
    """The fate of a value, and in which ways it may be bad."""

    fate: Fate = Fate.CLEAN
    kinds: Kinds = frozenset()

    def through(self, kept: dict[str, str]) -> Value:
        """Through a function that makes one kind of another, or of a kind that is not there something finite."""
        if self.fate not in (Fate.BAD, Fate.EITHER):
            return self
        if not self.kinds <= kept.keys():
            return Value(Fate.LOST)
        return Value(self.fate, frozenset(kept[kind] for kind in self.kinds))


@attrs.frozen
class Watch:
    """How a loop sees that a partial fold was bad.

    Args:
        kinds: For each lane of the state the ways in which it may be bad; none: it need not be looked at.
        whole: Some output may be lost, so that all lanes must be looked at, not only those that are wanted.
        lasting: The lanes that are bad for ever once they are, in order too.
    """

    kinds: tuple[Kinds, ...]
    whole: bool
    lasting: tuple[bool, ...]

    @property
    def lanes(self) -> tuple[int, ...]:
        """The lanes that may be bad."""
        return tuple(lane for lane, kinds in enumerate(self.kinds) if kinds)


@PROGRAMS.memoised
def watch(program: Program, ordinary: tuple[Kinds, ...]) -> Watch | None:
    """What to look at; ``None`` if that is not enough.

    Args:
        program: The combine, on all the lanes that partial folds have.
        ordinary: For each lane the infinities that are as good as any value.
    """
    lanes = range(len(program.results))
    kinds = tuple(made - usual for made, usual in zip(_created(program), ordinary, strict=True))
    whole, lasting = False, [True] * len(lanes)
    for lane in lanes:
        for side in (0, 1) if kinds[lane] else ():
            for outputs in _fates(program, side * len(lanes) + lane, kinds[lane]):
                seen = [_seen(value, kinds[i]) for i, value in enumerate(outputs)]
                lost = Fate.LOST in seen
                if lost and Fate.BAD not in seen:
                    return None
                whole |= lost
                lasting[lane] &= side == 1 or (seen[lane] is Fate.BAD and not lost)
    return Watch(kinds, whole, tuple(a and bool(b) for a, b in zip(lasting, kinds, strict=True)))


def _seen(value: Value, kinds: Kinds) -> Fate:
    """The fate of an output, lost too if it may be bad in a way that nobody looks for."""
    return value.fate if value.fate is Fate.CLEAN or value.kinds <= kinds else Fate.LOST


KEPT: dict[Op, dict[str, str]] = {
    **{
        key: {NAN: NAN, HIGH: HIGH, LOW: LOW} for key in (Op.CAST, Op.ADD, Op.SUB, Op.SINH, Op.FLOOR, Op.CEIL, Op.ROUND)
    },
    Op.NEG: {NAN: NAN, HIGH: LOW, LOW: HIGH},
    **{key: {NAN: NAN, HIGH: HIGH, LOW: HIGH} for key in (Op.ABS, Op.COSH)},
    **{key: {NAN: NAN, HIGH: HIGH, LOW: NAN} for key in (Op.SQRT, Op.LOG, Op.LOG2, Op.LOG10, Op.LOG1P)},
    **{key: {NAN: NAN, HIGH: HIGH} for key in (Op.EXP, Op.EXPM1, Op.MAX, Op.LOGADDEXP)},
    Op.MIN: {NAN: NAN, LOW: LOW},
    **{key: {NAN: NAN, HIGH: NAN, LOW: NAN} for key in (Op.SIN, Op.COS, Op.TAN)},
    **{key: {NAN: NAN} for key in (Op.TANH, Op.SIGMOID, Op.ERF, Op.ARCTAN, Op.RSQRT)},
}
"""What a function makes of each kind of bad operand whatever the others are."""


def _fates(program: Program, lane: int, kinds: Kinds) -> Iterator[list[Value]]:
    """What each output has of one bad input lane, for every outcome of the conditions."""
    conditions = sorted({instr.args[0] for instr in program.code if instr.op is Op.SELECT})
    conditions = conditions if len(conditions) <= MAX_CONDITIONS else []
    for outcome in product((True, False), repeat=len(conditions)):
        known = dict(zip(conditions, outcome, strict=True))
        values = [Value()] * program.num_lanes
        values[lane] = Value(Fate.BAD, kinds)
        for instr in program.code:
            values.append(_fate(instr, [values[a] for a in instr.args], known.get(instr.args[0] if instr.args else -1)))
        yield [values[v] for v in program.results]


def _fate(instr: Instr, args: Sequence[Value], outcome: bool | None) -> Value:
    if all(arg.fate is Fate.CLEAN for arg in args):
        return Value()
    if instr.op in (Op.SELECT, Op.LOOKUP):
        chosen = args[1:] if outcome is None or args[0].fate is not Fate.CLEAN else [args[1 if outcome else 2]]
        return _chosen(args[0], chosen)
    if instr.dtype not in FLOATS:
        return Value(Fate.LOST)
    if instr.op in (Op.MUL, Op.DIV):
        args = [attrs.evolve(arg, kinds=EVERY) for arg in args]
        under = instr.op is Op.DIV and args[1].fate is not Fate.CLEAN
        return _worst([args[0], Value(Fate.LOST)] if under else args)
    if instr.op is Op.SUB:
        args = [args[0], args[1].through(KEPT[Op.NEG])]
    return _worst([arg.through(KEPT.get(instr.op, {})) for arg in args])


def _worst(values: Sequence[Value]) -> Value:
    """Of a function that is bad if an operand is; the others may be NaN."""
    fate = max(value.fate for value in values)
    return Value(fate, frozenset({NAN}).union(*(value.kinds for value in values if value.fate is fate)))


def _chosen(condition: Value, branches: Sequence[Value]) -> Value:
    fates = {branch.fate for branch in branches}
    kinds = frozenset[str]().union(*(branch.kinds for branch in branches))
    if len(fates) == 1 and (condition.fate is Fate.CLEAN or Fate.BAD in fates):
        return Value(fates.pop(), kinds)
    lost = condition.fate is not Fate.CLEAN or Fate.LOST in fates
    return Value(Fate.LOST if lost else Fate.EITHER, kinds)


def _created(program: Program) -> list[Kinds]:
    """For each output lane the ways in which it may be bad although the elements are finite."""
    found: list[Kinds] = [frozenset()] * len(program.results)
    while True:
        values = [*found, *found] + [frozenset()] * (program.num_lanes - 2 * len(found))
        for instr in program.code:
            values.append(_makes(instr, [values[a] for a in instr.args]) if instr.dtype in FLOATS else frozenset())
        grown = [values[v] | old for v, old in zip(program.results, found, strict=True)]
        if grown == found:
            return found
        found = grown


def _makes(instr: Instr, args: Sequence[Kinds]) -> Kinds:
    joined = frozenset[str]().union(*args)
    if instr.op is Op.CONST:
        return frozenset({str(float(instr.param))}) & EVERY
    if instr.op is Op.SELECT or instr.op is Op.LOOKUP:
        return frozenset[str]().union(*args[1:])
    if instr.op in (Op.MIN, Op.MAX, Op.LOGADDEXP):
        return joined
    if instr.op in (Op.NEG, Op.ABS, Op.FLOOR, Op.CEIL, Op.ROUND):
        return frozenset(KEPT[instr.op][kind] for kind in joined)
    if instr.op in (Op.TANH, Op.SIGMOID, Op.ERF, Op.ARCTAN):
        return joined & {NAN}
    if instr.op in (Op.SIN, Op.COS):
        return frozenset({NAN}) if joined else frozenset()
    if instr.op is Op.CAST:
        return joined | {HIGH, LOW}
    return EVERY


def infinities(values: Iterable[object]) -> Kinds:
    """The infinities among some constants."""
    return frozenset(str(value) for value in values if isinstance(value, float)) & {HIGH, LOW}
