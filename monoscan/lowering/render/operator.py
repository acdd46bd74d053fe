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
    step, *others = spec.programs(tuple(leaves))
    element = element_lanes(spec, spec.read) if spec.action else []
    state = [(f"s{lane}", spec.dtypes[lane]) for lane in held]
    return f"""\
template <class V> struct op {{
{family_types((step, *others), [dtype for _, dtype in (*state, *element)])}
  struct state {{
{members(state)}
  }};
{_element(element) if spec.action else ""}  struct captures {{{_block(members([*captured(spec), *number_members(spec, leaves)]))}}};
  INLINE state combine({_function(spec, step, leaves, held, calls)}
  }}
{_begin(spec, others, leaves, held, calls)}{_identity(spec, held)}}};
typedef op<{family}> operation;
"""


def number_members(spec: KernelSpec, leaves: Sequence[int]) -> list[tuple[str, str]]:
    """The members that hold the numbers of a kernel's programs, and their dtypes."""
    programs = zip(spec.programs(tuple(leaves)), "nb", strict=False)
    return [member for program, letter in programs for member in number_lanes(program, letter)]


def element_lanes(spec: KernelSpec, leaves: Sequence[int]) -> list[tuple[str, str]]:
    """The members that hold leaves of an element, and their dtypes: of a scan those of the state."""
    letter = "x" if spec.action else "s"
    return [(f"{letter}{lane}", spec.element[leaf].dtype) for leaf in leaves for lane in spec.element_lanes[leaf]]


def _function(spec: KernelSpec, program: Program, leaves: Sequence[int], held: Sequence[int], calls: bool) -> str:
    """The parameters and the body of a program that yields a state."""
    begins = not program.arity
    names = [] if begins else [f"l.s{lane}" for lane in range(len(spec.dtypes))]
    names += [f"r.{name}" for name, _ in element_lanes(spec, range(len(spec.element)))]
    names += [f"k.{name}" for name, _ in captured(spec)]
    called_ones = called(program) if calls else frozenset()
    lines, results = statements(program, names, "k.", "b" if begins else "n", called_ones)
    if tuple(held) == spec.lanes_of(leaves):
        lines.append(f"return {{{', '.join(results)}}};")
    else:
        values = zip(spec.lanes_of(leaves), results, strict=True)
        lines += ["state y = {};", *(f"y.s{lane} = {value};" for lane, value in values), "return y;"]
    body = "\n".join(f"    {line}" for line in lines)
    sides = [("state", "l"), ("element" if spec.action else "state", "r"), ("captures", "k")][begins:]
    arguments = ", ".join(f"{kind} {name}" if f"{name}." in body else kind for kind, name in sides)
    return f"{arguments}) {{\n{body}"


def _element(lanes: Sequence[tuple[str, str]]) -> str:
    return f"  struct element {{\n{members(lanes)}\n  }};\n"


def _begin(spec: KernelSpec, others: Sequence[Program], leaves: Sequence[int], held: Sequence[int], calls: bool) -> str:
    functions = (_function(spec, program, leaves, held, calls) for program in others)
    return "".join(f"  INLINE state begin({function}\n  }}\n" for function in functions)


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
