"""The derivative of array programs in reverse, as array programs: a rule for each form, and the scalar rules for operations.

A view hands its cotangent back to the lanes that it read, summed over the axes along which it was broadcast. A
contraction's cotangents are contractions. What was not chosen gets an exact zero, as in `derivative`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import attrs
import numpy as np

from monoscan import dtypes
from monoscan.lowering.program.array_builder import ArrayBuilder
from monoscan.lowering.program.arrays import ArrayInstr, ArrayProgram, Form, View
from monoscan.lowering.program.builder import Ids
from monoscan.lowering.program.derivative import differentiable
from monoscan.lowering.program.derivative_rules import CHOICES, ROUTES, RULES, Term
from monoscan.lowering.program.ir import Op, Shape

SUMS = {(Op.ADD, None), (Op.ADD, Op.MUL), (Op.LOGADDEXP, None), (Op.LOGADDEXP, Op.ADD)}
EXTREMES = (Op.MAX, Op.MIN)
"""What may combine many lanes and has a rule."""

HELD = 1 << 17
"""Of so many terms of log sums the shares are held. Told anew for each operand they take 1.3 to 1.8 times as long, for
their exponentials are found twice; of twice as many a kernel would not hold them (measured with matrices of 16 to 64)."""

NOTHING = -1
"""In place of a lane: no cotangent reaches it."""


class NoRule(Exception):
    """An array program has no derivative here; the message says of what."""


@attrs.frozen(eq=False)
class ArrayTerm(Term):
    """Lanes under construction, with Python's arithmetic: what the rules are applied to."""

    builder: Any
    number: Any

    @property
    def dtype(self) -> str:
        return cast(str, self.builder.dtype_of(int(self.number.flat[0])))

    def const(self, value: float | complex) -> Term:
        return ArrayTerm(self.builder, np.array(self.builder.const(value, self.dtype)))

    def apply(self, op: Op, *others: Term | float, dtype: str | None = None) -> Term:
        terms = [other if isinstance(other, Term) else self.const(other) for other in others]
        arrays = [self.number, *(term.number for term in terms)]
        return ArrayTerm(self.builder, self.builder.elementwise(op, arrays, dtype or self.dtype))

    @property
    def known(self) -> Any:
        return self.builder.value_of(int(self.number)) if self.number.ndim == 0 else None

    def where(self, if_true: Term, if_false: Term) -> Term:
        arrays = [self.number, if_true.number, if_false.number]
        return ArrayTerm(self.builder, self.builder.elementwise(Op.SELECT, arrays, if_true.dtype))


def has_rules(program: ArrayProgram) -> bool:
    """Whether there is a rule for each of its instructions."""
    return all(
        instr.form in (Form.EACH, Form.VIEW) or (instr.op, instr.multiply) in SUMS or instr.op in EXTREMES
        or instr.dtype not in dtypes.FLOATS
        for instr in program.code
    )  # fmt: skip


def reverse_arrays(program: ArrayProgram, live: tuple[int, ...]) -> ArrayProgram:
    """The cotangents of the operands of a ``combine``; reads and yields what `derivative.reverse` does.

    Raises:
        NoRule: There is no rule for one of its instructions.
    """
    left = live if program.arity else ()  # what begins a state reads none
    wanted = (*left, *(i for i in differentiable(program.inputs) if i >= program.arity))
    return _Reverse(program, live).run(wanted)


class _Reverse:
    def __init__(self, program: ArrayProgram, given: tuple[int, ...]) -> None:
        self.program = program
        self.builder = ArrayBuilder(program.inputs + tuple(program.outputs[i] for i in given))
        leaves = self.builder.leaves()
        self.given = dict(zip(given, leaves[len(program.inputs) :], strict=True))
        self.values = leaves[: len(program.inputs)]
        for instr in program.code:
            self.values.append(self._again(instr))
        self.found: dict[int, Ids] = {}

    def run(self, wanted: Sequence[int]) -> ArrayProgram:
        for leaf, ids in self.given.items():
            self._give(self.program.results[leaf], self.program.outputs[leaf].shape, ids)
        first = len(self.program.inputs)
        for value in range(len(self.program.values) - 1, first - 1, -1):
            if value in self.found and self.program.values[value].dtype in dtypes.FLOATS:
                self._propagate(self.program.code[value - first], self.values[value], self._settled(value))
        chooses = self.given and any(instr.op in CHOICES for instr in self.program.code)
        results = [self._guarded(self._settled(i)) if chooses else self._settled(i) for i in wanted]
        return self.builder.finish(results, self.program.arity, self.program.rights)

    def _operands(self, instr: ArrayInstr) -> list[Ids]:
        views = enumerate(instr.args)
        return [self.values[view.value].reshape(-1)[view.lanes(instr.operand_shape(i))] for i, view in views]

    def _again(self, instr: ArrayInstr) -> Ids:
        """The instruction once more, in this program."""
        operands = self._operands(instr)
        if instr.form is Form.VIEW:
            ids = np.empty(instr.shape, dtype=np.int64)
            for piece, part in zip(instr.pieces, operands, strict=True):
                ids[piece.slices] = part
            return ids
        assert instr.op is not None
        if instr.param is not None:
            lanes = [self.builder.const(value, instr.dtype) for value in instr.param]
            return np.array(lanes, dtype=np.int64).reshape(instr.shape)
        if instr.form is Form.EACH:
            return self.builder.elementwise(instr.op, operands, instr.dtype)
        rows = [np.moveaxis(ids, -1, 0) for ids in operands]
        if instr.form is Form.REDUCE:
            return self.builder.reduce(instr.op, rows[0], instr.dtype)
        assert instr.multiply is not None
        return self.builder.contract(instr.op, instr.multiply, rows[0], rows[1], instr.dtype)

    # ---------------------------------------------------------------- cotangents of values
    def _settled(self, value: int) -> Ids:
        """The cotangent of a value, zero where nothing reaches it."""
        leaf = self.program.values[value]
        ids = self.found.get(value, np.full(leaf.shape, NOTHING))
        return np.where(ids == NOTHING, self.builder.const(0, leaf.dtype), ids)

    def _give(self, view: View, shape: Shape, ids: Ids) -> None:
        """Hands the cotangent of a view on to the lanes that it reads."""
        leaf = self.program.values[view.value]
        if leaf.dtype not in dtypes.FLOATS:
            return
        spread = [i for i, size in enumerate(shape) if size > 1 and view.strides[i] == 0]
        for axis in reversed(spread):
            ids = self.builder.reduce(Op.ADD, np.moveaxis(ids, axis, 0), leaf.dtype)
        kept = [i for i in range(len(shape)) if i not in spread]
        core = View(view.value, view.offset, tuple(view.strides[i] for i in kept))
        lanes = core.lanes(tuple(shape[i] for i in kept))
        if np.unique(lanes).size != lanes.size:
            raise NoRule("a view that reads a lane twice")
        whole = self.found.setdefault(view.value, np.full(leaf.shape, NOTHING)).reshape(-1)
        before = whole[lanes]
        if (before == NOTHING).all():
            whole[lanes] = ids
        else:
            old = np.where(before == NOTHING, self.builder.const(0, leaf.dtype), before)
            whole[lanes] = self.builder.elementwise(Op.ADD, [old, ids], leaf.dtype)
        self.found[view.value] = whole.reshape(leaf.shape)

    def _guarded(self, ids: Ids) -> Ids:
        """Where no cotangent came in at all, none goes out: not even of what is infinite."""
        builder, any_given = self.builder, []
        for given in self.given.values():
            zero = np.array(builder.const(0, builder.dtype_of(int(given.flat[0]))))
            some = builder.elementwise(Op.NE, [given, zero], "bool").reshape(-1)
            any_given.append(builder.reduce(Op.OR, some, "bool"))
        counts = builder.reduce(Op.OR, np.stack(any_given), "bool")
        number = builder.elementwise(Op.EQ, [ids, ids], "bool")
        dtype = builder.dtype_of(int(ids.flat[0]))
        kept = builder.elementwise(Op.OR, [counts, number], "bool")
        return builder.elementwise(Op.SELECT, [kept, ids, np.array(builder.const(0, dtype))], dtype)

    # ---------------------------------------------------------------- rules
    def _propagate(self, instr: ArrayInstr, out: Ids, g: Ids) -> None:
        """Hands the cotangent of a result on to the operands."""
        operands = self._operands(instr)
        if instr.form is Form.VIEW:
            for view, piece in zip(instr.args, instr.pieces, strict=True):
                self._give(view, piece.shape, g[piece.slices])
        elif instr.form is Form.EACH:
            self._each(instr, out, g, operands)
        elif instr.op is Op.ADD and instr.form is Form.REDUCE:
            space = (*instr.shape, instr.count)
            self._give(instr.args[0], space, np.broadcast_to(g[..., None], space))
        elif (instr.op, instr.multiply) == (Op.ADD, Op.MUL):
            for view, other in zip(instr.args, operands[::-1], strict=True):
                self._products(view, g, other)
        elif instr.op is Op.LOGADDEXP:
            self._log(instr, out, g, operands)
        elif instr.op in EXTREMES:
            self._extreme(instr, out, g, operands)
        else:
            raise NoRule(f"{instr.form.value} {instr.op.value if instr.op else ''}")

    def _each(self, instr: ArrayInstr, out: Ids, g: Ids, operands: list[Ids]) -> None:
        assert instr.op is not None
        whole, value = ArrayTerm(self.builder, g), ArrayTerm(self.builder, out)
        args: list[Term] = [ArrayTerm(self.builder, ids) for ids in operands]
        zero = whole.const(0)
        if instr.op is Op.LOOKUP:
            for i, view in enumerate(instr.args[1:]):
                chosen = args[0].apply(Op.EQ, i, dtype="bool").where(whole, zero)
                self._give(view, instr.shape, np.broadcast_to(_lanes(chosen), instr.shape))
            return
        if instr.op is Op.CAST:
            if args[0].dtype in dtypes.FLOATS:
                self._give(instr.args[0], instr.shape, _lanes(whole.cast(args[0].dtype)))
            return
        for place, rule in enumerate(RULES.get(instr.op, ())):
            part = rule(whole, value, *args)
            condition = ROUTES[instr.op][place](*args) if instr.op in ROUTES else None
            if part is not None:
                part = part if condition is None else condition.where(part, zero)
                self._give(instr.args[place], instr.shape, np.broadcast_to(_lanes(part), instr.shape))

    def _products(self, view: View, g: Ids, other: Ids) -> None:
        """The cotangent of a factor: sums of products of the result's and the other factor."""
        space = other.shape
        dtype = self.builder.dtype_of(int(other.flat[0]))
        wide = np.broadcast_to(g[..., None], space)
        summed = [i for i, size in enumerate(space) if size > 1 and view.strides[i] == 0]
        if not summed:
            self._give(view, space, self.builder.elementwise(Op.MUL, [wide, other], dtype))
            return
        x, y = (np.moveaxis(each, summed[0], 0) for each in (wide, other))
        found = self.builder.contract(Op.ADD, Op.MUL, x, y, dtype)
        rest = View(view.value, view.offset, view.strides[: summed[0]] + view.strides[summed[0] + 1 :])
        self._give(rest, found.shape, found)

    def _log(self, instr: ArrayInstr, out: Ids, g: Ids, operands: list[Ids]) -> None:
        """A term's share is exp(term - sum); what is -inf has none."""

        def share(total: Term, first: Term, *others: Term) -> Term:
            term = sum(others, first)
            return term.apply(Op.EQ, -np.inf, dtype="bool").where(term.const(0), (term - total).apply(Op.EXP))

        def share_of(given: Term, *terms: Term) -> Term:
            held = share(
                *terms
            )  # a share of zero passes nothing on, and no product alone is summed: that would be held
            return held.apply(Op.EQ, 0, dtype="bool").where(given.const(0), given * held)

        shape = operands[0].shape
        if operands[0].size > HELD:
            for view in instr.args:
                self._anew(view, shape, share_of, g[..., None], out[..., None], *operands)
            return
        total = np.broadcast_to(out[..., None], shape)
        held = np.broadcast_to(_lanes(share(*(ArrayTerm(self.builder, x) for x in (total, *operands)))), shape)
        for view in instr.args:
            self._products(view, g, held)

    def _extreme(self, instr: ArrayInstr, out: Ids, g: Ids, operands: list[Ids]) -> None:
        """All goes to the last of the terms that tie, or to the very last one of a NaN, as where two at a time are compared."""
        rows = [ArrayTerm(self.builder, np.moveaxis(ids, -1, 0)) for ids in operands]
        terms: Term = rows[0] if instr.form is Form.REDUCE else rows[0].apply(cast(Op, instr.multiply), *rows[1:])
        index = [self.builder.const(k, "int32") for k in range(instr.count)]
        place = ArrayTerm(self.builder, np.array(index).reshape(-1, *[1] * len(instr.shape)))
        ties = terms.apply(Op.EQ, ArrayTerm(self.builder, out), dtype="bool")
        tying = _lanes(ties.where(place, place.const(-1)))
        last = self.builder.reduce(Op.MAX, tying, "int32")
        number = ArrayTerm(self.builder, self.builder.elementwise(Op.EQ, [out, out], "bool"))
        winner = _lanes(number.where(ArrayTerm(self.builder, last), place.const(instr.count - 1)))

        def share(index: Term, winner: Term, given: Term) -> Term:
            return index.apply(Op.EQ, winner, dtype="bool").where(given, given.const(0))

        for view in instr.args:
            self._anew(view, (*instr.shape, instr.count), share, np.array(index), winner[..., None], g[..., None])

    def _anew(self, view: View, shape: Shape, share: Callable[..., Term], *arrays: Ids) -> None:
        """Hands on the cotangents of terms, told for this operand alone.

        They come in an order in which a loop sums them as it finds them: as many as there are products, they are never
        held.
        """
        summed = [i for i, size in enumerate(shape) if size > 1 and view.strides[i] == 0][:1]
        kept = sorted((i for i in range(len(shape)) if i not in summed), key=lambda i: -view.strides[i])
        turned = [np.broadcast_to(x, shape).transpose(summed + kept) for x in arrays]
        found = share(*(ArrayTerm(self.builder, x) for x in turned))
        ids = np.broadcast_to(_lanes(found), turned[0].shape)
        if summed:
            ids = self.builder.reduce(Op.ADD, ids, found.dtype)
        strides, sizes = tuple(view.strides[i] for i in kept), tuple(shape[i] for i in kept)
        self._give(View(view.value, view.offset, strides), sizes, ids)


def _lanes(term: Term) -> Ids:
    return cast(Ids, term.number)
