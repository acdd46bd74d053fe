"""How the loop that walks back reaches its arrays: pointers that move from step to step."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from monoscan.lowering.render.backward_spec import BackwardSpec
from monoscan.lowering.render.loops.driver import fill
from monoscan.lowering.render.loops.walk_back import LOOP
from monoscan.lowering.render.prelude import FROM_HALF, TO_HALF, item_type


@attrs.frozen
class Moving:
    """An array with a scan axis, or a captured one, which stands still.

    Args:
        name: What its pointers are called.
        target: The value that its lanes are, but for the number.
        array: Its description in the launch.
        offset: Where its row begins.
        stored: Its dtype.
        lanes: The lanes of an element.
        at: Which index of the scan axis is read; empty for a captured array.
    """

    name: str
    target: str
    array: str
    offset: str
    stored: str
    lanes: int
    at: str

    def pointers(self) -> str:
        """The members of `rows`."""
        const = "" if self.name.startswith("d") else "const "
        each = [f"{const}{item_type(self.stored)}* {self.name}_{k};" for k in range(self.lanes)]
        return " ".join([*each, f"ms_int {self.name}_j, {self.name}_t;"])

    def start(self) -> Iterator[str]:
        """Their values at a step."""
        a, item = self.array, item_type(self.stored)
        along = f" + {self.at} * {a}.axis" if self.at else ""
        for k in range(self.lanes):
            yield f"  p.{self.name}_{k} = ({item}*){a}.data + {self.offset} + {k} * {a}.lane{along};"
        yield f"  p.{self.name}_j = {a}.inner, p.{self.name}_t = {f'{a}.axis * step' if self.at else '0'};"

    def move(self) -> str:
        """Their values one step before."""
        return "  " + " ".join(f"p.{self.name}_{k} -= p.{self.name}_t;" for k in range(self.lanes))


class AccessText:
    """Writes the functions that read and write a step.

    Args:
        spec: The kernel.
    """

    def __init__(self, spec: BackwardSpec) -> None:
        adjoint, self.scalar = spec.adjoint, spec.width == 1
        self.adjoint, self.state = adjoint, spec.adjoint.program.outputs
        captures = adjoint.program.captures
        count = iter(range(1000))

        def moving(name: str, target: str, stored: str, lanes: int, at: str) -> Moving:
            n = next(count)
            return Moving(name, target, f"g->inputs[{n}]", f"w.in[{n}]", stored, lanes, at)

        def lanes(leaf: int) -> int:
            return self.state[leaf].lanes

        self.rights = [moving(f"r{i}", f"o.r{i}", adjoint.stored[i], lanes(i), "at") for i in adjoint.rights]
        self.lefts = [
            moving(f"l{i}", f"o.l{i}", name, lanes(i), "before")
            for i, name in zip(adjoint.lefts, spec.states, strict=True)
        ]
        self.weights = [
            moving(f"w{i}", f"g.g{i}", name, lanes(i), "weight")
            for i, name in zip(adjoint.weights, spec.weights, strict=True)
        ]
        self.captures = [
            moving(f"c{n}", f"o.c{n}", name, leaf.lanes, "")
            for n, (leaf, name) in enumerate(zip(captures, spec.captures, strict=True))
        ]
        self.outputs = [
            Moving(f"d{n}", f"d.d{n}", f"g->outputs[{n}]", f"w.out[{n}]", leaf.dtype, leaf.lanes, "at")
            for n, leaf in enumerate(adjoint.outputs)
        ]

    def text(self) -> str:
        """All of it, in order."""
        adjoint, live = self.adjoint, len(self.adjoint.live)
        moving = [*self.rights, *self.lefts, *self.weights, *self.outputs]
        inits = [line for n, i in enumerate(adjoint.lefts) for line in self._init(f"o.l{i}", live + n, i)]
        ends = [line for n, i in enumerate(adjoint.live) for line in self._init(f"g.g{i}", n, i)]
        starts = [line for n, i in enumerate(adjoint.live) for line in self._carry(n, i)]
        first = "" if adjoint.inclusive else "  cotangents c = g;\n  weigh<false>(p, j, m, c);"
        return fill(
            LOOP,
            at="g->n - 1 - t" if adjoint.reverse else "t",
            step="-1" if adjoint.reverse else "1",
            before="at - step" if adjoint.shifted else "at",
            weight="at" if adjoint.inclusive else "at + step",
            pointers="\n  ".join(a.pointers() for a in [*moving, *self.captures]),
            starts="\n".join(line for a in [*moving, *self.captures] for line in a.start()),
            moves="\n".join(a.move() for a in moving),
            ready=" && ".join(f"{a.array}.inner == 1" for a in moving),
            captures=_body((line for a in self.captures for line in self._read(a, "false", "=")), "o"),
            rights="\n".join(line for a in self.rights for line in self._read(a, "ready", "=")),
            lefts="\n".join(line for a in self.lefts for line in self._read(a, "ready", "=")),
            inits="\n".join(inits) if adjoint.seeded else "",
            shifted="true" if adjoint.shifted else "false",
            weights=_body((line for a in self.weights for line in self._read(a, "ready", "+=")), "g"),
            outputs=_body((line for a in self.outputs for line in self._write(a)), "d"),
            ends=_body(ends, "g"),
            finish=_body([first or "  const cotangents& c = g;", *starts, "  (void)c;"] if adjoint.seeded else [], "g"),
        )

    def _read(self, a: Moving, ready: str, how: str) -> Iterator[str]:
        for k in range(a.lanes):
            yield self._load(f"{a.target}_{k}", f"p.{a.name}_{k}", f"p.{a.name}_j", a.stored, ready, how)

    def _load(self, target: str, start: str, stride: str, stored: str, ready: str, how: str) -> str:
        if self.scalar:
            return f"    {target} {how} {FROM_HALF.get(stored, '')}(({start})[j * {stride}]);"
        item = item_type(stored)
        return f"    {{ {item} b[W]; {target} {how} load_{stored}(items<{ready}>({start}, {stride}, j, m, b)); }}"

    def _init(self, target: str, number: int, leaf: int) -> Iterator[str]:
        a, dtype = f"p.g->inits[{number}]", self.state[leaf].dtype
        for k in range(self.state[leaf].lanes):
            start = f"(const {item_type(dtype)}*){a}.data + p.w->init[{number}] + {k} * {a}.lane"
            yield self._load(f"{target}_{k}", start, f"{a}.inner", dtype, "false", "=")

    def _write(self, a: Moving) -> Iterator[str]:
        for k in range(a.lanes):
            value, start = f"{a.target}_{k}", f"p.{a.name}_{k}"
            if self.scalar:
                yield self._store(value, start, f"p.{a.name}_j", a.stored)
            else:
                whole = f"store_{a.stored}({start} + j, {value});"
                plain = f"ready || (m == W && p.{a.name}_j == 1)"
                yield f"  if ({plain}) {whole} else {self._store(value, start, f'p.{a.name}_j', a.stored)}"

    def _carry(self, number: int, leaf: int) -> Iterator[str]:
        a, dtype = f"p.g->carries[{number}]", self.state[leaf].dtype
        for k in range(self.state[leaf].lanes):
            start = f"(({item_type(dtype)}*){a}.data + p.w->carry[{number}] + {k} * {a}.lane)"
            yield "  " + self._store(f"c.g{leaf}_{k}", start, f"{a}.inner", dtype)

    def _store(self, value: str, start: str, stride: str, stored: str) -> str:
        if self.scalar:
            return f"  {start}[j * {stride}] = {TO_HALF.get(stored, '')}({value});"
        return f"{{ {item_type(stored)} b[W]; store_{stored}(b, {value}); put_items({start}, {stride}, j, m, b); }}"


def _body(lines: Iterator[str] | list[str], name: str) -> str:
    """The lines of a function that may leave its arguments unused."""
    return "\n".join([*lines, f"  (void)p, (void)j, (void)m, (void){name};"])
