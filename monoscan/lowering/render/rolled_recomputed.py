"""A kernel of wide states that walks back and makes its states again: both steps as loops over arrays of lanes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import attrs

from monoscan.lowering.gradient.recomputed_arrays import RecomputedArrays
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.program.numbers import table
from monoscan.lowering.render.kernel import wrapped
from monoscan.lowering.render.loops import Loops
from monoscan.lowering.render.places import Vectors, own_place
from monoscan.lowering.render.rolled import events, text_of, unsupported_program
from monoscan.lowering.render.rolled_estimates import nanoseconds_of_step
from monoscan.lowering.render.rolled_spec import vectors_of
from monoscan.lowering.render.scan_spec import Loop


@attrs.frozen
class RolledRecomputedSpec:
    """One such kernel.

    Args:
        walk: What it computes.
        weights: The storage dtype of each of its `weights`.
        captures: The storage dtype of each captured array.
        summed: For each cotangent of an element whether it is a sum over rows.
        shared: The leaves of elements and, behind them, the captured arrays that all columns share, if they are whole
            vectors.
        vector_bytes: The width of the machine's registers.
        flush: As of a `KernelSpec`.
        loop: What vectors hold, `Loop.EVENTS` or `Loop.BATCH`.
    """

    walk: RecomputedArrays
    weights: tuple[str, ...]
    captures: tuple[str, ...]
    summed: tuple[bool, ...]
    shared: tuple[int, ...]
    vector_bytes: int
    flush: bool
    loop: Loop

    @cached_property
    def vectors(self) -> Vectors:
        """What vectors hold, on the way ahead and back."""
        return vectors_of(self.walk.back, self.loop, self.vector_bytes)

    @property
    def shared_inputs(self) -> tuple[int, ...]:
        """The inputs of which a vector of rows holds one."""
        return tuple(self.walk.program.arity + i for i in self.shared) if self.loop is Loop.BATCH else ()

    @property
    def outputs(self) -> tuple[Leaf, ...]:
        """The cotangents of elements and captured arrays: sums in full, others as their array is stored."""
        walk, program = self.walk, self.walk.program
        found = zip(walk.gradients, self.summed, strict=True)
        timed = [
            program.elements[i] if summed else Leaf(walk.stored[i], program.elements[i].shape) for i, summed in found
        ]
        return (*timed, *(program.captures[i] for i in walk.captured))


def can_render(spec: RolledRecomputedSpec) -> bool:
    """Whether there is code for both steps, and vectors that suit both."""
    walk, captured = spec.walk, len(spec.captures)
    suits = vectors_of(walk.ahead, spec.loop, spec.vector_bytes)
    alike = spec.loop is Loop.EVENTS or suits == spec.vectors
    reasons = (
        unsupported_program(step, spec.vectors, captured, spec.shared_inputs) for step in (walk.ahead, walk.back)
    )
    return alike and not any(reasons)


def render_rolled_recomputed(spec: RolledRecomputedSpec) -> str:
    """What of such a kernel depends on its operator."""
    return _RolledRecomputed(spec).text()


class _RolledRecomputed:
    """Writes one kernel.

    Args:
        spec: The kernel.
    """

    def __init__(self, spec: RolledRecomputedSpec) -> None:
        self.spec, self.walk, self.program = spec, spec.walk, spec.walk.program
        captured = len(spec.captures)
        self.ahead, self.back = (
            Loops(step, spec.vectors, captured, spec.shared_inputs) for step in (spec.walk.ahead, spec.walk.back)
        )

    def text(self) -> str:
        """All of it, in order."""
        spec, walk, back = self.spec, self.walk, self.back.memory
        held = self.program.arity + self.program.rights
        cotangents = {leaf: held + len(spec.captures) + n for n, leaf in enumerate(walk.live)}
        found = walk.back.outputs[len(walk.live) :]
        results = [back.add(own_place(leaf, spec.vectors)) for leaf in found]
        totals = results[len(walk.gradients) :]
        operation = self.back.text([*cotangents.values(), *results], "", sums=totals)  # counts the memory
        ahead, base = self.ahead.text(walk.states, "", "ahead"), back.bytes
        kept = wrapped("typedef kept_arrays<", self._kept(base), "> kept;")
        lists = {name: events(back, leaves) for name, leaves in self._back_lists(cotangents, results).items()}
        lists |= {name: events(self.ahead.memory, leaves, base) for name, leaves in self._ahead_lists().items()}
        steps = ahead + operation + kept
        return text_of(
            (walk.back, walk.ahead), spec.vectors, steps, self._facts(base), lists, "event_recomputed.h", spec.flush
        )

    def _back_lists(self, cotangents: dict[int, int], results: list[int]) -> dict[str, list[tuple[int, str, int]]]:
        """What the way back reads and yields: the number of an array, its dtype, and the value that it is."""
        spec, walk, program = self.spec, self.walk, self.program
        arity, held, elements = program.arity, program.arity + program.rights, len(walk.stored)
        read = sorted(frozenset[int]().union(*(rights for _, rights in walk.back.reads)))
        timed = len(walk.gradients)
        outputs = list(zip(range(len(results)), (leaf.dtype for leaf in spec.outputs), results, strict=True))
        sums = zip(outputs[:timed], spec.summed, strict=True)
        behind = elements + len(walk.weights)
        return {
            "elements": [(i, walk.stored[i], arity + i) for i in read],
            "weights": [
                (elements + n, name, cotangents[i])
                for n, (i, name) in enumerate(zip(walk.weights, spec.weights, strict=True))
            ],
            "captured_arrays": [(behind + n, name, held + n) for n, name in enumerate(spec.captures)],
            "ends": [(n, program.outputs[i].dtype, cotangents[i]) for n, i in enumerate(walk.live)],
            "stored": [output for output, summed in zip(outputs, spec.summed, strict=False) if not summed],
            "summed": [output for output, summed in sums if summed],
            "totals": outputs[timed:],
        }

    def _ahead_lists(self) -> dict[str, list[tuple[int, str, int]]]:
        """What the way ahead reads, likewise."""
        walk, program = self.walk, self.program
        arity, held = program.arity, program.arity + program.rights
        read = sorted(frozenset[int]().union(*(program.reads[leaf][1] for leaf in walk.states)))
        behind, live = len(walk.stored) + len(walk.weights), len(walk.live)
        return {
            "elements_ahead": [(i, walk.stored[i], arity + i) for i in read],
            "captured_ahead": [(behind + n, name, held + n) for n, name in enumerate(self.spec.captures)],
            "first_state": [(live + n, program.outputs[i].dtype, i) for n, i in enumerate(walk.states)],
        }

    def _kept(self, base: int) -> list[str]:
        """The arrays of a state: where they stand, their bytes, and where the way back reads them."""
        found = []
        for leaf in self.walk.states:
            room = self.ahead.memory.rooms[leaf]
            to = self.back.memory.rooms[leaf].offset if leaf in self.walk.lefts else -1
            found.append(f"kept_array<{base + room.offset}, {room.bytes}, {to}>")
        return found

    def _facts(self, base: int) -> Iterator[tuple[str, object]]:
        spec, walk = self.spec, self.walk
        inputs = len(walk.stored) + len(walk.weights) + len(spec.captures)
        yield from (("reverse", walk.reverse), ("inclusive", walk.inclusive), ("inputs", inputs))
        yield from (("outputs", len(spec.outputs)), ("inits", len(walk.live) + len(walk.states)))
        yield from (
            ("carries", len(walk.live)),
            ("ahead_bytes", base),
            ("memory_bytes", base + self.ahead.memory.bytes),
        )
        yield "ahead_numbers", len(table(walk.back))
        steps = nanoseconds_of_step(walk.back, spec.vectors) + 2 * nanoseconds_of_step(walk.ahead, spec.vectors)
        yield "nanoseconds", float(f"{steps:.3g}")
