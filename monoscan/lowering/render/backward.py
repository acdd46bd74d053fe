"""The adjoint of a scan as one loop: it walks back over the steps, one column a chain.

A vector holds columns, as in the forward sweep. A panel of a few vectors keeps the
cotangents that go from one row to the row before in registers; from panel to panel they
lie in a row of their own. A single column is walked in scalar code.
"""

from __future__ import annotations

from collections.abc import Iterator

from monoscan.lowering.render.backward_access import AccessText
from monoscan.lowering.render.backward_spec import BackwardSpec
from monoscan.lowering.render.base import CLike
from monoscan.lowering.render.c import CScalar, CVector
from monoscan.lowering.render.functions import functions
from monoscan.lowering.render.loops.driver import WALK, fill
from monoscan.lowering.render.loops.walk_back import ACCESS, COLUMN, STEP, SWEEP, TASKS
from monoscan.lowering.render.prelude import scalar_prelude, storage, vector_prelude
from monoscan.lowering.render.spec import SIZES, mask_bytes


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
        adjoint, loop = self.adjoint, COLUMN if self.scalar else SWEEP
        late = 0 if adjoint.inclusive else 1
        values = {
            "late": late,
            "first": 2 if adjoint.seeded else 1,
            "seeded": "true" if adjoint.seeded else "false",
            "weighted": "t + 1 < n" if late else "true",
        }
        if not self.scalar:
            values |= {"get": self._carry_row("get"), "put": self._carry_row("put"), "vectors": self._vectors()}
        parts = [
            self._prelude(),
            ACCESS,
            self._step(),
            self._walk(),
            AccessText(self.spec).text(),
            fill(loop, **values),
        ]
        return "\n".join([*parts, fill(TASKS, ns=f"{self._nanoseconds():.3g}", carry=8 * len(list(self._live())))])

    def _vectors(self) -> int:
        """How many vectors of columns walk side by side: each waits for its own last step, so more hide more."""
        return 4 if len(self.adjoint.step.code) <= 12 else 2 if len(self.adjoint.step.code) <= 40 else 1

    def _mask_bytes(self) -> int:
        step = self.adjoint.step
        return mask_bytes({instr.dtype for instr in step.code} | {leaf.dtype for leaf in step.outputs})

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
