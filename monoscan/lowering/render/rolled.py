"""A `RolledSpec` rendered to C++: the operation as loops over arrays of lanes in memory, and the lists of leaves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from monoscan.lowering.program.arrays import ArrayInstr, ArrayProgram, Form
from monoscan.lowering.program.ir import Instr, Op
from monoscan.lowering.program.numbers import table
from monoscan.lowering.render import emit
from monoscan.lowering.render.kernel import declare, tag, unsupported_storage, wrapped
from monoscan.lowering.render.loops import Loops
from monoscan.lowering.render.memory import Memory
from monoscan.lowering.render.places import Vectors
from monoscan.lowering.render.rolled_estimates import nanoseconds_of_rows, nanoseconds_of_step
from monoscan.lowering.render.rolled_spec import RolledSpec, flushes, masks_of, vectors_of
from monoscan.lowering.render.scan_spec import Loop

LONGEST_TABLE = 64
"""The most entries of a lookup: each is a select."""

MOST_PIECES = 256
"""The most pieces of an array that is put together."""

MOST_MEMORY = 1 << 20
"""Bytes of arrays beyond which they leave the second-level cache."""


def render_rolled(spec: RolledSpec) -> str:
    """What of a kernel depends on its operator."""
    return _Rolled(spec).text()


def unsupported_rolled(spec: RolledSpec) -> str | None:
    """Why a kernel cannot be rendered, in words for the user; None if it can."""
    captured = len(spec.combine.captures)
    reasons = [unsupported_program(spec.program, spec.vectors, captured, spec.shared_inputs)]
    reasons += [unsupported_program(spec.beginning, spec.vectors)] if spec.beginning is not None else []
    return next(filter(None, reasons), None) or unsupported_storage(spec)


def unsupported_program(
    program: ArrayProgram, vectors: Vectors, captured: int = 0, shared: Collection[int] = ()
) -> str | None:
    """Why a program cannot be written as loops, in words for the user; None if it can."""
    for instr in program.code:
        reason = _unsupported_instr(instr, [program.values[view.value].dtype for view in instr.args])
        if reason is not None:
            return reason
    size = Loops(program, vectors, captured, shared).peak()
    return (
        None if size <= MOST_MEMORY else f"combine takes {size >> 10} KiB for its arrays, more than {MOST_MEMORY >> 10}"
    )


def fastest_loop(program: ArrayProgram, rows: int, vector_bytes: int) -> Loop:
    """What vectors should hold to take the least time, where there are so many rows."""
    found = {loop: vectors_of(program, loop, vector_bytes) for loop in (Loop.EVENTS, Loop.BATCH)}
    if unsupported_program(program, found[Loop.BATCH]) is not None:
        return Loop.EVENTS
    return min(found, key=lambda loop: nanoseconds_of_rows(program, found[loop], rows))


def _unsupported_instr(instr: ArrayInstr, operands: Sequence[str]) -> str | None:
    if instr.op is Op.LOOKUP and len(operands) > LONGEST_TABLE + 1:
        return f"no CPU code for a lookup in {len(operands) - 1} lanes"
    if len(instr.pieces) > MOST_PIECES:
        return f"no CPU code for an array of {len(instr.pieces)} pieces"
    for op in (instr.op, instr.multiply):
        if op is not None and not emit.supports(Instr(op, (), instr.dtype), operands):
            return f"no CPU code for {op.value} of {', '.join(operands) or 'no operands'} giving {instr.dtype}"
    return None


class _Rolled:
    """Writes one kernel.

    Args:
        spec: The kernel.
    """

    def __init__(self, spec: RolledSpec) -> None:
        self.spec = spec
        self.loops = Loops(spec.program, spec.vectors, len(spec.combine.captures), spec.shared_inputs)
        self.memory = self.loops.memory
        self.outputs = list(zip(spec.emit, spec.results, strict=False)) if spec.want_results else []

    def text(self) -> str:
        """All of it, in order."""
        spec, arity, rights = self.spec, self.spec.combine.arity, self.spec.combine.rights
        identity, neutral = self._identity()
        outputs = list(enumerate(self.outputs))
        lists = {
            "first": [] if spec.action else [(i, spec.elements[i], i) for i in spec.carried],
            "in": [(i, spec.elements[i], arity + i) for i in spec.read],
            "out": [(n, dtype, leaf) for n, (leaf, dtype) in outputs],
            "neutral": [(n, dtype, neutral[leaf]) for n, (leaf, dtype) in outputs if neutral],
            "captured_arrays": [(rights + n, dtype, arity + rights + n) for n, dtype in enumerate(spec.capture_dtypes)],
            "state": [(i, spec.state[i].dtype, i) for i in spec.carried],
            "held": [(i, spec.state[i].dtype, i) for i in spec.kept],
        }
        named = {name: events(self.memory, leaves) for name, leaves in lists.items()}
        operation = self.loops.text(spec.carried, identity + self._begin_member())  # counts the memory
        if spec.beginning is not None:
            text, named["first"] = self._beginning(spec.beginning)
            operation = text + operation
        return text_of([spec.program], spec.vectors, operation, self._facts(), named, "event_rows.h", spec.flush)

    def _begin_member(self) -> str:
        if self.spec.begin is None:
            return ""
        return """\
  static void begin(u8* memory, const void* given) { beginning::run(memory, given); }
"""

    def _beginning(self, program: ArrayProgram) -> tuple[str, list[str]]:
        """The struct that finds the first state, in memory behind all other, and the list of what it reads."""
        spec, loops = self.spec, Loops(program, self.spec.vectors)
        number, base = spec.combine.rights, self.memory.bytes
        found = [loops.memory.add(self.memory.places[leaf]) for leaf in spec.carried]
        given = len(table(spec.program))
        moves = [
            f"    __builtin_memcpy(memory + {self.memory.rooms[leaf].offset}, memory + {base + room.offset}, {room.bytes});"
            for leaf, room in zip(spec.carried, (loops.memory.rooms[value] for value in found), strict=True)
        ]
        more = "\n".join([
            "  static void run(u8* memory, const void* given) {",
            f"    prepare(memory + {base}, (const u8*)given + {given}), combine(memory + {base});", *moves, "  }", "",
        ])  # fmt: skip
        read = [(i, spec.elements[i], i) for i in spec.read]
        read += [(number + n, dtype, number + n) for n, dtype in enumerate(spec.capture_dtypes)]
        listed = events(loops.memory, read, base)
        text = loops.text(found, more, "beginning")
        self.memory.bytes += loops.memory.bytes
        return text, listed

    def _facts(self) -> Iterator[tuple[str, object]]:
        spec, captured = self.spec, len(self.spec.capture_dtypes)
        yield from (("reverse", spec.reverse), ("inclusive", spec.inclusive), ("want_results", spec.want_results))
        yield "begins", spec.begin is not None
        yield "has_identity", spec.identity is not None and not spec.inclusive
        yield from (("states", spec.combine.arity), ("inputs", spec.combine.rights + captured))
        yield from (("outputs", len(self.outputs)), ("memory_bytes", self.memory.bytes))
        yield "nanoseconds", float(f"{nanoseconds_of_step(spec.program, spec.vectors):.3g}")

    def _identity(self) -> tuple[str, dict[int, int]]:
        """The function that fills in the identity, and the array for each leaf that is wanted."""
        spec = self.spec
        if spec.inclusive or spec.identity is None:
            return "", {}
        lines: list[str] = []
        arrays = {leaf: self.memory.add(self.memory.places[leaf]) for leaf, _ in self.outputs}
        start = 0
        for i, leaf in enumerate(spec.state):
            if i in arrays:
                lines += self.loops.table(arrays[i], spec.identity[start : start + leaf.lanes])
            start += leaf.lanes
        body = "\n".join(f"    {line}" for line in lines)
        return f"  static void identity(u8* memory) {{\n{body}\n  }}\n", arrays


def events(memory: Memory, leaves: Iterable[tuple[int, str, int]], base: int = 0) -> list[str]:
    """Leaves as the headers list them: the number of an array, its dtype there, and the value that it is.

    The memory begins at ``base``.
    """
    found = []
    for array, dtype, value in leaves:
        place, kind = memory.places[value], memory.kind(value)
        size = f"{place.rows}, {place.columns}, {place.pitch}, {base + memory.rooms[value].offset}"
        struct = "shared_event" if place.shared else "event"
        found.append(f"{struct}<{array}, {tag(dtype)}, vectors::{kind}, {size}>")
    return found


def text_of(
    programs: Sequence[ArrayProgram], vectors: Vectors, operation: str, facts: Iterable[tuple[str, object]], lists: dict[str, list[str]],
    loop: str, flush: bool,
) -> str:  # fmt: skip
    """A kernel's text: the operation, the facts, the lists of leaves, and the loop."""
    typedefs = "\n".join(wrapped("typedef event_list<", items, f"> {name};") for name, items in lists.items())
    code = [instr for program in programs for instr in program.code]
    log = any(instr.form is Form.CONTRACT and instr.op is Op.LOGADDEXP for instr in code)
    return f"""\
#define MS_WIDTH {vectors.width}
#define MS_BATCH {vectors.rows > 1:d}
#define MS_MASK i{max(map(masks_of, programs))}
#define MS_FLUSH {all(flushes(program, flush) for program in programs):d}
#include "{"log_sums.h" if log else "maths.h"}"
#include "{"event_batch.h" if vectors.rows > 1 else "event_lanes.h"}"
#include "event_lists.h"

{operation}
{declare(facts)}
{typedefs}
#include "{loop}"
"""
