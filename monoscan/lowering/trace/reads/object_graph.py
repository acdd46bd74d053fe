"""What leads where: the parts of functions, classes, modules, instances and containers that code can read.

Attributes are found where they stand, in the dictionaries of instances, modules and
classes along the MRO and in slots. Which of them count is told by the names that the
walked code holds.
"""

from __future__ import annotations

import contextvars
import operator
import sys
import threading
import types
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from monoscan import errors
from monoscan.lowering.trace.reads.bytecode import FALLS_BACK, names_of
from monoscan.lowering.trace.reads.chains import setting
from monoscan.lowering.trace.reads.library import is_library_class, is_library_code, reads_any_attribute
from monoscan.lowering.trace.reads.sorts import MEMBERS, MISSING, Sort, sort_of
from monoscan.lowering.trace.reads.static import (
    DESCRIPTORS,
    bases_of,
    cell_contents,
    class_dict,
    content_of,
    entry_of,
    held_by,
    instance_dict,
    is_special,
    module_dict,
    module_of,
    mro_of,
    referent_of,
    slot_contents,
    slots_of,
    variable_contents,
)
from monoscan.monoids.declared import Declared

_NAMED = ("logging", "threading")
"""Libraries whose objects lead to much that no combine reads: of these, what code names counts."""

_EVERYTHING = frozenset(("__dict__", "__slots__", "vars", "dir", "asdict", "astuple", "getmembers"))
"""Where code names one of these, it may read any attribute."""

_NO_SETTINGS = ("__dict__", "__weakref__", "__builtins__", "__doc__", "__module__", "__spec__", "__loader__")

_OPERATOR = (
    *("combine", "identity", "event", "template", "facts", "promote", "check", "events", "parts", "has_identity"),
    *("before", "after", "restarts", "right", "left", "name", "operator", "prepare", "present"),
)
"""What the library reads of an operator or an aggregator, although no code of the user's says so."""

_STATES = {threading.Event: ("_flag",), threading.Semaphore: ("_value",)}
"""What methods of these classes read of an object that leads to much else."""

CONSTRUCTORS = ("__init__", "__new__", "__post_init__", "__attrs_post_init__")
"""What runs where a class is called."""

_QUIET = frozenset(
    (
        *(
            "__repr__",
            "__str__",
            "__format__",
            "__hash__",
            "__del__",
            "__dir__",
            "__sizeof__",
            "__copy__",
            "__deepcopy__",
        ),
        *("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__set_name__"),
        *("__init_subclass__", "__setattr__", "__delattr__", *CONSTRUCTORS),
    )
)
"""Methods that no arithmetic runs."""

Names = dict[str, None]
Slot = tuple[str, Any]
Child = tuple[Slot, Any]


@attrs.frozen(eq=False)
class Parts:
    """What a value is made of.

    Args:
        children: Where each part is held, and the part.
        open: For each name space, the names that would count if it held them, or how many
            entries it has where all of them count.
    """

    children: list[Child]
    open: dict[str, Names | int] = attrs.field(factory=dict)


def parts_of(value: Any, names: Names) -> Parts:
    """The parts of a value that code with these names can read."""
    kind = type(value)
    if kind is types.FunctionType:
        return _function(value, names)
    if kind is types.MethodType:
        return Parts([(("plain", "__func__"), value.__func__), (("plain", "__self__"), value.__self__)])
    if kind is contextvars.ContextVar:
        return Parts([(("context", None), variable_contents(value, MISSING))])
    if kind in (weakref.ProxyType, weakref.CallableProxyType):
        return Parts([(("referent", "proxy"), referent_of(value))])
    bases = mro_of(kind)
    if Declared in bases and is_library_class(kind):
        return Parts([(("field", name), getattr(value, name)) for name in field_names(kind)])
    if types.ModuleType in bases:
        return _module(value, kind, names)
    if type in bases:
        return _class(value, names)
    if weakref.ref in bases:
        return Parts([(("referent", "ref"), weakref.ref.__call__(value))])
    return _instance(value, kind, names)


def _named(how: str, space: Any, names: Iterable[str]) -> Parts:
    """The entries of a name space that code names."""
    if not _EVERYTHING.isdisjoint(names):
        entries = [((how, name), part) for name, part in space.items() if name not in _NO_SETTINGS]
        return Parts(entries, {how: len(space)})
    wanted = dict.fromkeys(names)
    return Parts([((how, name), space[name]) for name in wanted if name in space], {how: wanted})


def _module(module: types.ModuleType, kind: type, names: Names) -> Parts:
    """The attributes of a module, the function that finds others, and the class where it is the user's."""
    found = _named("attr", module_dict(module), (*names, "__getattr__"))
    head: list[Child] = [] if is_library_class(kind) else [(("class", None), kind)]
    return Parts(head + found.children, found.open)


def _function(function: types.FunctionType, names: Names) -> Parts:
    """The code, defaults, cells, attributes and, unless a library wrote it, the globals of a function."""
    code = function.__code__
    children: list[Child] = [
        (("plain", "__code__"), code),
        (("plain", "__defaults__"), function.__defaults__),
        (("plain", "__kwdefaults__"), function.__kwdefaults__),
    ]
    for i, cell in enumerate(function.__closure__ or ()):
        children.append((("cell", i), cell_contents(cell, MISSING)))
    own = function.__dict__
    if is_library_code(code):
        children += [(("attr", name), part) for name, part in own.items()]
        return Parts(children)
    held = names_of(code)
    scope = function.__globals__
    wanted = held.scope
    if "globals" in held.scope:
        whole = () if _EVERYTHING.isdisjoint(names) else (name for name in scope if name not in _NO_SETTINGS)
        wanted = {**wanted, **held.attributes, **dict.fromkeys(whole)}
    for name in wanted:
        if name in scope:
            children.append((("global", name), scope[name]))
        else:
            part = function.__builtins__.get(name)  # type: ignore[attr-defined, unused-ignore]
            if part is not None and sort_of(part) is not Sort.LEAF:
                children.append((("builtin", name), part))
    children += [(("import", name), sys.modules.get(name)) for name in _imported(function)]
    children += [(("setting", chain), part) for chain in held.chains if (part := setting(function, chain)) is not None]
    if not own and FALLS_BACK not in names:
        return Parts(children, {"global": wanted})
    attributes = _named("attr", own, names)
    return Parts(children + attributes.children, {"global": wanted, **attributes.open})


def _imported(function: types.FunctionType) -> Iterator[str]:
    """The absolute names of the modules that a function imports when it runs."""
    package = function.__globals__.get("__package__") or ""
    for level, name in names_of(function.__code__).imports:
        above = package.rsplit(".", level - 1)[0] if level else ""
        yield f"{above}.{name}".strip(".") if level else name


def _class(kind: type, names: Names) -> Parts:
    """The metaclass, the bases and the entries of a class, also those that syntax calls by name."""
    space = class_dict(kind)
    always = [name for name, part in space.items() if is_special(name) and name not in _QUIET and _is_code(part, kind)]
    if "_member_map_" in space:
        always.append("_member_map_")
    if Declared in mro_of(kind):
        always += _OPERATOR
    found = _named("entry", space, (*names, *always))
    head: list[Child] = [(("class", None), type(kind)), (("bases", None), bases_of(kind))]
    return Parts(head + found.children, found.open)


def _is_code(entry: Any, kind: type) -> bool:
    """Whether a special entry of a class is code that somebody wrote, and not a decorator."""
    if type(entry) is not types.FunctionType:
        return sort_of(entry) is Sort.COMPOUND and any(entry_of(type(entry), how) for how in ("__call__", "__get__"))
    if is_library_code(entry.__code__):
        return False
    return entry.__code__.co_filename != "<string>" or "__dataclass_fields__" not in class_dict(kind)


def _instance(value: Any, kind: type, names: Names) -> Parts:
    """The class, the attributes, the slots and the content of an object."""
    bases = mro_of(kind)
    members = [name for base in bases for name in MEMBERS.get(base, ()) if type(entry_of(kind, name)) in DESCRIPTORS]
    children: list[Child] = [(("member", name), object.__getattribute__(value, name)) for name in members]
    if not is_library_class(kind):
        children.append((("class", None), kind))
    fields = field_names(kind)
    state = [name for base in bases for name in _STATES.get(base, ())]
    wanted = {**names, **dict.fromkeys((*fields, *state))} if fields or state else names
    whole = reads_any_attribute(kind) or not _EVERYTHING.isdisjoint(names)
    space = instance_dict(value)
    found = Parts([])
    if space is not None:
        found = _named("attr", space, ("__dict__",) if whole else wanted)
    children += found.children
    slots = [name for name in slots_of(kind) if whole or name in wanted]
    children += [(("slot", name), slot_contents(value, name, MISSING)) for name in slots]
    content = content_of(value)
    if content is not None:
        children += [(("item", i), part) for i, part in enumerate(content)]
        if dict in bases:
            children += [(("key", i), key) for i, key in enumerate(dict.__iter__(value))]
    elif not children and module_of(kind) not in _NAMED:
        children = [(("held", i), part) for i, part in enumerate(held_by(value))]
        if entry_of(kind, "__length_hint__") is not None:  # an iterator along a sequence
            children.append((("left", None), operator.length_hint(value, -1)))
    return Parts(children, found.open)


def field_names(kind: type) -> tuple[str, ...]:
    """The fields of an attrs class.

    Raises:
        ScanError: The class has an ``__init__`` of its own that attrs did not write.
    """
    declared = entry_of(kind, "__attrs_attrs__")
    if declared is None:
        return ()
    space = class_dict(kind)
    if "__init__" in space and "__attrs_attrs__" not in space:
        raise errors.ScanError(
            f"[{kind.__name__}] has its own __init__ but is not decorated: two of its instances would compare equal. "
            "Decorate the class with @attrs.frozen and declare its fields."
        )
    return tuple([field.name for field in declared])
