"""The state of a stream as arrays by name, and in files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.tree import Structure, Tree

VERSION = 1
_KINDS: dict[str, type] = {"tuple": tuple, "list": list, "None": type(None)}


def packed(name: str, axis: int, position: int, carry: Tree | None) -> dict[str, mx.array]:
    """A state as arrays.

    Args:
        name: What the operator is called.
        axis: The axis along which the sequence is cut.
        position: How many positions there were.
        carry: What the next chunk goes on from.

    Raises:
        ScanError: The carry is a tree that cannot be built again from names.
    """
    leaves, structure = ([], None) if carry is None else tree.flatten(carry)
    about = {
        "version": VERSION,
        "operator": name,
        "axis": axis,
        "form": None if structure is None else _form(structure),
    }
    text = json.dumps(about, sort_keys=True).encode()
    state = {"about": mx.array(list(text), mx.uint8), "position": mx.array(position, mx.int64)}
    return state | {f"carry.{i}": x if isinstance(x, mx.array) else mx.array(x) for i, x in enumerate(leaves)}


def unpacked(name: str, axis: int, state: Any) -> tuple[Tree | None, int]:
    """The carry and the position of a state.

    Raises:
        ScanError: It is of another operator or axis, or no state of a stream.
    """
    about = _about(state)
    given = {"operator": name, "axis": axis, "version": VERSION}
    for what, own in given.items():
        if about.get(what) != own:
            raise errors.ScanError(
                f"[Stream] this stream has the {what} {own!r}; the state is one of {what} {about.get(what)!r}."
            )
    if about["form"] is None:
        return None, int(state["position"])
    structure = _structure(about["form"])
    missing = [f"carry.{i}" for i in range(tree.count(structure)) if f"carry.{i}" not in state]
    if missing:
        raise errors.ScanError(f"[Stream] the state lacks {', '.join(missing)}.")
    leaves = [_array(state[f"carry.{i}"]) for i in range(tree.count(structure))]
    return tree.unflatten(structure, leaves), int(state["position"])


def save(path: Any, state: Mapping[str, mx.array]) -> None:
    """Writes arrays beside a file, then in its place.

    Raises:
        ScanError: No such file can hold them.
    """
    target = Path(path)
    if target.suffix not in _WRITERS:
        raise errors.ScanError(f"[Stream] a state is kept in a file .npz or .safetensors; got {target.name!r}.")
    if target.suffix == ".safetensors" and any(x.dtype == mx.float64 for x in state.values()):
        raise errors.ScanError("[Stream] safetensors of MLX hold no float64; save the state as .npz.")
    beside = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        _WRITERS[target.suffix](str(beside), dict(state))
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def load(path: Any) -> Any:
    """The arrays in a file.

    Raises:
        ScanError: It cannot be read.
    """
    try:
        return mx.load(str(path))
    except (RuntimeError, ValueError) as error:
        raise errors.ScanError(f"[Stream] {path} is no state of a stream: {error}") from error


def _npz(path: str, state: dict[str, mx.array]) -> None:
    mx.savez(path, **state)


_WRITERS: dict[str, Callable[[str, dict[str, mx.array]], None]] = {".npz": _npz, ".safetensors": mx.save_safetensors}


def _about(state: Any) -> dict[str, Any]:
    about: dict[str, Any] = {}
    try:
        about = json.loads(bytes(list(map(int, state["about"]))))
        known = isinstance(about, dict) and "form" in about and state["position"].ndim == 0
    except (KeyError, TypeError, ValueError, AttributeError):
        known = False
    if not known:
        raise errors.ScanError(
            "[Stream] expects what state_dict() returned, or the arrays of a file that save() wrote."
        )
    return about


def _array(x: Any) -> mx.array:
    """An array of MLX, NumPy's in their own dtype."""
    return x if isinstance(x, mx.array) else mx.array(x, dtypes.by_name(str(x.dtype)))


def _form(structure: Structure) -> Any:
    """A structure in JSON."""
    if structure is tree.LEAF:
        return tree.LEAF
    children = [_form(child) for child in structure[-1]]
    if structure[0] is dict and all(isinstance(key, str) for key in structure[1]):
        return {"dict": list(structure[1]), "children": children}
    if structure[0] not in _KINDS.values():
        raise errors.ScanError(
            f"[Stream] state_dict holds tuples, lists and dicts with names; the carry is {tree.show(structure)}. Keep "
            "stream.carry yourself."
        )
    name = next(name for name, kind in _KINDS.items() if kind is structure[0])
    return {"kind": name, "children": children}


def _structure(form: Any) -> Structure:
    if form == tree.LEAF:
        return tree.LEAF
    children = tuple(_structure(child) for child in form["children"])
    return (dict, tuple(form["dict"]), children) if "dict" in form else (_KINDS[form["kind"]], children)
