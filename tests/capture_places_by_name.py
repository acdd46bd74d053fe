"""What ``combine`` finds by a name that is made or answered at run time."""

from __future__ import annotations

import types
from typing import Any, Generic, TypeVar

from capture_place import Change, attribute_of, reads

import monoscan as ms

VALUE: Any = None


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
