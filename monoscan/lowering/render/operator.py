"""The operator as a struct of C++: its state, what it captures, its combine, and the identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from monoscan.lowering.program.ir import Program
from monoscan.lowering.program.steady import held_values
from monoscan.lowering.render.emit import TYPES, called, family_types, literal, number_lanes, statements
from monoscan.lowering.render.spec import KernelSpec


def operator(
    spec: KernelSpec, leaves: Sequence[int], held: Sequence[int], family: str, calls: bool = False, once: bool = False
) -> str:
    """The struct, a template on the family of its values.

    Args:
        spec: The kernel.
        leaves: Those that combine computes.
        held: The lanes of the state, in order.
        family: ``vectors`` or ``scalars``: what the loop works with.
        calls: Large functions are called where there are many.
        once: What follows from captured arrays alone is found when these are read.
    """
    functions = spec.functions(tuple(leaves))
    steady = held_members(spec, leaves) if once else []
    captures = [*captured(spec), *number_members(spec, leaves), *steady]
    read = [lane for lanes in _held_apart(spec).values() for lane in lanes]
    state = [(f"s{lane}", spec.dtypes[lane]) for lane in held]
    return f"""\
template <class V> struct op {{
{family_types(tuple(functions.values()), [dtype for _, dtype in (*state, *read)])}
  struct state {{
{members(state)}
  }};
{_structs(spec)}  struct captures {{{_block(members(captures) + (_once(spec, functions, calls) if steady else ""))}}};
{"".join(_function(spec, name, program, leaves, held, calls, once) for name, program in functions.items())}{identity_function(spec, held)}}};
typedef op<{family}> operation;
"""


_LETTERS = {"combine": "n", "begin": "b", "compose": "m", "prepare": "p", "present": "q"}

_AROUND = ("prepare", "present")
"""Those of what is read."""


def number_members(spec: KernelSpec, leaves: Sequence[int]) -> list[tuple[str, str]]:
    """The members that hold the numbers of a kernel's programs, and their dtypes."""
    functions = spec.functions(tuple(leaves)).items()
    return [member for name, program in functions for member in number_lanes(program, _LETTERS[name])]


def held_members(spec: KernelSpec, leaves: Sequence[int]) -> list[tuple[str, str]]:
    """The members that hold what follows from captured arrays alone, and their dtypes."""
    functions = spec.functions(tuple(leaves)).items()
    return [
        (_held(name, value), program.dtypes[value]) for name, program in functions for value in held_values(program)
    ]


def _held(function: str, value: int) -> str:
    return f"{_LETTERS[function]}h{value}"


def _inputs(spec: KernelSpec, name: str) -> list[str]:
    """The text of the input lanes of a function."""
    element = [lane for lane, _ in element_lanes(spec, range(len(spec.element)))]
    right = [lane for lane, _ in input_lanes(spec, range(len(spec.inputs)))] if name in _AROUND else element
    left = {
        "combine": [f"s{lane}" for lane in range(len(spec.dtypes))], "compose": element,
        "present": [f"s{lane}" for lane in spec.lanes_of(spec.given)],
    }  # fmt: skip
    names = [f"l.{lane}" for lane in left.get(name, ())]
    return names + [f"r.{lane}" for lane in right] + [f"k.{lane}" for lane, _ in captured(spec)]


def _once(spec: KernelSpec, functions: Mapping[str, Program], calls: bool) -> str:
    """The function that finds what is kept, of what is read."""
    lines: list[str] = []
    for name, program in functions.items():
        values = held_values(program)
        own, found = statements(
            program, _inputs(spec, name), "k.", _LETTERS[name], called(program) if calls else frozenset(), wanted=values
        )
        kept = [f"k.{_held(name, value)} = {text};" for value, text in zip(values, found, strict=True)]
        lines += ["{", *(f"  {line}" for line in (*own, *kept)), "}"] if values else []
    body = "\n".join(f"      {line}" for line in lines)
    return f"\n    INLINE void once(captures& k) {{\n{body}\n    }}"


def input_lanes(spec: KernelSpec, leaves: Sequence[int]) -> list[tuple[str, str]]:
    """The members that hold leaves of what is read, and their dtypes: those of an element where none is prepared."""
    if spec.around is None:
        return element_lanes(spec, leaves)
    return [(f"i{lane}", spec.inputs[leaf].dtype) for leaf in leaves for lane in spec.input_lanes[leaf]]


def element_lanes(spec: KernelSpec, leaves: Sequence[int]) -> list[tuple[str, str]]:
    """The members that hold leaves of an element, and their dtypes: of a scan those of the state."""
    letter = "x" if spec.action else "s"
    return [(f"{letter}{lane}", spec.element[leaf].dtype) for leaf in leaves for lane in spec.element_lanes[leaf]]


def written(spec: KernelSpec) -> list[tuple[str, str]]:
    """The members that hold what is written and is no state, and their dtypes."""
    leaves = spec.around.outputs if spec.around else ()
    return [(f"y{lane}", dtype) for lane, dtype in enumerate(leaf.dtype for leaf in leaves for _ in range(leaf.lanes))]


def _function(
    spec: KernelSpec,
    name: str,
    program: Program,
    leaves: Sequence[int],
    held: Sequence[int],
    calls: bool,
    once: bool,
) -> str:
    """One function: it yields a state, of elements that are combined an element."""
    known = {value: f"k.{_held(name, value)}" for value in held_values(program)} if once else {}
    functions = called(program) if calls else frozenset()
    lines, results = statements(
        program, _inputs(spec, name), "k.", _LETTERS[name], functions, known, wrapped=not spec.wrapped_by_stores
    )
    whole = name in ("compose", "present") or (name == "prepare" and spec.action)
    if whole or tuple(held) == spec.lanes_of(leaves):
        lines.append(f"return {{{', '.join(results)}}};")
    else:
        values = zip(spec.lanes_of(leaves), results, strict=True)
        lines += ["state y = {};", *(f"y.s{lane} = {value};" for lane, value in values), "return y;"]
    body = "\n".join(f"    {line}" for line in lines)
    element = "element" if spec.action else "state"
    left, right, kind = {
        "compose": ("element", element, "element"), "prepare": ("", "input", element),
        "present": ("state", "input", "output"), "begin": ("", element, "state"),
    }.get(name, ("state", element, "state"))  # fmt: skip
    sides = [(left, "l"), (right, "r"), ("captures", "k")][not left :]
    arguments = ", ".join(f"{each} {side}" if f"{side}." in body else each for each, side in sides)
    return f"  INLINE {kind} {name}({arguments}) {{\n{body}\n  }}\n"


def _held_apart(spec: KernelSpec) -> dict[str, list[tuple[str, str]]]:
    """The members of elements, and of what is read and written, where these are no states."""
    around = spec.around is not None
    leaves = range(len(spec.element)) if around else spec.read
    found = {"element": element_lanes(spec, leaves)} if spec.action else {}
    return found | ({"input": input_lanes(spec, spec.read), "output": written(spec)} if around else {})


def _structs(spec: KernelSpec) -> str:
    """Those of what is held apart from states."""
    return "".join(f"  struct {name} {{{_block(members(lanes))}}};\n" for name, lanes in _held_apart(spec).items())


def captured(spec: KernelSpec) -> list[tuple[str, str]]:
    """The lanes of captured arrays and their dtypes."""
    leaves = enumerate(spec.combine.captures)
    return [(f"c{number}_{lane}", leaf.dtype) for number, leaf in leaves for lane in range(leaf.lanes)]


def members(lanes: Sequence[tuple[str, str]]) -> str:
    """Declarations of members, neighbours of one type together."""
    groups = groupby(lanes, key=lambda lane: TYPES[lane[1]])
    return "\n".join(f"    {kind} {', '.join(name for name, _ in names)};" for kind, names in groups)


def identity_function(spec: KernelSpec, held: Sequence[int]) -> str:
    """The function of the identity, where it stands in results."""
    if spec.inclusive or spec.identity is None:
        return ""
    values = ", ".join(literal(spec.identity[lane], spec.dtypes[lane]) for lane in held)
    return f"  INLINE state identity() {{ return {{{values}}}; }}\n"


def _block(text: str) -> str:
    return f"\n{text}\n  " if text else ""
