"""Derivatives of programs, as programs: reverse and forward mode over one table of rules.

`reverse` turns a ``combine`` into the program of its cotangents, `transposed` any program,
and `forward` into that of its tangents. The rules are linear in the cotangent, so one table
serves both. What was not chosen yields an exact zero (`Routed`).

Source: Griewank and Walther, *Evaluating Derivatives* (SIAM, 2008), chapters 3 and 4.
"""

from __future__ import annotations

from monoscan import dtypes
from monoscan.lowering.program.builder import Builder
from monoscan.lowering.program.derivative_rules import FACTORS, PASSING, ROUTES, RULES, Term
from monoscan.lowering.program.ir import Instr, Leaf, Op, Program, eliminate_dead_code
from monoscan.lowering.program.routed import Routed, chooses, chosen, root


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
        return eliminate_dead_code(
            Program(self.builder.inputs, tuple(leaves), code, results, self.program.arity, self.program.rights)
        )


def differentiable(leaves: tuple[Leaf, ...]) -> tuple[int, ...]:
    """The leaves that have a derivative: floats."""
    return tuple(i for i, leaf in enumerate(leaves) if leaf.dtype in dtypes.FLOATS)


def reverse(program: Program, live: tuple[int, ...] | None = None, *, bold: bool = False) -> Program:
    """The cotangents of the operands of a step.

    Args:
        program: A ``combine``.
        live: The differentiable leaves whose cotangents are not zero throughout. Default:
            all of them.
        bold: Zero times infinity is not looked for. Where no result is NaN the results are
            the same, bit by bit.

    Returns:
        Program: Reads the inputs and then a cotangent for each live output leaf; yields a
        cotangent for each live leaf of the left operand, each differentiable leaf of the
        right one and each differentiable captured array.
    """
    live = differentiable(program.outputs) if live is None else live
    left = live if program.arity else ()  # what begins a state reads none
    wanted = (*left, *(i for i in differentiable(program.inputs) if i >= program.arity))
    return _pulled(program, live, wanted, wary=False, bold=bold)


def transposed(program: Program) -> Program:
    """The cotangents of the inputs of any program.

    Args:
        program: The program.

    Returns:
        Program: Reads the inputs and then a cotangent for each differentiable output leaf;
        yields a cotangent for each differentiable input leaf.
    """
    return _pulled(program, differentiable(program.outputs), differentiable(program.inputs), wary=True)


def _pulled(
    program: Program, given: tuple[int, ...], wanted: tuple[int, ...], wary: bool, bold: bool = False
) -> Program:
    """The program from cotangents of these output leaves to those of these input leaves."""
    copy = _Copy(program, program.inputs + tuple(program.outputs[i] for i in given))
    cotangents: dict[int, Routed] = {}
    for leaf, terms in zip(given, copy.extra(), strict=True):
        for value, term in zip(program.output_lanes[leaf], terms, strict=True):
            _accumulate(cotangents, value, root(term, chooses(program), wary, bold))
    _walk_back(copy, cotangents)
    lanes = [_settled(copy, cotangents, value) for leaf in wanted for value in program.input_lanes[leaf]]
    return copy.finish([program.inputs[i] for i in wanted], lanes)


def _walk_back(copy: _Copy, cotangents: dict[int, Routed]) -> None:
    """Hands the cotangents of all results on to the inputs."""
    program = copy.program
    for number in range(len(program.dtypes) - 1, program.num_lanes - 1, -1):
        if number in cotangents:
            _propagate(program.code[number - program.num_lanes], number, copy.values, cotangents)


def _settled(copy: _Copy, cotangents: dict[int, Routed], value: int) -> Term:
    return cotangents[value].settled() if value in cotangents else copy.values[value].const(0)


def _accumulate(cotangents: dict[int, Routed], value: int, part: Routed) -> None:
    cotangents[value] = cotangents[value].plus(part) if value in cotangents else part


def _propagate(instr: Instr, number: int, values: list[Term], cotangents: dict[int, Routed]) -> None:
    """Hands the cotangent of a result on to the arguments."""
    whole, args = cotangents[number], [values[a] for a in instr.args]
    if instr.op is Op.LOOKUP:
        for i, lane in enumerate(instr.args[1:]):
            _accumulate(cotangents, lane, whole.under(args[0].apply(Op.EQ, i, dtype="bool")))
    elif instr.op is Op.CAST:
        if args[0].dtype in dtypes.FLOATS:
            _accumulate(cotangents, instr.args[0], whole.through(whole.value.cast(args[0].dtype), passing=True))
    else:
        for place, rule in enumerate(RULES.get(instr.op, ())):
            part = rule(whole.value, values[number], *args)
            if part is not None:
                _accumulate(cotangents, instr.args[place], _routed(instr.op, place, whole, part, args))


def _routed(op: Op, place: int, whole: Routed, part: Term, args: list[Term]) -> Routed:
    """What an operation makes of a derivative, at an argument's place: zero where that has no share."""
    moved = whole.through(part, op in PASSING)
    if op in FACTORS and (whole.wary or op is not Op.MUL):
        moved = moved.times(FACTORS[op][place](*args))
    return moved.under(ROUTES[op][place](*args)) if op in ROUTES else moved


def forward(program: Program, moved: tuple[int, ...] | None = None, wanted: tuple[int, ...] | None = None) -> Program:
    """The tangents of a program's outputs.

    Args:
        program: The program.
        moved: The input leaves that have a tangent. Default: all that are differentiable.
        wanted: The output leaves whose tangents are wanted. Default: likewise.

    Returns:
        Program: Reads the inputs and then a tangent for each of ``moved``; yields the outputs
        and then a tangent for each of ``wanted``.
    """
    moved = differentiable(program.inputs) if moved is None else moved
    wanted = differentiable(program.outputs) if wanted is None else wanted
    copy = _Copy(program, program.inputs + tuple(program.inputs[i] for i in moved))
    tangents: dict[int, Routed] = {}
    for leaf, terms in zip(moved, copy.extra(), strict=True):
        lanes = program.input_lanes[leaf]
        tangents.update(
            (lane, root(term, chooses(program), wary=True)) for lane, term in zip(lanes, terms, strict=True)
        )
    for number, instr in enumerate(program.code, program.num_lanes):
        tangent = _tangent(instr, number, copy.values, tangents)
        if tangent is not None:
            tangents[number] = tangent
    results = [copy.values[value] for value in program.results]
    results += [_settled(copy, tangents, value) for leaf in wanted for value in program.output_lanes[leaf]]
    return copy.finish([*program.outputs, *(program.outputs[i] for i in wanted)], results)


def _tangent(instr: Instr, number: int, values: list[Term], tangents: dict[int, Routed]) -> Routed | None:
    """The tangent of a result, or ``None`` where it is zero."""
    out, args = values[number], [values[a] for a in instr.args]
    moved = [tangents.get(a) for a in instr.args]
    if out.dtype not in dtypes.FLOATS or not any(moved):
        return None
    if instr.op is Op.SELECT:
        return chosen(args[0], moved[1], moved[2])
    if instr.op is Op.LOOKUP:
        lanes = [t.settled() if t else out.const(0) for t in moved[1:]]
        value = args[0].apply(Op.LOOKUP, *lanes, dtype=out.dtype)
        return root(value, chooses=True, wary=True)
    total: Routed | None = None
    for place, tangent in enumerate(moved):
        part = None if tangent is None else _pushed(instr.op, place, tangent.value, out, args)
        if tangent is not None and part is not None:
            share = _routed(instr.op, place, tangent, part, args)
            total = share if total is None else total.plus(share)
    return total


def _pushed(op: Op, place: int, tangent: Term, out: Term, args: list[Term]) -> Term | None:
    """What one argument's tangent does to the result, or ``None`` where that is nothing."""
    if op is Op.CAST:
        return tangent.cast(out.dtype)
    return RULES[op][place](tangent, out, *args) if op in RULES else None


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
        cotangents = {result: Routed(copy.values[result].const(1))}
        _walk_back(copy, cotangents)
        for i, left in enumerate(lefts):
            entry = _settled(copy, cotangents, left)
            if copy.builder.value_of(entry.number) != 0:
                pairs.append((i, j))
                entries.append(entry)
    return tuple(pairs), copy.finish([Leaf(entry.dtype) for entry in entries], entries)
