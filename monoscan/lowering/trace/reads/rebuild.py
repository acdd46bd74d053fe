"""The same object graph with other arrays in it: a copy of what leads to an array, the rest as it is.

Nothing is changed in place, so that other threads and other calls see what they saw.
Functions get copies of their globals, modules and classes stand-ins with the same
entries, and objects are made without running their ``__init__``, ``__copy__`` or the
hooks of their class.
"""

from __future__ import annotations

import abc
import collections
import contextvars
import functools
import types
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from monoscan import errors
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.trace.reads.bytecode import names_of
from monoscan.lowering.trace.reads.library import is_library_class
from monoscan.lowering.trace.reads.object_graph import Names, field_names, parts_of
from monoscan.lowering.trace.reads.sorts import MISSING, Sort, sort_of
from monoscan.lowering.trace.reads.static import (
    DESCRIPTORS,
    bases_of,
    cell_contents,
    class_dict,
    content_of,
    entry_of,
    instance_dict,
    is_opaque,
    module_dict,
    mro_of,
    name_of,
    native_of,
    referent_of,
    slot_contents,
    slots_of,
)
from monoscan.monoids.declared import Declared

_NOT_COPIED = ("__dict__", "__weakref__", "__slots__", "__init_subclass__", "_abc_impl", "__abstractmethods__")


def rebuild(root: Any, arrays: Sequence[Any], others: Sequence[Any], leading: dict[int, Any]) -> Any:
    """The root with other arrays in place of its own.

    Args:
        root: An operator, a function, or anything that holds some.
        arrays: The arrays that were found.
        others: What takes their places.
        leading: What `leading_to` found.
    """
    copy = _Copy({id(old): new for old, new in zip(arrays, others, strict=True)}, leading)
    rebuilt = copy.visit(root)
    copy.finish()
    return rebuilt


def leading_to(arrays: Sequence[Any], root: Any, names: Names) -> dict[int, Any]:
    """The compound values from which an array can be reached, by ``id``.

    Args:
        arrays: The arrays.
        root: An operator, a function, or anything that holds some.
        names: The names that the code holds which the root leads to.
    """
    replaced = {id(array) for array in arrays}
    values: dict[int, Any] = {id(root): root}
    holders: dict[int, list[int]] = {}
    queue = [root]
    while queue:
        value = queue.pop()
        if id(value) in replaced or sort_of(value) is not Sort.COMPOUND:
            continue
        children = [part for _, part in parts_of(value, names).children]
        for part in children:
            holders.setdefault(id(part), []).append(id(value))
            if id(part) not in values:
                values[id(part)] = part
                queue.append(part)
        if type in mro_of(type(value)):  # a copied class needs copied bases, lest it be registered with these
            for base in _own_bases(value):
                holders.setdefault(id(value), []).append(id(base))
    reached: dict[int, Any] = {}
    found = [number for number in replaced if number in values]
    while found:
        for holder in holders.get(found.pop(), ()):
            if holder not in reached:
                reached[holder] = values[holder]
                found.append(holder)
    return reached


def _own_bases(kind: type) -> list[type]:
    return [base for base in bases_of(kind) if not is_library_class(base)]


class _Copy:
    """Copies the values that lead to a replaced array; what may hold itself is filled when all of it is there."""

    def __init__(self, replacements: dict[int, Any], leading: dict[int, Any]) -> None:
        self._replacements = replacements
        self._leading = leading
        self._made: dict[int, Any] = {}
        self._unfilled: list[Callable[[], None]] = []

    def visit(self, value: Any) -> Any:
        number = id(value)
        if number in self._replacements:
            return self._replacements[number]
        if number not in self._leading:
            return value
        if number not in self._made:
            self._made[number] = self._shell(value)
        return self._made[number]

    def finish(self) -> None:
        """Fills what was only begun."""
        while self._unfilled:
            self._unfilled.pop()()

    def _shell(self, value: Any) -> Any:
        kind = type(value)
        bases = mro_of(kind)
        if kind is types.FunctionType:
            return self._function(value)
        if kind is types.CellType:
            cell = types.CellType()
            self._later(lambda: setattr(cell, "cell_contents", self.visit(value.cell_contents)))
            return cell
        if types.ModuleType in bases:
            return self._module(value, kind)
        if type in bases:
            return self._class(value, kind)
        make = _MAKERS.get(kind)
        return self._instance(value, kind) if make is None else make(value, self.visit)

    def _later(self, fill: Callable[[], None]) -> None:
        self._unfilled.append(fill)

    def _function(self, value: types.FunctionType) -> Any:
        cells = tuple(types.CellType() for _ in value.__closure__ or ())
        scope: dict[str, Any] = {}
        clone = types.FunctionType(value.__code__, scope, value.__name__, None, cells or None)

        def fill() -> None:
            read = names_of(value.__code__).scope
            known = value.__globals__
            scope.update(
                {name: self.visit(known[name]) for name in (known if "globals" in read else read) if name in known}
            )
            scope["__builtins__"] = value.__builtins__  # type: ignore[attr-defined, unused-ignore]
            for own, cell in zip(cells, value.__closure__ or (), strict=True):
                if cell_contents(cell, MISSING) is not MISSING:
                    own.cell_contents = self.visit(cell.cell_contents)
            clone.__defaults__ = self.visit(value.__defaults__)
            clone.__kwdefaults__ = self.visit(value.__kwdefaults__)
            clone.__dict__.update({name: self.visit(part) for name, part in value.__dict__.items()})
            clone.__qualname__, clone.__module__ = value.__qualname__, value.__module__

        self._later(fill)
        return clone

    def _module(self, value: types.ModuleType, kind: type) -> Any:
        clone = types.ModuleType.__new__(self.visit(kind))
        types.ModuleType.__init__(clone, str(module_dict(value).get("__name__")))
        self._later(lambda: self._fill(module_dict(clone), module_dict(value)))
        return clone

    def _fill(self, space: dict[Any, Any], entries: dict[Any, Any]) -> None:
        space.update({name: self.visit(part) for name, part in entries.items()})

    def _class(self, value: type, kind: type) -> Any:
        space = class_dict(value)
        body = {name: space[name] for name in ("__module__", "__qualname__", "__orig_bases__") if name in space}
        if "__slots__" in space:
            slots = [name for name, entry in space.items() if type(entry) is types.MemberDescriptorType]
            body["__slots__"] = (*slots, *(name for name in ("__dict__", "__weakref__") if name in space))
        make = abc.ABCMeta.__new__ if abc.ABCMeta in mro_of(kind) else type.__new__
        bases = tuple(self.visit(base) for base in bases_of(value))
        clone: type = make(self.visit(kind), name_of(value), bases, body)
        if "__abstractmethods__" in space:
            type.__setattr__(clone, "__abstractmethods__", space["__abstractmethods__"])

        def fill() -> None:  # entry by entry, lest __set_name__ be called
            for name, entry in space.items():
                if name not in _NOT_COPIED and type(entry) not in DESCRIPTORS:
                    type.__setattr__(clone, name, self.visit(entry))

        self._later(fill)
        return clone

    def _instance(self, value: Any, kind: type) -> Any:
        bases = mro_of(kind)
        if is_opaque(kind):  # the trace says what it cannot follow
            return value
        arguments: list[Any] = []
        if tuple in bases or frozenset in bases:
            arguments = [[self.visit(part) for part in content_of(value) or ()]]
        elif not _SCALARS.isdisjoint(bases):
            arguments = [*(content_of(value) or ())]
        try:
            clone = native_of(kind).__new__(self.visit(kind), *arguments)
        except TypeError:  # made by C alone
            return value
        self._later(lambda: self._fill_instance(clone, value, bases))
        return clone

    def _fill_instance(self, clone: Any, value: Any, bases: tuple[type, ...]) -> None:
        if dict in bases:
            put = collections.OrderedDict.__setitem__ if collections.OrderedDict in bases else dict.__setitem__
            for key, part in dict.items(value):
                put(clone, key, self.visit(part))
        for base, refill in _REFILL.items():
            if base in bases:
                refill(clone, value, [self.visit(part) for part in content_of(value) or ()])
        if BaseException in bases:
            clone.args = self.visit(value.args)
        for name in slots_of(type(value)):
            part = slot_contents(value, name, MISSING)
            if part is not MISSING:
                entry_of(type(clone), name).__set__(clone, self.visit(part))
        space, own = instance_dict(value), instance_dict(clone)
        if space and own is not None:
            self._fill(own, space)


_SCALARS = frozenset((int, float, complex, str, bytes))


def _keep_factory(clone: Any, value: Any, _: list[Any]) -> None:
    class_dict(collections.defaultdict)["default_factory"].__set__(clone, value.default_factory)


_REFILL: dict[type, Callable[[Any, Any, list[Any]], None]] = {
    list: lambda clone, value, parts: list.extend(clone, parts),
    set: lambda clone, value, parts: set.update(clone, parts),
    collections.deque: lambda clone, value, parts: collections.deque.__init__(clone, parts, value.maxlen),
    collections.defaultdict: _keep_factory,
}


class _Variable:
    """Stands in for a context variable that holds a replaced array."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def get(self, default: Any = None) -> Any:
        return self._value


def _weak(target: Any) -> Callable[[], Any]:
    return lambda: target


Visit = Callable[[Any], Any]
_MAKERS: dict[type, Callable[[Any, Visit], Any]] = {
    types.MethodType: lambda value, visit: types.MethodType(visit(value.__func__), visit(value.__self__)),
    types.BuiltinFunctionType: lambda value, visit: getattr(visit(value.__self__), value.__name__),
    types.MethodWrapperType: lambda value, visit: getattr(visit(value.__self__), value.__name__),
    types.MappingProxyType: lambda value, visit: types.MappingProxyType({k: visit(part) for k, part in value.items()}),
    functools.partial: lambda value, visit: functools.partial(
        visit(value.func), *visit(value.args), **{name: visit(part) for name, part in value.keywords.items()}
    ),
    property: lambda value, visit: property(visit(value.fget), value.fset, value.fdel, value.__doc__),
    staticmethod: lambda value, visit: staticmethod(visit(value.__func__)),
    classmethod: lambda value, visit: classmethod(visit(value.__func__)),
    type(functools.lru_cache(len)): lambda value, visit: functools.lru_cache(**value.cache_parameters())(
        visit(value.__wrapped__)
    ),
    weakref.ref: lambda value, visit: _weak(visit(value())),
    weakref.ProxyType: lambda value, visit: visit(referent_of(value)),
    weakref.CallableProxyType: lambda value, visit: visit(referent_of(value)),
    contextvars.ContextVar: lambda value, visit: _Variable(visit(value.get())),
}
"""How to make what cannot be filled afterwards, by exact type."""


class _Removed:
    """What a plan keeps of a function or an object: its name."""

    def __init__(self, value: Any) -> None:
        self.__name__ = errors.called(value) if callable(value) else type(value).__name__


def without_functions(value: Any) -> Any:
    """An operator with nothing in its fields but numbers, dtypes, operators and containers of these."""
    kind = type(value)
    if kind is Leaf or sort_of(value) in (Sort.SCALAR, Sort.LEAF):
        return value
    if kind in (tuple, list):
        return kind(without_functions(part) for part in value)
    if kind is dict:
        return {key: without_functions(part) for key, part in value.items()}
    if Declared not in mro_of(kind):
        return _Removed(value)
    clone = object.__new__(kind)
    for name in field_names(kind):
        object.__setattr__(clone, name, without_functions(getattr(value, name)))
    return clone
