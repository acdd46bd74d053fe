"""What a code object names: globals, attributes, imports, and the chains of them that it spells out."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType
from typing import Any

import attrs

from monoscan.cache import PROGRAMS

Chain = tuple[str, ...]

FALLS_BACK = "?"
"""Stands among the names of code that copes with an attribute that is not there."""

_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_START = (*_GLOBAL, "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF")
_LOCAL = ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW")
_FURTHER = ("LOAD_ATTR", "LOAD_METHOD")
_SUPER = ("LOAD_SUPER_ATTR", "LOAD_SUPER_METHOD", "LOAD_ZERO_SUPER_ATTR", "LOAD_ZERO_SUPER_METHOD")
_HANDLER = ("PUSH_EXC_INFO", "SETUP_FINALLY")
_BY_NAME = frozenset(("getattr", "hasattr", "globals", "attrgetter", "methodcaller", "__getattribute__"))
_METHODS = {"str": "__str__", "repr": "__repr__", "format": "__format__", "hash": "__hash__"}
_COMPOSES = ("BUILD_STRING", "FORMAT_VALUE", "FORMAT_SIMPLE", "FORMAT_WITH_SPEC")
_ADDS = ("BINARY_OP", "BINARY_ADD", "BINARY_MODULO")


@attrs.frozen(eq=False)
class Held:
    """The names that a code object and those nested in it hold.

    Args:
        scope: Names looked up among globals, then builtins.
        attributes: Names that may be looked up on any object: attributes, and the
            identifiers among string constants, which ``getattr`` and ``vars`` take.
        imports: The modules that it imports, each with how many packages up its name starts.
        chains: A global, a free variable or an imported module, and the attributes read from it.
    """

    scope: dict[str, None] = attrs.field(factory=dict)
    attributes: dict[str, None] = attrs.field(factory=dict)
    imports: dict[tuple[int, str], None] = attrs.field(factory=dict)
    chains: dict[Chain, None] = attrs.field(factory=dict)


@PROGRAMS.memoised
def names_of(code: CodeType) -> Held:
    """Every name that a code object, or one nested in it, looks up."""
    held = Held()
    constants: list[Any] = []
    for instruction in dis.get_instructions(code):
        name, operation = instruction.argval, instruction.opname
        if operation in _GLOBAL:
            held.scope[name] = None
        elif operation == "IMPORT_NAME":
            held.imports[constants[-2], name] = None
        elif operation in (*_FURTHER, *_SUPER, "IMPORT_FROM"):
            held.attributes[name] = None
        elif operation == "MATCH_CLASS":
            held.attributes["__match_args__"] = None
        elif operation in _HANDLER:
            held.attributes[FALLS_BACK] = None
        else:
            constants.append(name)
    if "getattr" in held.scope or "hasattr" in held.scope:
        held.attributes[FALLS_BACK] = None
    by_name = not _BY_NAME.isdisjoint((*held.scope, *held.attributes)) and _composes(code, held)
    if by_name or "vars" in held.scope or "dir" in held.scope:
        held.attributes["__dict__"] = None  # any attribute
    held.attributes.update(dict.fromkeys(_METHODS[name] for name in held.scope if name in _METHODS))
    held.attributes.update(dict.fromkeys(_identifiers(code.co_consts)))
    held.chains.update(dict.fromkeys(_chains(code)))
    for nested in code.co_consts:
        if isinstance(nested, CodeType):
            for own, inner in zip(_tables(held), _tables(names_of(nested)), strict=True):
                own.update(inner)
    return held


def _composes(code: CodeType, held: Held) -> bool:
    """Whether code puts strings together."""
    if "str" in held.scope or not held.attributes.keys().isdisjoint(("format", "join")):
        return True
    steps = [*dis.get_instructions(code)]
    texts = [i for i, step in enumerate(steps) if "CONST" in step.opname and type(step.argval) is str]
    return any(step.opname in _COMPOSES for step in steps) or any(
        steps[i + 1].opname in _ADDS or ("LOAD" in steps[i + 1].opname and steps[i + 2].opname in _ADDS) for i in texts
    )


def _tables(held: Held) -> tuple[dict[Any, None], ...]:
    return held.scope, held.attributes, held.imports, held.chains


def _identifiers(constants: Any) -> Iterator[str]:
    for constant in constants:
        if type(constant) is str and constant.isidentifier():
            yield constant
        elif type(constant) in (tuple, frozenset):
            yield from _identifiers(constant)


def _chains(code: CodeType) -> Iterator[Chain]:
    aliases: dict[str, Chain] = {}
    chain: Chain = ()
    package: Chain = ()
    for instruction in dis.get_instructions(code):
        name, operation = instruction.argval, instruction.opname
        if operation in _FURTHER and chain:
            chain = (*chain, name)
            yield chain
        elif operation == "IMPORT_NAME":
            package = chain = (name,)
        elif operation == "IMPORT_FROM":
            chain = (*package, name)
            yield chain
        elif operation == "STORE_FAST":
            aliases[name] = chain
            chain = package
        else:
            package = ()
            chain = aliases.get(name, ()) if operation in _LOCAL else (name,) if operation in _START else ()
