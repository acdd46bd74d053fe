"""Places where a ``combine`` may find a value: each makes an operator that reads one, and a way to change it.

All operators compute ``l + r + value * l * r``.
"""

from __future__ import annotations

import builtins
import collections
import contextvars
import datetime
import functools
import operator
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from capture_place import Change, Place, attribute_of, reads
from capture_places_by_name import (
    a_call_that_is_static,
    a_cell_itself,
    a_generic_class,
    a_getattr_of_a_module,
    a_global_by_name,
    a_method_before,
    a_name_added_up,
    a_name_by_percent,
    a_name_put_together,
    a_number_with_attributes,
    a_property_of_a_module,
    an_error,
    an_item_of_a_class,
    any_attribute,
)
from capture_places_in_containers import (
    a_chain_map,
    a_default_dict,
    a_deque,
    a_dict,
    a_dict_with_attributes,
    a_list_in_a_tuple,
    a_mapping_proxy,
)
from capture_places_of_objects import (
    a_base_class_attribute,
    a_base_method_reading_a_global,
    a_bound_method,
    a_callable_object,
    a_class_attribute,
    a_class_method,
    a_constructor,
    a_dataclass,
    a_descriptor,
    a_field_of_the_operator,
    a_metaclass_attribute,
    a_named_tuple_in_an_attribute,
    a_namespace,
    a_property,
    a_proxy_object,
    a_rebound_class,
    a_singleton_on_its_class,
    a_slot,
    a_static_method,
    a_super_attribute,
    an_argument_of_a_helper,
    an_attribute,
    an_attrs_object,
    an_enum_member,
    the_operators_base_method,
    the_operators_class_attribute,
    through_getattr,
)

import monoscan as ms

VALUE: Any = None


def a_global(value: Any) -> tuple[ms.Semigroup, Change]:
    globals()["VALUE"] = value
    return reads(lambda: VALUE), lambda new: globals().update(VALUE=new)


def a_cell(value: Any) -> tuple[ms.Semigroup, Change]:
    def change(new: Any) -> None:
        nonlocal value
        value = new

    return reads(lambda: value), change


def a_default(value: Any) -> tuple[ms.Semigroup, Change]:
    def get(value: Any = value) -> Any:
        return value

    return reads(get), lambda new: setattr(get, "__defaults__", (new,))


def a_keyword_default(value: Any) -> tuple[ms.Semigroup, Change]:
    def get(*, value: Any = value) -> Any:
        return value

    return reads(get), lambda new: setattr(get, "__kwdefaults__", {"value": new})


def a_function_attribute(value: Any) -> tuple[ms.Semigroup, Change]:
    def combine(l: Any, r: Any) -> Any:
        return l + r + combine.value * l * r

    combine.value = value
    return ms.monoid(combine), attribute_of(combine)


def a_module_attribute(value: Any) -> tuple[ms.Semigroup, Change]:
    settings = types.ModuleType("settings")
    settings.value = value
    return reads(lambda: settings.value), attribute_of(settings)


def a_dict_in_a_module(value: Any) -> tuple[ms.Semigroup, Change]:
    settings = types.ModuleType("settings")
    settings.table = {"value": value}
    return reads(lambda: settings.table["value"]), lambda new: settings.table.update(value=new)


def a_function_in_a_module(value: Any) -> tuple[ms.Semigroup, Change]:
    library = types.ModuleType("library")
    exec("def get():\n    return value", library.__dict__)
    library.value = value
    return reads(lambda: library.get()), attribute_of(library)


def a_partial(value: Any) -> tuple[ms.Semigroup, Change]:
    held = types.SimpleNamespace(value=value)
    inner = functools.partial(lambda config, sign, l, r: l + r + sign * config.value * l * r, held)
    return ms.monoid(functools.partial(inner, 1)), attribute_of(held)


def a_wrapped_function(value: Any) -> tuple[ms.Semigroup, Change]:
    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            return function(*arguments)

        return call

    globals()["VALUE"] = value
    return ms.monoid(decorated(lambda l, r: l + r + VALUE * l * r)), lambda new: globals().update(VALUE=new)


def a_bound_builtin(value: Any) -> tuple[ms.Semigroup, Change]:
    held = {"value": value}
    get = held.get
    return reads(lambda: get("value")), lambda new: held.update(value=new)


def a_weak_reference(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        pass

    held = Held()
    held.value = value
    reference = weakref.ref(held)
    return reads(lambda: reference().value), attribute_of(held)


def a_weak_proxy(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        pass

    held = Held()
    held.value = value
    proxy = weakref.proxy(held)
    return reads(lambda: proxy.value), attribute_of(held)


def a_context_variable(value: Any) -> tuple[ms.Semigroup, Change]:
    variable = contextvars.ContextVar("variable", default=value)
    return reads(lambda: variable.get()), lambda new: (variable.set(new), None)[1]


def a_module_of_layers(value: Any) -> tuple[ms.Semigroup, Change]:
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value = value

    layer = Layer()
    return reads(lambda: layer.value), attribute_of(layer)


PLACES: list[Place] = [
    a_global, a_cell, a_default, a_keyword_default, a_function_attribute, a_module_attribute, a_dict_in_a_module,
    a_function_in_a_module, a_class_attribute, a_base_class_attribute, a_metaclass_attribute,
    the_operators_class_attribute, the_operators_base_method, a_base_method_reading_a_global, a_super_attribute,
    an_attribute, a_singleton_on_its_class, a_bound_method, a_callable_object, a_slot, a_property, a_descriptor,
    through_getattr, a_proxy_object, an_argument_of_a_helper, a_rebound_class, a_static_method, a_class_method,
    a_constructor, a_namespace, a_dataclass, a_named_tuple_in_an_attribute, an_attrs_object, a_field_of_the_operator,
    an_enum_member, a_dict, a_dict_with_attributes, a_default_dict, a_list_in_a_tuple, a_deque, a_mapping_proxy,
    a_chain_map, a_partial, a_wrapped_function, a_bound_builtin, a_weak_reference, a_weak_proxy, a_context_variable,
    a_module_of_layers, a_getattr_of_a_module, a_property_of_a_module, an_item_of_a_class, a_call_that_is_static,
    any_attribute, a_name_put_together, a_name_added_up, a_name_by_percent, a_global_by_name, a_cell_itself, an_error,
    a_number_with_attributes, a_generic_class, a_method_before,
]  # fmt: skip


def imported_in_the_function(value: Any) -> tuple[ms.Semigroup, Change]:
    module = types.ModuleType("some_settings_of_a_test")
    module.value = value
    sys.modules[module.__name__] = module

    def get() -> Any:
        import some_settings_of_a_test

        return some_settings_of_a_test.value

    return reads(get), attribute_of(module)


def a_builtin(value: Any) -> tuple[ms.Semigroup, Change]:
    builtins.some_value_of_a_test = value
    return reads(lambda: some_value_of_a_test), attribute_of(builtins, "some_value_of_a_test")  # noqa: F821


def a_set(value: Any) -> tuple[ms.Semigroup, Change]:
    held = {value}
    return reads(lambda: max(held)), lambda new: (held.clear(), held.add(new), None)[2]


def a_cached_property(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        @functools.cached_property
        def value(self) -> Any:
            return VALUE

    globals()["VALUE"] = value
    held = Held()

    def change(new: Any) -> None:
        globals()["VALUE"] = new
        vars(held).clear()

    return reads(lambda: held.value), change


def an_item_getter(value: Any) -> tuple[ms.Semigroup, Change]:
    held, get = types.SimpleNamespace(value=value), operator.attrgetter("value")
    return reads(lambda: get(held)), attribute_of(held)


def a_thread_local(value: Any) -> tuple[ms.Semigroup, Change]:
    held = threading.local()
    held.value = value
    return reads(lambda: held.value), attribute_of(held)


def a_class_of_thread_locals(value: Any) -> tuple[ms.Semigroup, Change]:
    held = type("Held", (threading.local,), {})()
    held.value = value
    return reads(lambda: held.value), attribute_of(held)


def an_event(value: Any) -> tuple[ms.Semigroup, Change]:
    event = threading.Event()

    def change(new: Any) -> None:
        if new == 2.0:
            event.set()
        else:
            event.clear()

    change(value)
    return reads(lambda: 2.0 if event.is_set() else 0.5), change


def number_of(kind: type, fields: dict[str, Any]) -> Place:
    """Numbers of a class made from a builtin one, which cannot be referred to weakly."""
    made: type = type("Number", (kind,), fields)

    def place(value: Any) -> tuple[ms.Semigroup, Change]:
        def convert(number: Any) -> Any:
            if kind is bytes:
                return made([int(2 * number)])
            return made(int(2 * number) if kind is int else number)

        held = types.SimpleNamespace(value=convert(value))
        read = {
            int: lambda: int(held.value) / 2,
            bytes: lambda: held.value[0] / 2,
            datetime.timedelta: lambda: held.value / datetime.timedelta(days=1),
        }.get(kind, lambda: float(held.value))
        return reads(read), lambda new: setattr(held, "value", convert(new))

    place.__name__ = f"a_{kind.__name__}_of_ones_own"
    return place


def an_array_of_numpy_with_attributes(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held(np.ndarray):
        pass

    held = np.ones((2,)).view(Held)
    held.value = value
    return reads(lambda: held.value * float(held[0])), attribute_of(held)


def an_attribute_of_a_library(value: Any) -> tuple[ms.Semigroup, Change]:
    mx.some_value_of_a_test = value
    return reads(lambda: mx.some_value_of_a_test), attribute_of(mx, "some_value_of_a_test")


def an_attribute_of_a_class_of_a_library(value: Any) -> tuple[ms.Semigroup, Change]:
    collections.UserDict.some_value_of_a_test = value
    return reads(lambda: collections.UserDict.some_value_of_a_test), attribute_of(
        collections.UserDict, "some_value_of_a_test"
    )


def a_list_of_a_library(value: Any) -> tuple[ms.Semigroup, Change]:
    sys.some_values_of_a_test = [value]
    return reads(lambda: sys.some_values_of_a_test[0]), lambda new: operator.setitem(sys.some_values_of_a_test, 0, new)


def the_text_of_an_object(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        def __str__(self) -> str:
            return str(self.inner)

    held = Held()
    held.inner = value
    return reads(lambda: float(str(held))), attribute_of(held, "inner")


NUMBERS_ONLY: list[Place] = [
    imported_in_the_function, a_builtin, a_set, a_cached_property, an_item_getter, a_thread_local,
    a_class_of_thread_locals, an_event, number_of(int, {}), number_of(float, {"__slots__": ()}),
    number_of(str, {"__slots__": ()}), number_of(bytes, {}), number_of(datetime.timedelta, {"__slots__": ()}),
    an_array_of_numpy_with_attributes, an_attribute_of_a_library, an_attribute_of_a_class_of_a_library,
    a_list_of_a_library, the_text_of_an_object,
]  # fmt: skip
"""Places where an array cannot take part in a gradient, or, as a set, cannot be held."""
