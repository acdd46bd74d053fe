"""Places where a ``combine`` may find a value: each makes an operator that reads one, and a way to change it.

All operators compute ``l + r + value * l * r``.
"""

from __future__ import annotations

import builtins
import collections
import contextvars
import dataclasses
import datetime
import enum
import functools
import operator
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import attrs
import mlx.core as mx
import mlx.nn as nn
import numpy as np

import monoscan as ms

Change = Callable[[Any], None]
Place = Callable[[Any], tuple[ms.Semigroup, Change]]
VALUE: Any = None
CONFIG: Any = None


def reads(get: Callable[[], Any]) -> ms.Semigroup:
    return ms.monoid(lambda l, r: l + r + get() * l * r)


def attribute_of(holder: Any, name: str = "value") -> Change:
    return lambda value: setattr(holder, name, value)


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


def a_class_attribute(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        pass

    Held.value = value
    return reads(lambda: Held.value), attribute_of(Held)


def a_base_class_attribute(value: Any) -> tuple[ms.Semigroup, Change]:
    class Base:
        pass

    class Held(Base):
        pass

    Base.value = value
    held = Held()
    return reads(lambda: held.value), attribute_of(Base)


def a_metaclass_attribute(value: Any) -> tuple[ms.Semigroup, Change]:
    class Meta(type):
        pass

    class Held(metaclass=Meta):
        pass

    Meta.value = value
    return reads(lambda: Held.value), attribute_of(Meta)


def the_operators_class_attribute(value: Any) -> tuple[ms.Semigroup, Change]:
    class Own(ms.Semigroup):
        def combine(self, left: Any, right: Any) -> Any:
            return left + right + self.value * left * right

    Own.value = value
    return Own(), attribute_of(Own)


def the_operators_base_method(value: Any) -> tuple[ms.Semigroup, Change]:
    class Base(ms.Semigroup):
        def combine(self, left: Any, right: Any) -> Any:
            return left + right + self.value * left * right

    class Own(Base):
        def combine(self, left: Any, right: Any) -> Any:
            return super().combine(left, right)

    Base.value = value
    return Own(), attribute_of(Base)


def a_base_method_reading_a_global(value: Any) -> tuple[ms.Semigroup, Change]:
    class Base(ms.Semigroup):
        def combine(self, left: Any, right: Any) -> Any:
            return left + right + VALUE * left * right

    class Own(Base):
        def combine(self, left: Any, right: Any) -> Any:
            return super().combine(left, right)

    globals()["VALUE"] = value
    return Own(), lambda new: globals().update(VALUE=new)


def a_super_attribute(value: Any) -> tuple[ms.Semigroup, Change]:
    class Base(ms.Semigroup):
        value: Any = None

    class Own(Base):
        value = "not this one"

        def combine(self, left: Any, right: Any) -> Any:
            return left + right + super().value * left * right

    Base.value = value
    return Own(), attribute_of(Base)


def an_attribute(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        pass

    held = Held()
    held.value = value
    return reads(lambda: held.value), attribute_of(held)


def a_singleton_on_its_class(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        instance: Any = None

    Held.instance = Held()
    Held.instance.value = value
    return reads(lambda: Held.instance.value), attribute_of(Held.instance)


def a_bound_method(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        def combine(self, l: Any, r: Any) -> Any:
            return l + r + self.value * l * r

    Held.value = value
    return ms.monoid(Held().combine), attribute_of(Held)


def a_callable_object(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        def __call__(self, l: Any, r: Any) -> Any:
            return l + r + self.value * l * r

    held = Held()
    held.value = value
    return ms.monoid(held), attribute_of(held)


def a_slot(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        __slots__ = ("value",)

    held = Held()
    held.value = value
    return reads(lambda: held.value), attribute_of(held)


def a_property(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        @property
        def value(self) -> Any:
            return self._value

    held = Held()
    held._value = value
    return reads(lambda: held.value), attribute_of(held, "_value")


def a_descriptor(value: Any) -> tuple[ms.Semigroup, Change]:
    class Reads:
        def __set_name__(self, owner: type, name: str) -> None:
            self.name = "_" + name

        def __get__(self, held: Any, owner: type) -> Any:
            return held.__dict__[self.name]

    class Held:
        value = Reads()

    held = Held()
    held._value = value
    return reads(lambda: held.value), attribute_of(held, "_value")


def through_getattr(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        pass

    held = Held()
    held.value = value
    return reads(lambda: getattr(held, "value")), attribute_of(held)  # noqa: B009


def a_proxy_object(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        pass

    class Proxy:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    held = Held()
    held.value = value
    proxy = Proxy(held)
    return reads(lambda: proxy.value), attribute_of(held)


def an_argument_of_a_helper(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        pass

    def helper(config: Any) -> Any:
        return config.value

    held = Held()
    held.value = value
    return reads(lambda: helper(held)), attribute_of(held)


def a_rebound_class(value: Any) -> tuple[ms.Semigroup, Change]:
    def change(new: Any) -> None:
        globals()["CONFIG"] = type("Config", (), {"value": new})

    change(value)
    return reads(lambda: CONFIG.value), change


def a_static_method(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        @staticmethod
        def get() -> Any:
            return VALUE

    globals()["VALUE"] = value
    return reads(lambda: Held.get()), lambda new: globals().update(VALUE=new)


def a_class_method(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        @classmethod
        def get(cls) -> Any:
            return cls.value

    Held.value = value
    return reads(lambda: Held.get()), attribute_of(Held)


def a_constructor(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        def __init__(self) -> None:
            self.value = VALUE

    globals()["VALUE"] = value
    return reads(lambda: Held().value), lambda new: globals().update(VALUE=new)


def a_namespace(value: Any) -> tuple[ms.Semigroup, Change]:
    held = types.SimpleNamespace(value=value)
    return reads(lambda: held.value), attribute_of(held)


def a_dataclass(value: Any) -> tuple[ms.Semigroup, Change]:
    held = dataclasses.make_dataclass("Held", ["value"])(value)
    return reads(lambda: held.value), attribute_of(held)


def a_named_tuple_in_an_attribute(value: Any) -> tuple[ms.Semigroup, Change]:
    class Pair(NamedTuple):
        value: Any
        other: int

    held = types.SimpleNamespace(pair=Pair(value, 1))
    return reads(lambda: held.pair.value), lambda new: setattr(held, "pair", Pair(new, 1))


def an_attrs_object(value: Any) -> tuple[ms.Semigroup, Change]:
    held = attrs.make_class("Held", ["value"])(value)
    return reads(lambda: held.value), attribute_of(held)


def a_field_of_the_operator(value: Any) -> tuple[ms.Semigroup, Change]:
    @attrs.frozen
    class Own(ms.Semigroup):
        held: Any

        def combine(self, left: Any, right: Any) -> Any:
            return left + right + self.held.value * left * right

    held = types.SimpleNamespace(value=value)
    return Own(held), attribute_of(held)


def an_enum_member(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held(enum.Enum):
        IT = "it"

    Held.IT.number = value
    return reads(lambda: Held.IT.number), attribute_of(Held.IT, "number")


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


def a_getattr_of_a_module(value: Any) -> tuple[ms.Semigroup, Change]:
    settings = types.ModuleType("settings")
    exec("def __getattr__(name):\n    return table[name]", settings.__dict__)
    settings.table = {"value": value}
    return reads(lambda: settings.value), lambda new: settings.table.update(value=new)


def a_property_of_a_module(value: Any) -> tuple[ms.Semigroup, Change]:
    class Settings(types.ModuleType):
        @property
        def value(self) -> Any:
            return self._value

    settings = Settings("settings")
    settings._value = value
    return reads(lambda: settings.value), attribute_of(settings, "_value")


def an_item_of_a_class(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        table = {"value": value}  # noqa: RUF012

        def __class_getitem__(cls, name: str) -> Any:
            return cls.table[name]

    return reads(lambda: Held["value"]), lambda new: Held.table.update(value=new)


def a_call_that_is_static(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        __call__ = staticmethod(lambda: Held.inner)

    Held.inner = value
    held = Held()
    return reads(lambda: held()), attribute_of(Held, "inner")


def any_attribute(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        pass

    held = Held()
    held.value = value
    return reads(lambda: [*vars(held).values()][0]), attribute_of(held)  # noqa: RUF015


def a_name_put_together(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        pass

    held, number = Held(), 3
    held.layer_3 = value
    return reads(lambda: getattr(held, f"layer_{number}")), attribute_of(held, "layer_3")


def a_name_added_up(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        pass

    held, first = Held(), "some"
    held.some_rate = value
    return reads(lambda: getattr(held, first + "_rate")), attribute_of(held, "some_rate")


def a_name_by_percent(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held:
        pass

    held, number = Held(), 3
    held.layer_3 = value
    return reads(lambda: getattr(held, "layer_%d" % number)), attribute_of(held, "layer_3")  # noqa: UP031


def a_global_by_name(value: Any) -> tuple[ms.Semigroup, Change]:
    space = {"number": 3, "layer_3": value, "ms": ms}
    exec("own = ms.monoid(lambda l, r: l + r + globals()[f'layer_{number}'] * l * r)", space)
    return space["own"], lambda new: space.update(layer_3=new)  # type: ignore[return-value]


def a_cell_itself(value: Any) -> tuple[ms.Semigroup, Change]:
    cell = types.CellType(value)
    return reads(lambda: cell.cell_contents), attribute_of(cell, "cell_contents")


def an_error(value: Any) -> tuple[ms.Semigroup, Change]:
    held = types.SimpleNamespace(error=ValueError("mine", value))
    return reads(lambda: held.error.args[1]), lambda new: setattr(held, "error", ValueError("mine", new))


def a_number_with_attributes(value: Any) -> tuple[ms.Semigroup, Change]:
    class Rate(float):
        pass

    rate = Rate(3.0)
    rate.value = value
    return reads(lambda: rate.value * rate / 3.0), attribute_of(rate)


def a_generic_class(value: Any) -> tuple[ms.Semigroup, Change]:
    class Held(Generic[TypeVar("T")]):  # type: ignore[misc]
        pass

    Held.value = value
    held = Held()
    return reads(lambda: held.value), attribute_of(Held)


def a_method_before(value: Any) -> tuple[ms.Semigroup, Change]:
    class Own(ms.Semigroup):
        def combine(self, left: Any, right: Any) -> Any:
            return self.before(left, right)

        def before(self, total: Any, element: Any) -> Any:
            return total + element + VALUE * total * element

    globals()["VALUE"] = value
    return Own(), lambda new: globals().update(VALUE=new)


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
