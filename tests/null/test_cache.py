"""The cache: bounded, the least recently used out first, safe between threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from monoscan.cache import Cache


def test_a_value_is_made_once() -> None:
    cache: Cache = Cache(4)
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return 7

    assert [cache.get("a", make) for _ in range(3)] == [7, 7, 7]
    assert len(made) == 1
    assert cache.find("a") == 7
    assert cache.find("b") is None


def test_the_least_recently_used_goes_first() -> None:
    cache: Cache = Cache(2)
    for key in ("a", "b"):
        cache.get(key, lambda key=key: key)  # type: ignore[misc]
    cache.find("a")
    cache.get("c", lambda: "c")
    assert cache.find("b") is None
    assert (cache.find("a"), cache.find("c")) == ("a", "c")
    assert len(cache) == 2


def test_what_fails_is_not_kept() -> None:
    cache: Cache = Cache(2)

    def fail() -> int:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            cache.get("a", fail)
    assert len(cache) == 0
    assert cache.get("a", lambda: 1) == 1


def test_a_slow_value_keeps_no_other_thread_waiting() -> None:
    cache: Cache = Cache(2)
    started, release = threading.Event(), threading.Event()

    def slow() -> int:
        started.set()
        assert release.wait(30)
        return 1

    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(cache.get, "slow", slow)
        assert started.wait(30)
        assert cache.get("fast", lambda: 2) == 2
        release.set()
        assert pending.result(30) == 1


def test_making_a_value_may_use_the_cache() -> None:
    cache: Cache = Cache(4)
    assert cache.get("outer", lambda: cache.get("inner", lambda: 1) + 1) == 2
