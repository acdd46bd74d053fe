"""One primitive of a trace, on arrays of value numbers."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from monoscan.lowering.program.builder import Ids
from monoscan.lowering.program.ir import Op
from monoscan.lowering.trace.complex_builder import ComplexBuilder


@attrs.frozen
class Step:
    """One step of a trace: a primitive on arrays of value numbers."""

    name: str
    builder: ComplexBuilder
    inputs: list[Ids]
    arguments: list[Any]
    shape: tuple[int, ...]
    dtype: str

    def each(self, op: Op, *arrays: Ids, dtype: str | None = None) -> Ids:
        """One operation, elementwise."""
        return self.builder.elementwise(op, list(arrays), dtype or self.dtype)

    def const(self, value: Any, dtype: str | None = None) -> Ids:
        """A scalar constant."""
        return np.array(self.builder.const(value, dtype or self.dtype))
