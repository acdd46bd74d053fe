"""Guards: whether what an operator reads is what it was, in one straight line of checks.

`guard` writes a Python function for one operator. It fetches each part where it is held,
relative to the operator, and compares: numbers and strings by type and value, arrays by
dtype and shape, buffers by content, containers also by length, other objects by identity.
It returns the arrays, or ``None`` where anything differs. It keeps no object of the user's
alive but strings, numbers and code.
"""

from __future__ import annotations

import operator
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from monoscan.cache import PROGRAMS
from monoscan.lowering.trace.reads.bytecode import FALLS_BACK
from monoscan.lowering.trace.reads.chains import setting
from monoscan.lowering.trace.reads.library import is_library_class
from monoscan.lowering.trace.reads.object_graph import Child, Names, Parts, parts_of
from monoscan.lowering.trace.reads.sameness import content_of_buffer, reference_to, same, same_items
from monoscan.lowering.trace.reads.sorts import MISSING, Sort, by_parts, sort_of
from monoscan.lowering.trace.reads.static import (
    CONTENTS,
    bases_of,
    cell_contents,
    class_dict,
    entry_of,
    held_by,
    instance_dict,
    is_a,
    is_opaque,
    mro_of,
    referent_of,
    slot_contents,
    variable_contents,
)
from monoscan.monoids.declared import Declared

Guard = Callable[[Any], "tuple[mx.array, ...] | None"]

MAX_SLOTS = 512
"""The most slots that a guard compares; an operator that reads more is walked at every call."""

_GONE = (AttributeError, IndexError, KeyError, ReferenceError, TypeError, ValueError)


def guard(root: Any, names: Names, alike: bool = False) -> Guard | None:
    """A function of the root: the arrays that it captures, ``None`` where what it reads has changed.

    Args:
        root: The operator or the function, as it is now.
        names: The names that the code holds which it leads to.
        alike: It serves other roots too, so that fields of the library's operators are compared as well.

    Returns:
        callable: The guard; ``None`` for an operator with more than `MAX_SLOTS` slots.
    """
    writer = _Writer(names, alike)
    writer.visit("root", root)
    return None if writer.slots > MAX_SLOTS else writer.function()


@PROGRAMS.memoised
def _compiled(source: str) -> types.CodeType:
    return compile(source, "<monoscan guard>", "exec")


_HELPERS = {
    "MISSING": MISSING,
    "GONE": _GONE,
    "bases_of": bases_of,
    "cell_contents": cell_contents,
    "class_dict": class_dict,
    "content_of_buffer": content_of_buffer,
    "dereference": weakref.ref.__call__,
    "dict_keys": dict.__iter__,
    "get_attribute": object.__getattribute__,
    "held_by": held_by,
    "instance_dict": instance_dict,
    "is_": operator.is_,
    "length_hint": operator.length_hint,
    "modules": sys.modules,
    "referent_of": referent_of,
    "same": same,
    "same_items": same_items,
    "setting": setting,
    "slot_contents": slot_contents,
    "variable_contents": variable_contents,
}


class _Writer:
    """Writes the lines of a guard while it walks."""

    def __init__(self, names: Names, alike: bool) -> None:
        self.slots = 0
        self._alike = alike
        self._names = names
        self._lines: list[str] = []
        self._constants: dict[str, Any] = {}
        self._arrays: list[str] = []
        self._seen: dict[int, str] = {}
        self._alive: list[Any] = []

    @property
    def source(self) -> str:
        """The text of the guard."""
        body = "\n        ".join([*self._lines, f"return ({''.join(f'{name}, ' for name in self._arrays)})"])
        return f"def guard(root):\n    try:\n        {body}\n    except GONE:\n        return None\n"

    def function(self) -> Guard:
        space: dict[str, Any] = {**_HELPERS, **self._constants}
        exec(_compiled(self.source), space)
        written: Guard = space["guard"]
        return written

    def visit(self, place: str, value: Any, fixed: bool = False) -> None:
        """Adds the checks of what is held in a place.

        Args:
            place: The expression that fetches it.
            value: What it holds now.
            fixed: It will always hold that, as a field of one of the library's operators.
        """
        if self.slots > MAX_SLOTS:
            return
        sort = sort_of(value)
        if fixed and (sort in (Sort.SCALAR, Sort.LEAF) or _is_flat(value)):
            return
        self.slots += 1
        if sort is Sort.SCALAR:
            known = self._constant(value)
            self._refuse(f"{place} is not {known} and not same({place}, {known})")
        elif sort is Sort.LEAF:
            self._refuse(f"{place} is not {self._constant(value)}")
        elif sort is Sort.DESCRIPTOR:
            self._refuse(f"type({place}) is not {self._constant(type(value))}")
        elif _is_flat(value):
            known = self._constant(value)
            self._refuse(f"{place} is not {known} and not same_items({place}, {known})")
        elif id(value) in self._seen:
            self._refuse(f"{place} is not {self._seen[id(value)]}")
        else:
            self._object(self._name(place, value), value, sort, fixed)

    def _name(self, place: str, value: Any) -> str:
        name = f"v{len(self._seen)}"
        self._lines.append(f"{name} = {place}")
        self._seen[id(value)] = name
        self._alive.append(value)
        return name

    def _object(self, name: str, value: Any, sort: Sort, fixed: bool) -> None:
        if sort is Sort.COMPOUND:
            if not fixed:
                self._same(name, value)
            self._parts(name, value, fixed)
            return
        kind = self._constant(type(value))
        if sort is Sort.ARRAY:
            dtype, shape = self._constant(value.dtype), self._constant(value.shape)
            self._refuse(f"type({name}) is not {kind} or {name}.dtype != {dtype} or {name}.shape != {shape}")
            self._arrays.append(name)
        else:
            self._refuse(
                f"type({name}) is not {kind} or content_of_buffer({name}) != {self._constant(content_of_buffer(value))}"
            )

    def _same(self, name: str, value: Any) -> None:
        """A compound object is the same one, or where only its parts tell, of the same class."""
        divided = by_parts(value)
        reference = None if divided else reference_to(value)
        if reference is not None:
            self._refuse(f"{name} is not {self._constant(reference)}()")
        elif is_library_class(type(value)):
            self._refuse(f"type({name}) is not {self._constant(type(value))}")
            if not divided and not parts_of(value, self._names).children:
                self._refuse(f"{name} is not {self._constant(value)}")
        elif not divided and is_opaque(type(value)):
            self._refuse(f"{name} is not {self._constant(value)}")

    def _parts(self, name: str, value: Any, fixed: bool) -> None:
        kind = type(value)
        parts = parts_of(value, self._names)
        if not self._alike:
            fixed = (fixed and kind is tuple) or (is_a(value, Declared) and is_library_class(kind))
        grouped: dict[str, list[Child]] = {}
        for child in parts.children:
            grouped.setdefault(child[0][0], []).append(child)
        for how in dict.fromkeys([*grouped, *parts.open]):
            children = grouped.get(how, [])
            space = self._space(how, name, value)
            if not fixed:
                self._whole(space, how, value, parts, children)
            if how in ("item", "key") and all(sort_of(part) is Sort.SCALAR for _, part in children):
                known = self._constant(tuple(part for _, part in children))
                self._refuse(f"not all(map(is_, {space}, {known})) and not all(map(same, {space}, {known}))")
                continue
            for (_, key), part in children:
                self.visit(_place(how, key, part, name, space), part, fixed)

    def _space(self, how: str, name: str, value: Any) -> str:
        """Fetches what holds the parts of one kind, once for all of them."""
        bases = mro_of(type(value))
        content = next((walk for base, walk in CONTENTS.items() if base in bases), None)
        place = {
            "attr": f'get_attribute({name}, "__dict__")' if threading.local not in bases else f"instance_dict({name})",
            "builtin": f"{name}.__builtins__",
            "cell": f"{name}.__closure__",
            "entry": f"class_dict({name})",
            "global": f"{name}.__globals__",
            "held": f"held_by({name})",
            "item": f"[*{self._constant(content)}({name})]",
            "key": f"[*dict_keys({name})]",
        }.get(how)
        if place is None or type(value) is tuple:
            return name
        self._lines.append(f"{how}_{name} = {place}")
        return f"{how}_{name}"

    def _whole(self, space: str, how: str, value: Any, parts: Parts, children: list[Child]) -> None:
        """What holds of all parts of one kind: how many there are, or which names are not among them."""
        wanted = parts.open.get(how, len(children))
        if type(wanted) is dict:
            absent = wanted.keys() - {key for (_, key), _ in children}
            counted = frozenset(name for name in absent if self._counts(how, value, name))
            if counted:
                self._refuse(f"not {space}.keys().isdisjoint({self._constant(counted)})")
        elif how in ("item", "key", "held", "cell") or how in parts.open:
            self._refuse(f"len({space}) != {wanted}")

    def _counts(self, how: str, value: Any, name: str) -> bool:
        """Whether a name that a name space lacks would change something if it came."""
        if how != "attr" or FALLS_BACK in self._names:
            return True
        kind = type(value)
        if kind in (types.FunctionType, types.ModuleType):
            return False
        return entry_of(kind, name) is not None or entry_of(kind, "__getattr__") is not None

    def _constant(self, value: Any) -> str:
        name = f"k{len(self._constants)}"
        self._constants[name] = value
        return name

    def _refuse(self, condition: str) -> None:
        self._lines.append(f"if {condition}: return None")


def _is_flat(value: Any) -> bool:
    """Whether a value is a tuple of nothing but scalars and leaves."""
    return type(value) is tuple and all(sort_of(part) in (Sort.SCALAR, Sort.LEAF) for part in value)


def _place(how: str, key: Any, part: Any, name: str, space: str) -> str:
    """The expression that fetches a part of the object of this name."""
    if how == "cell":
        return f"cell_contents({space}[{key}], MISSING)" if part is MISSING else f"{space}[{key}].cell_contents"
    if how in ("attr", "builtin", "entry", "global", "held", "item", "key"):
        return f"{space}[{key!r}]"
    if how == "setting" and len(key) == 2:
        return f"{name}.__globals__[{key[0]!r}].__dict__[{key[1]!r}]"
    return {
        "setting": f"setting({name}, {key!r})",
        "bases": f"bases_of({name})",
        "class": f"type({name})",
        "context": f"variable_contents({name}, MISSING)",
        "field": f"{name}.{key}",
        "left": f"length_hint({name}, -1)",
        "import": f"modules.get({key!r})",
        "member": f"get_attribute({name}, {key!r})",
        "plain": f"{name}.{key}",
        "referent": f"dereference({name})" if key == "ref" else f"referent_of({name})",
        "slot": f"slot_contents({name}, {key!r}, MISSING)",
    }[how]
