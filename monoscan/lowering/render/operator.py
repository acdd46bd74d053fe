"""The operator as a struct of C++: its state, what it captures, its combine, and the identity."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from monoscan.lowering.render.emit import TYPES, family_types, literal, number_lanes, statements
from monoscan.lowering.render.spec import KernelSpec


def operator(spec: KernelSpec, leaves: Sequence[int], held: Sequence[int], family: str) -> str:
    """The struct, a template on the family of its values.

    Args:
        spec: The kernel.
        leaves: Those that combine computes.
        held: The lanes of the state, in order.
        family: ``vectors`` or ``scalars``: what the loop works with.
    """
    program = spec.program(tuple(leaves))
    names = [f"{side}.s{lane}" for side in "lr" for lane in range(len(spec.dtypes))]
    names += [f"k.{name}" for name, _ in captured(spec)]
    lines, results = statements(program, names, "k.")
    if tuple(held) == spec.lanes_of(leaves):
        lines.append(f"return {{{', '.join(results)}}};")
    else:
        values = zip(spec.lanes_of(leaves), results, strict=True)
        lines += ["state y = {};", *(f"y.s{lane} = {value};" for lane, value in values), "return y;"]
    body = "\n".join(f"    {line}" for line in lines)
    arguments = ", ".join(f"{kind} {name}" if f"{name}." in body else kind for kind, name in
                          (("state", "l"), ("state", "r"), ("captures", "k")))  # fmt: skip
    state = members([(f"s{lane}", spec.dtypes[lane]) for lane in held])
    types = family_types(program, [spec.dtypes[lane] for lane in held])
    return f"""\
template <class V> struct op {{
{types}
  struct state {{
{state}
  }};
  struct captures {{{_block(members([*captured(spec), *number_lanes(program)]))}}};
  INLINE state combine({arguments}) {{
{body}
  }}
{_identity(spec, held)}}};
typedef op<{family}> operation;
"""


def captured(spec: KernelSpec) -> list[tuple[str, str]]:
    """The lanes of captured arrays and their dtypes."""
    leaves = enumerate(spec.combine.captures)
    return [(f"c{number}_{lane}", leaf.dtype) for number, leaf in leaves for lane in range(leaf.lanes)]


def members(lanes: Sequence[tuple[str, str]]) -> str:
    """Declarations of members, neighbours of one type together."""
    groups = groupby(lanes, key=lambda lane: TYPES[lane[1]])
    return "\n".join(f"    {kind} {', '.join(name for name, _ in names)};" for kind, names in groups)


def _identity(spec: KernelSpec, held: Sequence[int]) -> str:
    if spec.inclusive or spec.identity is None:
        return ""
    values = ", ".join(literal(spec.identity[lane], spec.dtypes[lane]) for lane in held)
    return f"  INLINE state identity() {{ return {{{values}}}; }}\n"


def _block(text: str) -> str:
    return f"\n{text}\n  " if text else ""
