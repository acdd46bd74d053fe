"""The functions that a combine may call, besides the compiler's own operators."""

from __future__ import annotations

FUNCTIONS = """\
template <class F> INLINE F minimum(F a, F b) { return a != a ? a : (a < b ? a : b); }
template <class F> INLINE F maximum(F a, F b) { return a != a ? a : (a > b ? a : b); }
"""


def functions(dtypes: frozenset[str]) -> str:
    """Their text."""
    del dtypes
    return FUNCTIONS
