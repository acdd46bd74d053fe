"""Sums in log space whose terms share a factor: it is added once to the sum, as ``log sum exp(x + a + b) = b + log sum exp(x + a)``.

What is left of a term is then often the same at every step, as the transitions of a hidden Markov model beside its
emissions, and its exponentials are found once.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from monoscan.cache import PROGRAMS
from monoscan.lowering.program.arrays import (
    ArrayInstr,
    ArrayProgram,
    Form,
    View,
    eliminate_dead_code,
    row_major,
    view_of,
)
from monoscan.lowering.program.ir import Op


@PROGRAMS.memoised
def factored(program: ArrayProgram) -> ArrayProgram:
    """The same program, each sum of products in log space without the factors that all its terms share."""
    first = len(program.inputs)
    code: list[ArrayInstr] = []
    names = {number: number for number in range(first)}

    def add(instr: ArrayInstr) -> int:
        code.append(instr)
        return first + len(code) - 1

    def renamed(view: View) -> View:
        return attrs.evolve(view, value=names[view.value])

    for value, instr in enumerate(program.code, first):
        found = next(_shared(program, instr), None)
        if found is None:
            names[value] = add(attrs.evolve(instr, args=tuple(map(renamed, instr.args))))
            continue
        args, factor = found
        total = add(attrs.evolve(instr, args=tuple(map(renamed, args))))
        whole = View(total, 0, row_major(instr.shape))
        names[value] = add(ArrayInstr(Form.EACH, Op.ADD, (whole, renamed(factor)), instr.dtype, instr.shape))
    results = tuple(map(renamed, program.results))
    return eliminate_dead_code(attrs.evolve(program, code=tuple(code), results=results))


def _shared(program: ArrayProgram, instr: ArrayInstr) -> Iterator[tuple[tuple[View, View], View]]:
    """What is left of the operands of a sum, and a factor of all its terms."""
    if (instr.op, instr.multiply) != (Op.LOGADDEXP, Op.ADD) or instr.form is not Form.CONTRACT:
        return
    first, space = len(program.inputs), (*instr.shape, instr.count)
    for place, view in enumerate(instr.args):
        if view.value < first:
            continue
        made = program.code[view.value - first]
        if made.form is not Form.EACH or made.op is not Op.ADD:
            continue
        lanes = view.lanes(space)
        terms = [each.lanes(made.shape).reshape(-1)[lanes] for each in made.args]
        for kept, out in ((0, 1), (1, 0)):
            if not (terms[out] == terms[out][..., :1]).all():
                continue
            rest = view_of(made.args[kept].value, terms[kept], space)
            factor = view_of(made.args[out].value, terms[out][..., 0], instr.shape)
            if rest is not None and factor is not None:
                other = instr.args[1 - place]
                yield ((rest, other) if place == 0 else (other, rest)), factor
