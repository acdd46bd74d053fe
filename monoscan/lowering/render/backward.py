"""The adjoint of a scan as one loop: it walks back over the steps, one column a chain.

A vector holds columns, as in the forward sweep, and the cotangents that go from one row
to the row before lie in a row of their own; a single column is walked in registers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import attrs

from monoscan.lowering.adjoint import Adjoint
from monoscan.lowering.render.base import CLike
from monoscan.lowering.render.c import CScalar, CVector
from monoscan.lowering.render.functions import functions
from monoscan.lowering.render.loops.driver import WALK, fill
from monoscan.lowering.render.loops.walk_back import ACCESS, COLUMN, LOOP, STEP, SWEEP, TASKS
from monoscan.lowering.render.prelude import item_type, scalar_prelude, storage, vector_prelude
from monoscan.lowering.render.spec import HALF, SIZES


@attrs.frozen
class BackwardSpec:
    """One backward kernel.

    Args:
        adjoint: What it computes.
        states: The storage dtype of each of the adjoint's `lefts`.
        weights: The storage dtype of each of its `weights`.
        captures: The storage dtype of each captured array.
        vector_bytes: The width of the machine's registers; 0 writes scalar code.
    """

    adjoint: Adjoint
    states: tuple[str, ...]
    weights: tuple[str, ...]
    captures: tuple[str, ...]
    vector_bytes: int

    @cached_property
    def width(self) -> int:
        """Lanes of a vector."""
        step = self.adjoint.step
        used = {step.dtypes[a] for instr in step.code for a in instr.args} | {instr.dtype for instr in step.code}
        used |= {leaf.dtype for leaf in step.outputs}
        widest = max((max(SIZES[name], 4) for name in used), default=4)
        return max(4, self.vector_bytes // widest) if self.vector_bytes else 1


def unsupported(spec: BackwardSpec) -> str | None:
    """Why there is no kernel for it, or ``None`` if there is."""
    step = spec.adjoint.step
    for instr in step.code:
        operands = [step.dtypes[a] for a in instr.args]
        if not CLike().supports(instr, operands):
            return f"no CPU code for {instr.op.value} of {', '.join(operands) or 'no operands'} giving {instr.dtype}"
    names = (*spec.states, *spec.weights, *spec.captures, *spec.adjoint.stored)
    return next((f"no CPU code for {name}" for name in names if name not in (*CLike.types, *HALF)), None)


def render_backward(spec: BackwardSpec) -> str:
    """The source text of a backward kernel."""
    return BackwardText(spec).text()


class BackwardText:
    """Writes the step, the access to arrays and the loops.

    Args:
        spec: The kernel.
    """

    def __init__(self, spec: BackwardSpec) -> None:
        self.spec = spec
        self.adjoint = spec.adjoint
        self.state = spec.adjoint.program.outputs
        self.scalar = spec.width == 1
        self.dialect: CLike = CScalar() if self.scalar else CVector(self._mask_bytes() == 4)

    def text(self) -> str:
        """All of it, in order."""
        loop = COLUMN if self.scalar else SWEEP
        seeded, late = self.adjoint.seeded, 0 if self.adjoint.inclusive else 1
        common = {"late": late, "first": 2 if seeded else 1, "seeded": "true" if seeded else "false"}
        rows = {"get": self._carry_row("get"), "put": self._carry_row("put")} if not self.scalar else {}
        parts = [self._prelude(), ACCESS, self._step(), self._walk(), self._access(), fill(loop, **common, **rows)]
        return "\n".join([*parts, fill(TASKS, ns=f"{self._nanoseconds():.3g}", carry=8 * len(list(self._live())))])

    def _mask_bytes(self) -> int:
        step = self.adjoint.step
        names = {instr.dtype for instr in step.code} | {leaf.dtype for leaf in step.outputs}
        return min((max(4, SIZES[name]) for name in names if name != "bool"), default=4)

    def _prelude(self) -> str:
        step, types = self.adjoint.step, dict(self.dialect.types)
        if self.scalar:
            return scalar_prelude() + "static const int W = 1;\n" + functions(step, types, None)
        return (
            vector_prelude(self.spec.width, self._mask_bytes())
            + functions(step, types, self.spec.width)
            + storage(self._stored())
        )

    def _stored(self) -> set[str]:
        spec, adjoint = self.spec, self.adjoint
        names = {*spec.states, *spec.weights, *spec.captures, *(adjoint.stored[i] for i in adjoint.rights)}
        return (
            names
            | {leaf.dtype for leaf in adjoint.outputs}
            | {self.state[i].dtype for i in adjoint.live}
            | {self.state[i].dtype for i in adjoint.lefts}
        )

    def _live(self) -> Iterator[tuple[int, int]]:
        """The lanes that carry cotangents: leaf and lane."""
        return ((leaf, lane) for leaf in self.adjoint.live for lane in range(self.state[leaf].lanes))

    def _step(self) -> str:
        adjoint, types = self.adjoint, self.dialect.types
        captures = adjoint.program.captures
        names = [f"o.l{i}_{k}" for i, leaf in enumerate(self.state) for k in range(leaf.lanes)]
        names += [f"o.r{i}_{k}" for i, leaf in enumerate(self.state) for k in range(leaf.lanes)]
        names += [f"o.c{i}_{k}" for i, leaf in enumerate(captures) for k in range(leaf.lanes)]
        names += [f"g.g{i}_{k}" for i, k in self._live()]
        statements, results = self.dialect.body(adjoint.step, names)
        carried = [f"left.g{i}_{k}" for i, k in self._live()]
        given = [f"d.d{i}_{k}" for i, leaf in enumerate(adjoint.outputs) for k in range(leaf.lanes)]
        held = [leaf.dtype for leaf in adjoint.step.outputs[len(adjoint.live) :] for _ in range(leaf.lanes)]
        lines = [*statements, *(f"{name} = {value};" for name, value in zip(carried + given, results, strict=True))]
        operands = [f"{types[self.state[i].dtype]} {side}{i}_{k};" for side, leaves in (("l", adjoint.lefts), ("r", adjoint.rights))
                    for i in leaves for k in range(self.state[i].lanes)]  # fmt: skip
        operands += [f"{types[leaf.dtype]} c{i}_{k};" for i, leaf in enumerate(captures) for k in range(leaf.lanes)]
        return fill(
            STEP,
            cotangents=" ".join(f"{types[self.state[i].dtype]} g{i}_{k};" for i, k in self._live()),
            operands=" ".join(operands),
            gradients=" ".join(f"{types[name]} {target[2:]};" for name, target in zip(held, given, strict=True)),
            how="INLINE" if len(adjoint.step.code) <= 72 else "NOINLINE",
            body="\n".join(f"  {line}" for line in lines) + "\n  (void)o, (void)left;",
            copy="\n".join(f"  {line}" for line in self._copies(given, held)) + "\n  (void)g;",
        )

    def _copies(self, given: list[str], held: list[str]) -> Iterator[str]:
        lanes = [(i, k) for i in self.adjoint.gradients for k in range(self.state[i].lanes)]
        for number, (target, name) in enumerate(zip(given, held, strict=True)):
            own = lanes[number] if number < len(lanes) and lanes[number][0] in self.adjoint.live else None
            yield f"{target} = {f'g.g{own[0]}_{own[1]}' if own else self.dialect.literal(0, name)};"

    def _walk(self) -> str:
        adjoint = self.adjoint
        inputs = len(adjoint.rights) + len(adjoint.lefts) + len(adjoint.weights) + len(adjoint.program.captures)
        live = len(adjoint.live)
        return fill(
            WALK, inputs=inputs, outputs=len(adjoint.outputs), inits=live + (len(adjoint.lefts) if adjoint.seeded else 0),
            carries=max(live, 1), steps_before="0",
        )  # fmt: skip

    def _access(self) -> str:
        adjoint, spec = self.adjoint, self.spec
        a, b = len(adjoint.rights), len(adjoint.rights) + len(adjoint.lefts)
        c = b + len(adjoint.weights)
        rights = [
            line
            for n, i in enumerate(adjoint.rights)
            for line in self._read(f"o.r{i}", "inputs", n, adjoint.stored[i], i, "p.at")
        ]
        lefts = [
            line
            for n, i in enumerate(adjoint.lefts)
            for line in self._read(f"o.l{i}", "inputs", a + n, spec.states[n], i, "p.before")
        ]
        weights = [line for n, i in enumerate(adjoint.weights)
                   for line in self._read(f"g.g{i}", "inputs", b + n, spec.weights[n], i, "p.weight", "+=")]  # fmt: skip
        inits = [line for n, i in enumerate(adjoint.lefts)
                 for line in self._read(f"o.l{i}", "inits", len(adjoint.live) + n, self.state[i].dtype, i, None)]  # fmt: skip
        ends = [
            line
            for n, i in enumerate(adjoint.live)
            for line in self._read(f"g.g{i}", "inits", n, self.state[i].dtype, i, None)
        ]
        captures = [
            line
            for n, (leaf, stored) in enumerate(zip(adjoint.program.captures, spec.captures, strict=True))
            for k in range(leaf.lanes)
            for line in [self._load(f"o.c{n}_{k}", "inputs", c + n, stored, k, None, "=")]
        ]
        outputs = [
            line
            for n, leaf in enumerate(adjoint.outputs)
            for line in self._write(f"d.d{n}", "outputs", n, leaf.dtype, leaf.lanes, True)
        ]
        starts = [
            line
            for n, i in enumerate(adjoint.live)
            for line in self._write(f"c.g{i}", "carries", n, self.state[i].dtype, self.state[i].lanes, False)
        ]
        late = [] if adjoint.inclusive else ["  cotangents c = g;", "  weigh(p, j, m, c);"]
        unused = "  (void)p, (void)j, (void)m;"
        return fill(
            LOOP,
            captures="\n".join([*captures, unused]),
            rights="\n".join(rights),
            lefts="\n".join(lefts),
            inits="\n".join(inits) if adjoint.seeded else "",
            weights="\n".join([*weights, unused, "  (void)g;"]),
            outputs="\n".join([*outputs, unused, "  (void)d;"]),
            ends="\n".join([*ends, unused]),
            starts="\n".join([*(late or ["  const cotangents& c = g;"]), *starts, unused, "  (void)c;"])
            if adjoint.seeded
            else unused + "  (void)g;",
            shifted="true" if adjoint.shifted else "false",
            at="g->n - 1 - t" if adjoint.reverse else "t",
            step="-1" if adjoint.reverse else "1",
            before="at - step" if adjoint.shifted else "at",
            weight="at" if adjoint.inclusive else "at + step",
        )

    def _read(
        self, name: str, group: str, number: int, stored: str, leaf: int, at: str | None, how: str = "="
    ) -> list[str]:
        return [self._load(f"{name}_{k}", group, number, stored, k, at, how) for k in range(self.state[leaf].lanes)]

    def _load(self, target: str, group: str, number: int, stored: str, lane: int, at: str | None, how: str) -> str:
        a, offset = f"p.g->{group}[{number}]", {"inputs": "in", "inits": "init"}[group]
        item = item_type(stored)
        start = f"(const {item}*){a}.data + p.w->{offset}[{number}] + {lane} * {a}.lane" + (
            f" + {at} * {a}.axis" if at else ""
        )
        if self.scalar:
            value = f"({start})[j * {a}.inner]"
            value = {"float16": f"from_half({value})", "bfloat16": f"from_bfloat({value})"}.get(stored, value)
            return f"    {target} {how} {value};"
        return f"    {{ {item} b[W]; {target} {how} load_{stored}(items({start}, {a}.inner, j, m, b)); }}"

    def _write(self, name: str, group: str, number: int, stored: str, lanes: int, axis: bool) -> list[str]:
        a, offset, item = f"p.g->{group}[{number}]", {"outputs": "out", "carries": "carry"}[group], item_type(stored)
        lines = []
        for k in range(lanes):
            start = f"({item}*){a}.data + p.w->{offset}[{number}] + {k} * {a}.lane" + (
                f" + p.at * {a}.axis" if axis else ""
            )
            value = f"{name}_{k}"
            if self.scalar:
                value = {"float16": f"to_half({value})", "bfloat16": f"to_bfloat({value})"}.get(stored, value)
                lines.append(f"  ({start})[j * {a}.inner] = {value};")
            else:
                gathered = f"{item} b[W]; store_{stored}(b, {value}); put_items({start}, {a}.inner, j, m, b);"
                lines.append(
                    f"  if (m == W && {a}.inner == 1) store_{stored}({start} + j, {value}); else {{ {gathered} }}"
                )
        return lines

    def _carry_row(self, verb: str) -> str:
        lines = []
        for n, (i, k) in enumerate(self._live()):
            dtype = self.state[i].dtype
            where = f"row + pitch * {8 * n} + j * {SIZES[dtype]}"
            lines.append(
                f"  g.g{i}_{k} = load_{dtype}({where});" if verb == "get" else f"  store_{dtype}({where}, g.g{i}_{k});"
            )
        return "\n".join(lines)

    def _nanoseconds(self) -> float:
        """Nanoseconds for one element, roughly."""
        arrays = (
            len(self.adjoint.rights) + len(self.adjoint.lefts) + len(self.adjoint.weights) + len(self.adjoint.outputs)
        )
        return (
            max(3.0, len(self.adjoint.step.code)) if self.scalar else 0.05 * arrays + 0.02 * len(self.adjoint.step.code)
        )
