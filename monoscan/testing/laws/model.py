"""What laws beyond those of the product itself are checked in: an operator's elements, in one arithmetic."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import attrs

from monoscan.testing.arithmetic.carrier import Carrier, Word
from monoscan.testing.arithmetic.subject import Lanes


@attrs.frozen(eq=False)
class Model:
    """Elements of an operator, in one arithmetic; those who derive from it say what else there is."""

    carrier: Carrier

    @property
    def level(self) -> str:
        """What reports call the arithmetic."""
        return self.carrier.level

    @property
    def name(self) -> str:
        """The operator's name."""
        return self.carrier.name

    def element(self, word: Word) -> Lanes:
        """The element that a word spells."""
        return self.carrier.element(word)

    def batch(self, words: Sequence[Word]) -> Lanes:
        """The elements that many words spell, in one."""
        return self.carrier.batch(words)  # type: ignore[attr-defined, no-any-return]  # machine levels only

    def context(self) -> contextlib.AbstractContextManager[Any]:
        """What everything runs inside of."""
        return self.carrier.context()
