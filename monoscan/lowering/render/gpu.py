"""A `GpuSpec` rendered to the text of a kernel: the operator, the sizes and the lists of lanes, and the body's header.

The text is the same for every GPU but for a prelude of names, and the function around it, which a `Dialect` gives.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path

import attrs

from monoscan.lowering.program.ir import Op, Program
from monoscan.lowering.program.nonfinite import HIGH, LOW
from monoscan.lowering.render import emit
from monoscan.lowering.render.emit import TYPES, missing
from monoscan.lowering.render.gpu_adjoint import Pulled
from monoscan.lowering.render.gpu_arrays import Array
from monoscan.lowering.render.gpu_pass import Passed
from monoscan.lowering.render.gpu_spec import Body, GpuSpec, Part
from monoscan.lowering.render.kernel import tag, wrapped
from monoscan.lowering.render.operator import number_members, operator
from monoscan.lowering.render.spec import KernelSpec

FOLDER = Path(__file__).parents[1] / "kernels"

ITEMS = {"bool": "bool_item", "float16": "half_item", "bfloat16": "bfloat_item", "float32": "f32",
         **{f"{u}int{b}": f"{u or 'i'}{b}" for u in ("", "u") for b in (8, 16, 32, 64)}}  # fmt: skip
"""What headers call an item in memory of each dtype."""

_INCLUDE = re.compile(r'#include "([\w/]+\.h)"')


@attrs.frozen
class Dialect:
    """A language that kernels are compiled in.

    Args:
        prelude: What includes the header with the names that differ.
        here: Expressions for where a thread stands: group, number, lane and wave.
    """

    prelude: str
    here: tuple[str, ...]


LACKING: Mapping[str, frozenset[Op]] = {"metal": frozenset({Op.ERF}), "cuda": frozenset()}
"""Operations that a target has no function for."""

MOST_ARRAYS = 30
"""The most arrays of a launch behind the sizes: Metal numbers 31."""


def unsupported(kernel: KernelSpec, target: str) -> str | None:
    """Why no kernel can be rendered, in words for the user; ``None`` if one can.

    Args:
        kernel: What is computed.
        target: ``metal`` or ``cuda``.
    """
    odd = {*kernel.elements, *kernel.results, *kernel.capture_dtypes, *kernel.values} - set(ITEMS)
    states = len(kernel.inputs) + 2 * len(kernel.state)
    arrays = states + len(kernel.capture_dtypes) + max(len(kernel.emit), len(kernel.shown))
    return _without_code(kernel.programs(kernel.tree), odd, target) or _too_many(arrays)


def no_adjoint(pulled: Pulled, target: str) -> str | None:
    """The same of the kernel of an adjoint."""
    arrays = [*pulled.inputs, *pulled.results, *pulled.last]
    odd = {array.dtype for array in arrays} - set(ITEMS)
    return _without_code(pulled.programs.values(), odd, target) or _too_many(len(arrays) + len(pulled.kernel.state))


def _without_code(programs: Iterable[Program], odd: Iterable[str], target: str) -> str | None:
    found = next(iter(sorted(odd)), None)
    for program in programs:
        lacking = (instr.op.value for instr in program.code if instr.op in LACKING[target])
        found = found or missing(program) or next(lacking, None)
    if found == "float64":
        return "MLX computes float64 on the CPU alone: stream=mx.cpu, or astype(mx.float32)"
    return found and f"no GPU code for {found}"


def _too_many(arrays: int) -> str | None:
    return f"{arrays} arrays; a GPU kernel takes {MOST_ARRAYS}" if arrays > MOST_ARRAYS else None


def header(spec: GpuSpec, dialect: Dialect) -> str:
    """What stands before the function, all headers in place."""
    return _expanded(_Text(spec).text(dialect.prelude))


def body(spec: GpuSpec, dialect: Dialect) -> str:
    """What stands in the function: its parameters are ``sizes``, ``flags`` if it looks back, the names of `GpuSpec.arrays`."""
    kernel = spec.kernel
    arrays = [array.name for array in spec.arrays]
    lines, shared = [wrapped("const ms::position here = {", dialect.here, "};").replace("\n", "\n  ")], ""
    if spec.body is Body.LOOK_BACK:
        lines.append("SHARED(ms::u32, ticket, 1);")
        shared = "flags, ticket, "
    places = spec.places
    if places:
        lines += [f"SHARED(ms::scalars::{TYPES[kernel.dtypes[i]]}, total{i}, {places});" for i in _lanes(spec)]
        names = [f"total{i}" for i in _lanes(spec)]
        if spec.guarded:
            lines.append(f"SHARED(ms::i32, votes, {places});")
            names.append("votes")
        shared += f"ms::totals{{{', '.join(names)}}}, "
    gathered = wrapped("ms::gather(", arrays, ")")
    lines.append(f"ms::{spec.body.value}({gathered}, sizes, {shared}here);")
    return "".join(f"  {line}\n" for line in lines)


def _lanes(spec: GpuSpec) -> tuple[int, ...]:
    return spec.kernel.lanes_of(spec.kernel.tree)


class _Text:
    """Writes one kernel.

    Args:
        spec: The kernel.
    """

    def __init__(self, spec: GpuSpec) -> None:
        self.spec = spec
        self.kernel = spec.kernel

    def text(self, prelude: str) -> str:
        """All of it, in order."""
        leaves, around = self.kernel.tree, self.spec.around
        lanes = self.kernel.lanes_of(leaves)
        if around is None:
            programs, struct = self.kernel.programs(leaves), operator(self.kernel, leaves, lanes, "scalars")
        else:
            programs, struct = tuple(around.programs.values()), around.operation(lanes)
        return f"""\
{prelude}
#include "gpu/ops.h"
#include "gpu/{emit.header(*programs)}"
namespace ms {{
{self._facts()}
{struct}
typedef operation::{"element" if self.kernel.action else "state"} element;
{self._arrays()}
}}  // namespace ms
{self._lists()}
#include "gpu/state.h"
#include "gpu/{"elements" if around is None else around.header}.h"
#include "gpu/{self.spec.body.value}.h"
"""

    def _facts(self) -> str:
        spec, kernel = self.spec, self.kernel
        facts = {"run": spec.run, "steps": spec.steps, "waves": spec.waves, "lanes_a_row": spec.lanes,
                 "tile": spec.tile, "axes": spec.axes, "number_of_arrays": len(spec.arrays), "one_column": spec.body not in (Body.COLUMNS, Body.SEQUENTIAL),
                 "reverse": kernel.reverse, "inclusive": kernel.inclusive, "want_results": spec.writes, "last_only": spec.part is Part.SEEDED and not spec.writes}  # fmt: skip
        facts |= {"anchors": spec.anchors} if spec.body is Body.LOOK_BACK else {}
        facts |= {} if spec.around is None else spec.around.facts
        return wrapped("enum { ", [f"{name} = {int(value)}" for name, value in facts.items()], " };")

    def _arrays(self) -> str:
        names = [array.name for array in self.spec.arrays]
        types = [name.upper() for name in names]
        members = " ".join(f"{kind} {name};" for kind, name in zip(types, names, strict=True))
        parameters = ", ".join(f"{kind} {name}" for kind, name in zip(types, names, strict=True))
        template = f"template <{', '.join(f'class {kind}' for kind in types)}>"
        return f"""\
{template} struct arrays {{
  {members}
}};
{template} INLINE arrays<{", ".join(types)}> gather({parameters}) {{
  return {{{", ".join(names)}}};
}}"""

    def _lists(self) -> str:
        spec = self.spec
        lists = {
            "LANES": [f"scalars::{TYPES[self.kernel.dtypes[i]]}, s{i}" for i in _lanes(spec)],
            "ARRAYS": [f"{number}, {array.name}" for number, array in enumerate(spec.arrays)],
            "CAPTURED": self._items("captures"),
        }
        around, kernel = spec.around, self.kernel
        numbers = number_members(kernel, kernel.tree) if around is None else around.number_lanes
        if isinstance(around, Pulled):
            lists |= dict(self._of_adjoint(around))
            optional = {}
        else:
            lists |= {"READS": self._items("elements"), "WRITES": self._items("results")}
            optional = {"INITS": "init", "CARRIES": "carry"}
        if isinstance(around, Passed):
            lists |= dict(self._of_pass(around))
        lists["NUMBERS"] = [f"{place}, {name}" for place, (name, _) in enumerate(numbers)]
        optional |= {"SEEDS": "seeds", "TOTALS": "totals", "PUBLISHED": "published"}
        lists |= {name: items for name, group in optional.items() if (items := self._items(group))}
        if spec.body in (Body.ROWS, Body.LOOK_BACK) and around is None and _has_quads(spec):
            read, written = self._of("elements"), self._of("results")
            lists["READ_QUADS"] = [item for array in read for item in self._quads(array)]
            lists["WRITE_QUADS"] = [item for array in written for item in self._quads(array)]
            lists["QUAD_ARRAYS"] = [f"{array.name}, {prod(array.event)}" for array in (*read, *written)]
        if spec.guarded:
            flags = ((lane, HIGH in kinds, LOW in kinds, lasting) for lane, kinds, lasting in spec.guarded)
            lists["GUARDED"] = [f"s{lane}, {high:d}, {low:d}, {lasting:d}" for lane, high, low, lasting in flags]
        named = ["#define VOTES"] if spec.guarded and spec.body is not Body.SHORT else []
        named += ["#define PRESENTS"] if kernel.shown and isinstance(around, Passed) else []
        named += ["#define BEGINS"] if self.kernel.begin is not None else []
        named += [] if self.kernel.inclusive or self.kernel.identity is None else ["#define IDENTITY"]
        return "\n".join([*named, *(_list(name, items) for name, items in lists.items())])

    def _of_adjoint(self, pulled: Pulled) -> Iterator[tuple[str, list[str]]]:
        """What the header of adjoints reads and writes."""
        groups = {"RIGHTS": "rights", "LEFTS": "lefts", "WEIGHTS": "weights", "ENDS": "ends", "GRADIENTS": "results"}
        yield from ((name, self._items(group)) for name, group in groups.items())
        if pulled.adjoint.seeded:
            yield "BEFORE", self._items("init")
            yield "LATE", _items(map(pulled.late, self._of("weights") if pulled.facts["late"] else ()))
        if starts := self._items("carry"):
            yield "STARTS", starts

    def _of_pass(self, passed: Passed) -> Iterator[tuple[str, list[str]]]:
        """The inputs that its header reads for elements, and those for outputs."""
        for name, read in (("READS", passed.prepared), ("READS_AGAIN", passed.presented)):
            yield name, _items(array for array in self._of("elements") if array.number in read)

    def _of(self, group: str) -> list[Array]:
        return [array for array in self.spec.arrays if array.group == group]

    def _items(self, group: str) -> list[str]:
        return _items(self._of(group))

    def _quads(self, array: Array) -> Iterator[str]:
        members, lanes = array.members, prod(array.event)
        for start in range(0, self.spec.run * lanes, 4):
            places = ", ".join(f"{i // lanes}, {members[i % lanes]}" for i in range(start, start + 4))
            yield f"{array.name}, {tag(array.dtype)}, {lanes}, {start // 4}, {places}"


def _items(arrays: Iterable[Array]) -> list[str]:
    """All lanes of some arrays."""
    return [
        f"{array.name}, {tag(array.dtype)}, {prod(array.event)}, {lane}, {member}"
        for array in arrays
        for lane, member in enumerate(array.members)
    ]


def _has_quads(spec: GpuSpec) -> bool:
    """Whether the items of a run are as many quads, in every array that is walked."""
    walked = [array for array in spec.arrays if array.group in ("elements", "results")]
    return all(spec.run * prod(array.event) % 4 == 0 for array in walked)


def _list(name: str, items: Sequence[str]) -> str:
    """A list as a macro, which is one line for the compiler."""
    text = wrapped(f"#define {name}(each) ", [f"each({item})" for item in items], "").replace("),", ")")
    return text.replace("\n", " \\\n").rstrip()


def _expanded(text: str) -> str:
    """A text with the headers that it includes in place, each once."""
    return "\n".join(_lines(text, set())) + "\n"


def _lines(text: str, seen: set[str]) -> Iterator[str]:
    for line in text.splitlines():
        found = _INCLUDE.fullmatch(line)
        if found is None:
            if line != "#pragma once":
                yield line
        elif found[1] not in seen:
            seen.add(found[1])
            yield from _lines(_header(found[1]), seen)


@functools.cache
def _header(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
