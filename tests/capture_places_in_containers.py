"""Containers in which ``combine`` may read a value."""

from __future__ import annotations

import collections
import operator
import types
from typing import Any

from capture_place import Change, reads

import monoscan as ms


def a_dict(value: Any) -> tuple[ms.Semigroup, Change]:
    held = {"value": value}
    return reads(lambda: held["value"]), lambda new: held.update(value=new)


def a_dict_with_attributes(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held(dict[str, Any]):
        __getattr__ = dict.get

    held = Held(value=value)
    return reads(lambda: held.value), lambda new: held.update(value=new)


def a_default_dict(value: Any) -> tuple[ms.Semigroup, Change]:
    held = collections.defaultdict(float, value=value)
    return reads(lambda: held["value"]), lambda new: held.update(value=new)


def a_list_in_a_tuple(value: Any) -> tuple[ms.Semigroup, Change]:
    held = ([value], 1)
    return reads(lambda: held[0][0]), lambda new: operator.setitem(held[0], 0, new)


def a_deque(value: Any) -> tuple[ms.Semigroup, Change]:
    held = collections.deque([value], maxlen=3)
    return reads(lambda: held[0]), lambda new: operator.setitem(held, 0, new)


def a_mapping_proxy(value: Any) -> tuple[ms.Semigroup, Change]:
    held = {"value": value}
    proxy = types.MappingProxyType(held)
    return reads(lambda: proxy["value"]), lambda new: held.update(value=new)


def a_chain_map(value: Any) -> tuple[ms.Semigroup, Change]:
    held = collections.ChainMap({}, {"value": value})
    return reads(lambda: held["value"]), lambda new: held.maps[1].update(value=new)
