"""The operator as a struct of C++: its state, what it captures, its combine, and the identity."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from monoscan.lowering.program.ir import Program
from monoscan.lowering.render.emit import TYPES, called, family_types, literal, number_lanes, statements
from monoscan.lowering.render.spec import KernelSpec


def operator(spec: KernelSpec, leaves: Sequence[int], held: Sequence[int], family: str, calls: bool = False) -> str:
    """The struct, a template on the family of its values.

    Args:
        spec: The kernel.
        leaves: Those that combine computes.
        held: The lanes of the state, in order.
        family: ``vectors`` or ``scalars``: what the loop works with.
        calls: Large functions are called where there are many.
    """
    functions = spec.functions(tuple(leaves))
    element = element_lanes(spec, spec.read) if spec.action else []
    state = [(f"s{lane}", spec.dtypes[lane]) for lane in held]
    return f"""\
template <class V> struct op {{
{family_types(tuple(functions.values()), [dtype for _, dtype in (*state, *element)])}
  struct state {{
{members(state)}
  }};
{_element(element) if spec.action else ""}  struct captures {{{_block(members([*captured(spec), *number_members(spec, leaves)]))}}};
{"".join(_function(spec, name, program, leaves, held, calls) for name, program in functions.items())}{_identity(spec, held)}}};
typedef op<{family}> operation;
"""


_LETTERS = {"combine": "n", "begin": "b", "compose": "m"}


def number_members(spec: KernelSpec, leaves: Sequence[int]) -> list[tuple[str, str]]:
    """The members that hold the numbers of a kernel's programs, and their dtypes."""
    functions = spec.functions(tuple(leaves)).items()
    return [member for name, program in functions for member in number_lanes(program, _LETTERS[name])]


def element_lanes(spec: KernelSpec, leaves: Sequence[int]) -> list[tuple[str, str]]:
    """The members that hold leaves of an element, and their dtypes: of a scan those of the state."""
    letter = "x" if spec.action else "s"
    return [(f"{letter}{lane}", spec.element[leaf].dtype) for leaf in leaves for lane in spec.element_lanes[leaf]]


def _function(
    spec: KernelSpec, name: str, program: Program, leaves: Sequence[int], held: Sequence[int], calls: bool
) -> str:
    """One function: it yields a state, of elements that are combined an element."""
    right = element_lanes(spec, range(len(spec.element)))
    left = [f"s{lane}" for lane in range(len(spec.dtypes))] if name == "combine" else [lane for lane, _ in right]
    names = [] if name == "begin" else [f"l.{lane}" for lane in left]
    names += [f"r.{lane}" for lane, _ in right] + [f"k.{lane}" for lane, _ in captured(spec)]
    lines, results = statements(program, names, "k.", _LETTERS[name], called(program) if calls else frozenset())
    if name == "compose" or tuple(held) == spec.lanes_of(leaves):
        lines.append(f"return {{{', '.join(results)}}};")
    else:
        values = zip(spec.lanes_of(leaves), results, strict=True)
        lines += ["state y = {};", *(f"y.s{lane} = {value};" for lane, value in values), "return y;"]
    body = "\n".join(f"    {line}" for line in lines)
    kind, element = "element" if name == "compose" else "state", "element" if spec.action else "state"
    sides = [(kind, "l"), (element, "r"), ("captures", "k")][name == "begin" :]
    arguments = ", ".join(f"{kind} {side}" if f"{side}." in body else kind for kind, side in sides)
    return f"  INLINE {kind} {name}({arguments}) {{\n{body}\n  }}\n"


def _element(lanes: Sequence[tuple[str, str]]) -> str:
    return f"  struct element {{\n{members(lanes)}\n  }};\n"


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
