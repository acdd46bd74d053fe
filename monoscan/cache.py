"""What is known from earlier calls: three bounded caches under locks, the least recently used out first.

None of them ever holds arrays. What follows from a program alone stands in `PROGRAMS`, whatever
is decided for shapes in `PLANS`, and what has been compiled in `COMPILED`.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


class Cache:
    """Maps hashable keys to values, up to ``size`` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = Lock()

    def find(self, key: Hashable) -> Any:
        """The value of a key, or ``None``."""
        with self._lock:
            value = self._entries.get(key)
            if value is not None:
                self._entries.move_to_end(key)
            return value

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key; made, outside the lock, where it is missing."""
        value: Value | None = self.find(key)
        if value is None:
            value = make()
            with self._lock:
                self._entries[key] = value
                if len(self._entries) > self._size:
                    self._entries.popitem(last=False)
        return value

    def memoised(self, function: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
        """The function, which runs once for each tuple of arguments."""

        @functools.wraps(function)
        def known(*values: Arguments.args, **named: Arguments.kwargs) -> Value:
            return self.get((function, *values, *named.items()), lambda: (function(*values, **named),))[0]

        return known

    def __len__(self) -> int:
        return len(self._entries)


PROGRAMS = Cache(8192)
"""Keys of what ``combine`` reads, programs, and what is derived from them: nothing depends on a shape."""

PLANS = Cache(4096)
"""Plans by operator, tree, shapes, dtypes and options."""

COMPILED = Cache(2048)
"""Kernels by their source, and launches of gradients."""
