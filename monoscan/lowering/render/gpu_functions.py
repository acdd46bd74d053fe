"""The functions that a GPU kernel runs around a scan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import attrs

from monoscan.lowering.program.ir import Program
from monoscan.lowering.program.numbers import table
from monoscan.lowering.render import emit

Lane = tuple[str, str]
"""The name and the dtype of a member."""


@attrs.frozen
class Functions(ABC):
    """The programs of these, and the numbers that they read."""

    @property
    @abstractmethod
    def programs(self) -> Mapping[str, Program]:
        """All that runs, by the letter of its numbers."""

    @property
    def numbers(self) -> bytes:
        """The table of numbers that they read."""
        return b"".join(map(table, self.programs.values()))

    @property
    def number_lanes(self) -> list[Lane]:
        """The members that hold these."""
        return [lane for letter, program in self.programs.items() for lane in emit.number_lanes(program, letter)]
