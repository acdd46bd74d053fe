"""Which lanes of a state a walk carries for the sake of some: those that they follow from after any number of steps.

Lane by lane where programs are written out; of arrays by rows and columns, so that what is left of one is an array.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import singledispatch

import attrs
import numpy as np
import numpy.typing as npt

from monoscan.lowering.program.arrays import ArrayInstr, ArrayProgram, Form, Piece, View, view_of, zeros_of
from monoscan.lowering.program.ir import Leaf, Program, Shape, eliminate_dead_code

Lanes = npt.NDArray[np.bool_]
"""Which lanes of a leaf are meant, in its shape."""


def live_lanes(program: Program | ArrayProgram, wanted: Sequence[int]) -> tuple[Lanes, ...]:
    """The lanes of each leaf of the state that a walk carries if these leaves of it are wanted.

    Args:
        program: The step.
        wanted: The leaves, of which all lanes are wanted.
    """
    return closed(program, [np.full(leaf.shape, i in wanted) for i, leaf in enumerate(program.outputs)])


def closed(program: Program | ArrayProgram, lanes: Sequence[Lanes]) -> tuple[Lanes, ...]:
    """These lanes of the state with all that they follow from; of arrays whole rows and columns."""
    exact = _grown(lanes, lambda live: read_by(program, live))
    if isinstance(program, Program):
        return exact

    def read(live: Sequence[Lanes]) -> list[Lanes]:
        found = needed(program, live, box_of)[: program.arity]
        return [x & bool(e.any()) for x, e in zip(found, exact, strict=True)]

    return _grown([box_of(x) for x in exact], read, box_of)


def _grown(
    lanes: Sequence[Lanes],
    read: Callable[[Sequence[Lanes]], Sequence[Lanes]],
    fill: Callable[[Lanes], Lanes] = np.array,
) -> tuple[Lanes, ...]:
    live = tuple(lanes)
    while True:
        grown = tuple(fill(a | b) for a, b in zip(live, read(live), strict=True))
        if all(np.array_equal(a, b) for a, b in zip(live, grown, strict=True)):
            return live
        live = grown


@singledispatch
def read_by(program: Program | ArrayProgram, lanes: Sequence[Lanes]) -> list[Lanes]:
    """The lanes of the state before that these lanes of the next one read."""
    raise TypeError(f"no program: {type(program)}")


@read_by.register
def _(program: Program, lanes: Sequence[Lanes]) -> list[Lanes]:
    chosen = np.concatenate([each.reshape(-1) for each in lanes])
    read = {value for value, kept in zip(program.results, chosen, strict=True) if kept}
    for number in range(len(program.dtypes) - 1, program.num_lanes - 1, -1):
        if number in read:
            read.update(program.code[number - program.num_lanes].args)
    left = zip(program.input_lanes, program.inputs[: program.arity], strict=False)
    return [np.array([lane in read for lane in run], dtype=bool).reshape(leaf.shape) for run, leaf in left]


@read_by.register
def _(program: ArrayProgram, lanes: Sequence[Lanes]) -> list[Lanes]:
    return needed(program, lanes)[: program.arity]


def box_of(lanes: Lanes) -> Lanes:
    """All lanes between the first and the last along each axis."""
    found = np.zeros_like(lanes)
    if lanes.any():
        found[slices_of(lanes)] = True
    return found


def slices_of(lanes: Lanes) -> tuple[slice, ...]:
    """Where some lanes begin and end along each axis."""
    held = np.nonzero(lanes) if lanes.ndim else ()
    return tuple(slice(int(i.min()), int(i.max()) + 1) for i in held)


def needed(
    program: ArrayProgram,
    lanes: Sequence[Lanes],
    fill: Callable[[Lanes], Lanes] = np.array,
    whole: frozenset[int] = frozenset(),
) -> list[Lanes]:
    """The lanes of each value that some lanes of the results follow from.

    Args:
        program: The program.
        lanes: The lanes of each result.
        fill: What is taken of a value where these are read.
        whole: Values of which all is taken.
    """
    read = [np.zeros(leaf.shape, dtype=bool) for leaf in program.values]
    for view, leaf, chosen in zip(program.results, program.outputs, lanes, strict=True):
        read[view.value].reshape(-1)[view.lanes(leaf.shape)[chosen]] = True
    for value in range(len(read) - 1, -1, -1):
        read[value] = np.full_like(read[value], read[value].any()) if value in whole else fill(read[value])
        instr = program.code[value - len(program.inputs)] if value >= len(program.inputs) else None
        if instr is not None and read[value].any():
            for place, view in enumerate(instr.args):
                part = read[value][instr.pieces[place].slices] if instr.form is Form.VIEW else read[value]
                read[view.value].reshape(-1)[view.lanes(instr.operand_shape(place))[part]] = True
    return read


# -------------------------------------------------------------------------------------------- programs of what is live


def narrowed(
    program: Program | ArrayProgram, lanes: Sequence[Lanes]
) -> tuple[Program | ArrayProgram, tuple[Lanes, ...]]:
    """The step on these lanes of the state, and which lanes those are: more, where arrays have no such parts.

    Args:
        program: The step, or what begins a state.
        lanes: The lanes of each leaf of the state, which read no others.
    """
    if isinstance(program, Program):
        return _scalar(program, lanes), tuple(lanes)
    return _arrays(program, lanes)


def _shape(lanes: Lanes) -> Shape:
    """The shape of what is left: of a leaf that is whole its own, of any lanes one axis."""
    return lanes.shape if lanes.all() else (int(lanes.sum()),)


def _scalar(program: Program, lanes: Sequence[Lanes]) -> Program:
    chosen = np.concatenate([each.reshape(-1) for each in lanes])
    outputs = tuple(Leaf(leaf.dtype, _shape(x)) for leaf, x in zip(program.outputs, lanes, strict=True))
    results = tuple(value for value, kept in zip(program.results, chosen, strict=True) if kept)
    live = eliminate_dead_code(attrs.evolve(program, outputs=outputs, results=results))
    left = outputs[: program.arity]  # of what begins a state there are none
    first = sum(leaf.lanes for leaf in program.inputs[: program.arity])
    kept = [value for value in range(len(live.dtypes)) if value >= first or chosen[value]]
    names = {old: new for new, old in enumerate(kept)}
    code = tuple(attrs.evolve(instr, args=tuple(names[a] for a in instr.args)) for instr in live.code)
    inputs = (*left, *program.inputs[program.arity :])
    return attrs.evolve(live, inputs=inputs, code=code, results=tuple(names[value] for value in live.results))


def _arrays(program: ArrayProgram, lanes: Sequence[Lanes]) -> tuple[ArrayProgram, tuple[Lanes, ...]]:
    whole, live = frozenset[int](), tuple(lanes)
    given = [np.ones(leaf.shape, dtype=bool) for leaf in program.inputs[program.arity :]]
    while True:
        found = needed(program, live, box_of, whole)[len(program.inputs) :]
        made = _Parts(program, (*live[: program.arity], *given, *found), live).program_of()
        if isinstance(made, ArrayProgram):
            return made, live
        whole |= {made}
        if made < program.arity:
            live = closed(program, [x | (i == made) for i, x in enumerate(live)])


@attrs.frozen(eq=False)
class _Parts:
    """Makes the program of parts of values.

    Args:
        program: The program of all.
        parts: The part of each value, a box.
        live: The part of each result, likewise.
    """

    program: ArrayProgram
    parts: Sequence[Lanes]
    live: Sequence[Lanes]

    def program_of(self) -> ArrayProgram | int:
        """The program, or the value of which an operand is no part that strides could tell."""
        program, first = self.program, len(self.program.inputs)
        kept = [value for value in range(first, len(self.parts)) if self.parts[value].any()]
        lost = [i for i in range(program.arity) if not self.parts[i].any()]  # read by lanes alone that nothing shows
        code = [zeros_of(program.inputs[i].dtype) for i in lost]
        names = {old: new for new, old in enumerate([*lost, *kept], first)}
        names = {i: i for i in range(first) if i not in lost} | names
        results = []
        for value in kept:
            made = self._instr(program.code[value - first], self.parts[value], names)
            if isinstance(made, int):
                return made
            code.append(made)
        for view, leaf, part in zip(program.results, program.outputs, self.live, strict=True):
            found = self._view(view, leaf.shape, part, names) if part.any() else View(0, 0, (0,))
            if isinstance(found, int):
                return found
            results.append(found)
        outputs = tuple(Leaf(leaf.dtype, _box_shape(x)) for leaf, x in zip(program.outputs, self.live, strict=True))
        inputs = (*outputs[: program.arity], *program.inputs[program.arity :])
        return attrs.evolve(program, inputs=inputs, outputs=outputs, code=tuple(code), results=tuple(results))

    def _instr(self, instr: ArrayInstr, part: Lanes, names: dict[int, int]) -> ArrayInstr | int:
        if instr.param is not None:
            param = tuple(x for x, kept in zip(instr.param, part.reshape(-1), strict=True) if kept)
            return attrs.evolve(instr, shape=_box_shape(part), param=param)
        args, pieces = [], []
        for place, view in enumerate(instr.args):
            inside = part[instr.pieces[place].slices] if instr.form is Form.VIEW else part
            if not inside.any():
                continue
            if instr.form is Form.VIEW:
                pieces.append(_piece(instr.pieces[place], inside, slices_of(part)))
            found = self._view(view, instr.operand_shape(place), inside, names)
            if isinstance(found, int):
                return found
            args.append(found)
        return attrs.evolve(instr, args=tuple(args), shape=_box_shape(part), pieces=tuple(pieces))

    def _view(self, view: View, shape: Shape, part: Lanes, names: dict[int, int]) -> View | int:
        """What reads the same lanes of what is left of a value; the value itself where strides do not tell it."""
        there = self.parts[view.value].reshape(-1)
        if not there.any():
            return View(names[view.value], 0, (0,) * part.ndim)
        lanes = (np.cumsum(there) - 1)[view.lanes(shape)[slices_of(part)]]
        found = view_of(names[view.value], lanes, lanes.shape)
        return view.value if found is None else found


def _box_shape(box: Lanes) -> Shape:
    return tuple(s.stop - s.start for s in slices_of(box)) if box.any() else (0,)


def _piece(piece: Piece, inside: Lanes, box: tuple[slice, ...]) -> Piece:
    """What of a piece lies in a box."""
    left = slices_of(inside)
    start = tuple(p + s.start - b.start for p, s, b in zip(piece.start, left, box, strict=True))
    return Piece(start, tuple(s.stop - s.start for s in left))
