"""Places on classes and objects where ``combine`` may read a value."""

from __future__ import annotations

import dataclasses
import enum
import types
from typing import Any, NamedTuple

import attrs
from capture_place import Change, attribute_of, reads

import monoscan as ms

VALUE: Any = None
CONFIG: Any = None


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
