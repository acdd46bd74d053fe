"""Derivatives of programs, as programs: reverse and forward mode over one table of rules.

`reverse` turns a ``combine`` into the program of its cotangents, `forward` into that of
its tangents. The rules are linear in the cotangent, so one table serves both.

A `Op.SELECT` hands the cotangent of a branch on under its condition, and the condition
stays with it: a branch that was not taken yields an exact zero, even where its own
derivative is infinite.

Source: Griewank and Walther, *Evaluating Derivatives* (SIAM, 2008), chapters 3 and 4.
"""

from __future__ import annotations

import attrs

from monoscan import dtypes
from monoscan.lowering.builder import Builder
from monoscan.lowering.derivative_rules import OWN_CONJUGATE, RULES, Rule, Term, phase
from monoscan.lowering.ir import Instr, Leaf, Op, Program, eliminate_dead_code

DIFFERENTIABLE = dtypes.FLOATS | dtypes.COMPLEX


def linear_over_complex(program: Program, live: tuple[int, ...]) -> bool:
    """Whether results move with these leaves of the left operand by complex factors: no part of one is taken alone."""
    moved = {lane for leaf in live for lane in program.input_lanes[leaf]}
    for number, instr in enumerate(program.code, program.num_lanes):
        if moved.intersection(instr.args):
            moved.add(number)
            parts = instr.op in OWN_CONJUGATE or instr.op is Op.CAST
            if parts and any(program.dtypes[a] == "complex64" for a in instr.args):
                return False
    return True


@attrs.frozen
class Cotangent:
    """A cotangent, and the condition under which it is not zero (``None``: always)."""

    value: Term
    condition: Term | None = None

    def settled(self) -> Term:
        """The value, zero where the condition fails."""
        return self.value if self.condition is None else self.condition.where(self.value, self.value.const(0))

    def under(self, condition: Term) -> Cotangent:
        """The same under one more condition."""
        both = condition if self.condition is None else self.condition.apply(Op.AND, condition)
        return Cotangent(self.value, both)

    def plus(self, other: Cotangent) -> Cotangent:
        """The sum; it is zero where both are."""
        if self.condition is None or other.condition is None:
            return Cotangent(self.settled() + other.settled())
        if self.condition.number == other.condition.number:
            return Cotangent(self.value + other.value, self.condition)
        return Cotangent(self.settled() + other.settled(), self.condition.apply(Op.OR, other.condition))


class _Copy:
    """A program inside a larger one: its code again, and the terms of its values."""

    def __init__(self, program: Program, inputs: tuple[Leaf, ...]) -> None:
        self.program = program
        self.builder = Builder(inputs)
        lanes = [int(v) for ids in self.builder.leaves()[: len(program.inputs)] for v in ids.flat]
        self.values = [Term(self.builder, number) for number in lanes]
        for instr in program.code:
            args = tuple(self.values[a].number for a in instr.args)
            self.values.append(Term(self.builder, self.builder.emit(instr.op, args, instr.dtype, instr.param)))

    def extra(self) -> list[list[Term]]:
        """The lanes of each input leaf behind the program's own."""
        leaves = self.builder.leaves()[len(self.program.inputs) :]
        return [[Term(self.builder, int(v)) for v in ids.flat] for ids in leaves]

    def finish(self, leaves: list[Leaf], lanes: list[Term]) -> Program:
        """The program with these output leaves."""
        code = tuple(self.builder.code)
        results = tuple(term.number for term in lanes)
        return eliminate_dead_code(Program(self.builder.inputs, tuple(leaves), code, results, self.program.arity))


def differentiable(leaves: tuple[Leaf, ...]) -> tuple[int, ...]:
    """The leaves that have a derivative: floats and complex numbers."""
    return tuple(i for i, leaf in enumerate(leaves) if leaf.dtype in DIFFERENTIABLE)


def reverse(program: Program, live: tuple[int, ...] | None = None) -> Program:
    """The cotangents of the operands of a ``combine``.

    Args:
        program: A ``combine``.
        live: The differentiable leaves whose cotangents are not zero throughout. Default:
            all of them.

    Returns:
        Program: Reads the inputs and then a cotangent for each live output leaf; yields a
        cotangent for each live leaf of the left operand, each differentiable leaf of the
        right one and each differentiable captured array.
    """
    live = differentiable(program.outputs) if live is None else live
    arity = program.arity
    copy = _Copy(program, program.inputs + tuple(program.outputs[i] for i in live))
    cotangents: dict[int, Cotangent] = {}
    for leaf, terms in zip(live, copy.extra(), strict=True):
        for value, term in zip(program.output_lanes[leaf], terms, strict=True):
            _accumulate(cotangents, value, Cotangent(term))
    for number in range(len(copy.values) - 1, program.num_lanes - 1, -1):
        if number in cotangents:
            _propagate(program.code[number - program.num_lanes], number, copy.values, cotangents)
    wanted = (*live, *(i for i in differentiable(program.inputs) if i >= arity))
    lanes = [_settled(copy, cotangents, value) for leaf in wanted for value in program.input_lanes[leaf]]
    return copy.finish([program.inputs[i] for i in wanted], lanes)


def _settled(copy: _Copy, cotangents: dict[int, Cotangent], value: int) -> Term:
    return cotangents[value].settled() if value in cotangents else copy.values[value].const(0)


def _accumulate(cotangents: dict[int, Cotangent], value: int, part: Cotangent) -> None:
    cotangents[value] = cotangents[value].plus(part) if value in cotangents else part


def _propagate(instr: Instr, number: int, values: list[Term], cotangents: dict[int, Cotangent]) -> None:
    """Hands the cotangent of a result on to the arguments."""
    whole, args = cotangents[number], [values[a] for a in instr.args]
    if instr.op is Op.SELECT:
        _accumulate(cotangents, instr.args[1], whole.under(args[0]))
        _accumulate(cotangents, instr.args[2], whole.under(args[0].apply(Op.NOT)))
    elif instr.op is Op.LOOKUP:
        for i, lane in enumerate(instr.args[1:]):
            _accumulate(cotangents, lane, whole.under(args[0].apply(Op.EQ, i, dtype="bool")))
    elif instr.op is Op.CAST:
        if args[0].dtype in DIFFERENTIABLE:
            _accumulate(cotangents, instr.args[0], attrs.evolve(whole, value=whole.value.cast(args[0].dtype)))
    else:
        for arg, rule in zip(instr.args, RULES.get(instr.op, ()), strict=False):
            part = _conjugated(instr.op, rule, whole.value, values[number], args)
            if part is not None:
                _accumulate(cotangents, arg, attrs.evolve(whole, value=part))


def _conjugated(op: Op, rule: Rule, g: Term, out: Term, args: list[Term]) -> Term | None:
    """A rule with the conjugate of the derivative, which is MLX's convention for complex cotangents."""
    if out.dtype != "complex64" or op in OWN_CONJUGATE:
        return rule(g, out, *args)
    part = rule(g.apply(Op.CONJ), out, *args)
    return None if part is None else part.apply(Op.CONJ)


def forward(program: Program) -> Program:
    """The tangents of a program's outputs.

    Args:
        program: The program.

    Returns:
        Program: Reads the inputs and then a tangent for each differentiable input leaf;
        yields the outputs and then a tangent for each differentiable output leaf.
    """
    active = differentiable(program.inputs)
    copy = _Copy(program, program.inputs + tuple(program.inputs[i] for i in active))
    tangents: dict[int, Term] = {}
    for leaf, terms in zip(active, copy.extra(), strict=True):
        tangents.update(zip(program.input_lanes[leaf], terms, strict=True))
    for number, instr in enumerate(program.code, program.num_lanes):
        tangent = _tangent(instr, number, copy.values, tangents)
        if tangent is not None:
            tangents[number] = tangent
    outputs = differentiable(program.outputs)
    lanes = [copy.values[value] for value in program.results]
    for leaf in outputs:
        lanes += [tangents.get(value, copy.values[value].const(0)) for value in program.output_lanes[leaf]]
    return copy.finish([*program.outputs, *(program.outputs[i] for i in outputs)], lanes)


def _tangent(instr: Instr, number: int, values: list[Term], tangents: dict[int, Term]) -> Term | None:
    """The tangent of a result, or ``None`` where it is zero."""
    out, args = values[number], [values[a] for a in instr.args]
    if out.dtype not in DIFFERENTIABLE or not any(a in tangents for a in instr.args):
        return None
    moved = [
        tangents.get(a, v.const(0)) if v.dtype in DIFFERENTIABLE else v for a, v in zip(instr.args, args, strict=True)
    ]
    if instr.op is Op.SELECT:
        return args[0].where(moved[1], moved[2])
    if instr.op is Op.LOOKUP:
        return args[0].apply(Op.LOOKUP, *moved[1:], dtype=out.dtype)
    if instr.op is Op.CAST:
        return moved[0].cast(out.dtype)
    if instr.op in (Op.CONJ, Op.REAL, Op.IMAG):
        return moved[0].apply(instr.op, dtype=out.dtype)
    if instr.op is Op.ABS and args[0].dtype == "complex64":
        return (phase(args[0], out).apply(Op.CONJ) * moved[0]).apply(Op.REAL, dtype="float32").cast(out.dtype)
    parts = [
        rule(tangents[a], out, *args)
        for a, rule in zip(instr.args, RULES.get(instr.op, ()), strict=False)
        if a in tangents
    ]
    total: Term | None = None
    for part in parts:
        total = part if total is None or part is None else total + part
    return total


def jacobian(program: Program, live: tuple[int, ...]) -> tuple[tuple[tuple[int, int], ...], Program]:
    """How the result of a ``combine`` moves with its left operand.

    Args:
        program: A ``combine``.
        live: The leaves to look at.

    Returns:
        tuple: The pairs (i, j) of their lanes for which the derivative of result lane j by
        left lane i is not identically zero, and the program that yields it for each pair,
        as scalars.
    """
    results = [value for leaf in live for value in program.output_lanes[leaf]]
    lefts = [value for leaf in live for value in program.input_lanes[leaf]]
    copy = _Copy(program, program.inputs)
    pairs, entries = [], []
    for j, result in enumerate(results):
        cotangents = {result: Cotangent(copy.values[result].const(1))}
        for number in range(len(program.dtypes) - 1, program.num_lanes - 1, -1):
            if number in cotangents:
                _propagate(program.code[number - program.num_lanes], number, copy.values, cotangents)
        for i, left in enumerate(lefts):
            entry = _settled(copy, cotangents, left)
            if copy.builder.value_of(entry.number) != 0:
                pairs.append((i, j))
                entries.append(entry)
    return tuple(pairs), copy.finish([Leaf(entry.dtype) for entry in entries], entries)
