"""A step and its adjoint taken apart, for a walk back that makes states again: what the one leaves to the other."""

from __future__ import annotations

from typing import Any

import attrs

from monoscan.cache import PROGRAMS
from monoscan.lowering.program.cost_table import COSTS
from monoscan.lowering.program.ir import TRANSCENDENTAL, Instr, Leaf, Op, Program, eliminate_dead_code

KEPT = TRANSCENDENTAL | frozenset(COSTS)
"""What costs more to compute than to store in a cache and to read again."""


@attrs.frozen
class Parts:
    """The two halves of a step of the walk back.

    Args:
        ahead: From a state, an element and captured arrays to the next state, and then to values for the way back.
        back: From these, the cotangents of the next state, the next state and those values to the cotangents of what
            the step read.
        kept: How many such values there are.
    """

    ahead: Program
    back: Program
    kept: int


class _Names:
    """A name for each value of two programs of the same first inputs: equal where the values are."""

    def __init__(self, shared: int) -> None:
        self.shared = shared
        self.known: dict[Any, int] = {}

    def of(self, program: Program) -> list[int]:
        names = [lane if lane < self.shared else -1 - lane for lane in range(program.num_lanes)]
        for instr in program.code:
            key = (instr.op, tuple(names[a] for a in instr.args), instr.dtype, repr(instr.param))
            names.append(self.known.setdefault(key, self.shared + len(self.known)))
        return names


@PROGRAMS.memoised
def taken_apart(ahead: Program, back: Program) -> Parts:
    """Takes out of the way back what the way ahead has computed: the next state, and what is dear.

    Args:
        ahead: The program of the next state, or of some of its leaves.
        back: The program of cotangents; its first inputs are those of the other.
    """
    names = _Names(ahead.num_lanes)
    first = names.of(ahead)
    known: dict[int, int] = {}
    for value, name in enumerate(first):
        known.setdefault(name, value)
    places: dict[int, int] = {}
    for place, value in enumerate(ahead.results):
        places.setdefault(first[value], place)
    states, kept = len(ahead.results), list[int]()
    taken: dict[int, int] = {}
    for value, name in list(enumerate(names.of(back)))[back.num_lanes :]:
        instr = back.code[value - back.num_lanes]
        if name in places:
            taken[value] = places[name]
        elif name in known and instr.op in KEPT and instr.op is not Op.CONST:
            taken[value] = places[name] = states + len(kept)
            kept.append(known[name])
    types = [Leaf(ahead.dtypes[value]) for value in (*ahead.results, *kept)]
    whole = _used_soon(_with_inputs(back, types, taken))
    read = {a for instr in whole.code for a in instr.args} | set(whole.results)
    used = [k for k in range(len(kept)) if back.num_lanes + states + k in read]
    keep = [*range(len(back.inputs) + states), *(len(back.inputs) + states + k for k in used)]
    more = tuple(Leaf(ahead.dtypes[kept[k]]) for k in used)
    results = ahead.results + tuple(kept[k] for k in used)
    return Parts(
        _result_by_result(attrs.evolve(ahead, outputs=ahead.outputs + more, results=results)),
        whole.reorder(keep, back.arity, back.rights),
        len(used),
    )


def _with_inputs(program: Program, more: list[Leaf], taken: dict[int, int]) -> Program:
    """The program with more inputs, of one lane each, in the place of some of its values."""
    first = program.num_lanes
    names = list(range(first))
    code: list[Instr] = []
    for value, instr in enumerate(program.code, first):
        if value in taken:
            names.append(first + taken[value])
        else:
            names.append(first + len(more) + len(code))
            code.append(attrs.evolve(instr, args=tuple(names[a] for a in instr.args)))
    return eliminate_dead_code(
        attrs.evolve(
            program,
            inputs=program.inputs + tuple(more),
            code=tuple(code),
            results=tuple(names[value] for value in program.results),
        )
    )


def _result_by_result(program: Program) -> Program:
    """The same code, all of one result before that of the next: few values wait for others."""
    order: list[int] = []
    known = set(range(program.num_lanes))
    waiting = list(reversed(program.results))
    while waiting:
        value = waiting.pop()
        if value in known:
            continue
        missing = [a for a in program.code[value - program.num_lanes].args if a not in known]
        if missing:
            waiting += [value, *reversed(missing)]
        else:
            known.add(value)
            order.append(value)
    return _in_order(program, order)


def _used_soon(program: Program) -> Program:
    """The same code, each value followed by what can be computed then: few values wait for others."""
    users: dict[int, list[int]] = {}
    for value, instr in enumerate(program.code, program.num_lanes):
        for a in dict.fromkeys(instr.args):
            users.setdefault(a, []).append(value)
    order: list[int] = []
    known = set(range(program.num_lanes))
    for start in range(program.num_lanes, program.num_lanes + len(program.code)):
        waiting = [start]
        while waiting:
            value = waiting.pop()
            if value in known or not known.issuperset(program.code[value - program.num_lanes].args):
                continue
            known.add(value)
            order.append(value)
            waiting += reversed(users.get(value, []))
    return _in_order(program, order)


def _in_order(program: Program, order: list[int]) -> Program:
    names = list(range(len(program.dtypes)))
    for place, value in enumerate(order, program.num_lanes):
        names[value] = place
    instrs = (program.code[value - program.num_lanes] for value in order)
    code = tuple(attrs.evolve(instr, args=tuple(names[a] for a in instr.args)) for instr in instrs)
    return attrs.evolve(program, code=code, results=tuple(names[value] for value in program.results))
