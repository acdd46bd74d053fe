"""What ready aggregators share."""

from __future__ import annotations

from typing import Any

import attrs

from monoscan.monoids.aggregator import Aggregator


@attrs.frozen(repr=False)
class Ready(Aggregator):
    """What prints as the call that makes it, with the name of this module: operators have the same names."""

    def __repr__(self) -> str:
        fields = attrs.fields(type(self))
        given = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields)
        return f"aggregators.{type(self).__name__}({given})"


@attrs.frozen(repr=False)
class Answer(Ready):
    """From ``embed`` to ``project``."""

    def prepare(self, *inputs: Any) -> Any:
        return self.operator.embed(*inputs)

    def present(self, state: Any, *inputs: Any) -> Any:
        return self.operator.project(state)
