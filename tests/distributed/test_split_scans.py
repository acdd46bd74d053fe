"""A sequence that is split over processes has the results of the whole one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import ranks
from split_cases import CASES, Case, driven, in_order

TOLERANCE = {"float32": 2e-5, "float16": 2e-3, "int32": 0.0}


def _near(found: np.ndarray, wanted: np.ndarray, case: Case) -> None:
    limit = TOLERANCE[case.dtype]
    np.testing.assert_allclose(found.astype(np.float64), wanted, rtol=limit, atol=limit)


def _initial(case: Case, seed: int) -> tuple[np.ndarray, ...]:
    return tuple(x[0] for x in case.elements(1, 100 + seed))


def _check(name: str, answers: list[Any], asked: tuple[Any, ...]) -> None:
    """The answers of all ranks against the fold in order of the whole sequence."""
    case = CASES[name]
    _, xs, lengths, reverse, inclusive, init = asked
    wanted, last = in_order(case, xs, reverse, inclusive, init)
    at = 0
    for (y, carry, total), length in zip(answers, lengths, strict=True):
        for leaf in range(len(xs)):
            assert y[leaf].shape[0] == length
            for t in range(length):
                _near(y[leaf][t], np.broadcast_to(wanted[at + t][leaf], y[leaf][t].shape), case)
            _near(carry[leaf], last[leaf], case)
            _near(total[leaf], last[leaf], case)
            assert total[leaf].dtype == case.dtype
            np.testing.assert_array_equal(carry[leaf], answers[0][1][leaf])
        at += length


def _run(asked: list[tuple[Any, ...]], number: int) -> None:
    answers = ranks.run("scans", number, asked)
    for i, each in enumerate(asked):
        _check(each[0], [rank[i] for rank in answers], each)


def test_two_ranks_scan_one_sequence() -> None:
    sums, pairs = CASES["Sum of integers"].elements(7, 1), CASES["Affine"].elements(9, 2)
    _run([("Sum of integers", sums, [3, 4], False, True, None), ("Affine", pairs, [9, 0], True, True, None)], 2)


@pytest.mark.long
@pytest.mark.parametrize("number", [3, 4])
def test_every_option_and_every_cut(number: int) -> None:
    asked = []
    for seed, (name, case) in enumerate(CASES.items()):
        for choice in range(8):
            reverse, inclusive, given = bool(choice & 1), bool(choice & 2), bool(choice & 4)
            if not inclusive and not given and case.identity is None:
                continue
            total = (1, 7, 12)[(choice + seed) % 3]
            init = _initial(case, seed) if given else None
            cuts = _cuts(total, number)
            lengths = cuts[(choice + seed + number) % 4]
            asked.append((name, case.elements(total, seed), lengths, reverse, inclusive, init))
    _run(asked, number)


@pytest.mark.long
def test_a_sequence_that_is_empty_everywhere_has_the_identity_or_the_error_of_one_machine() -> None:
    for empty, said in ranks.run("of_nothing", 2):
        assert empty == [0, 1.5]
        assert said[0] == said[1] == "IdentityError"


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.act])
@pytest.mark.parametrize("reverse", [False, True])
def test_states_are_those_of_the_whole_sequence(name: str, reverse: bool) -> None:
    case, lengths = CASES[name], [4, 0, 5]
    xs = case.elements(9, 3)
    state = np.random.default_rng(4).normal(size=case.state).astype(np.float32)
    wanted, last = driven(case, xs, reverse, state)
    at = 0
    for (states, carry, before), length in zip(
        ranks.run("acts", 3, name, xs, lengths, reverse, state), lengths, strict=True
    ):
        shown = wanted[at : at + length]
        steps = range(at, at + length)
        earlier = [(wanted[t + 1] if t < 8 else state) if reverse else (wanted[t - 1] if t else state) for t in steps]
        for found, right in ((states, shown), (before, earlier)):
            assert len(found) == length
            for y, value in zip(found, right, strict=True):
                np.testing.assert_allclose(y, np.broadcast_to(value, y.shape), rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(carry, np.broadcast_to(last, carry.shape), rtol=2e-5, atol=2e-5)
        at += length


@pytest.mark.long
@pytest.mark.parametrize("reverse", [False, True])
def test_linear_recurrences_are_those_of_the_whole_sequence(reverse: bool) -> None:
    case, lengths = CASES["Affine"], [3, 6]
    xs = case.elements(9, 5)
    h0 = np.array([1.0, -2.0, 0.5], np.float32)
    for start in (h0, None):
        wanted, last = driven(case, xs, reverse, h0 if start is not None else np.zeros(3))
        at = 0
        for (h, carry, logged), length in zip(
            ranks.run("recurrences", 2, xs, lengths, reverse, start), lengths, strict=True
        ):
            np.testing.assert_allclose(h, wanted[at : at + length], rtol=2e-5, atol=2e-5)
            np.testing.assert_allclose(carry, last, rtol=2e-5, atol=2e-5)
            np.testing.assert_allclose(logged, np.ones((length, 3)) * logged[0], rtol=0, atol=0)
            at += length


@pytest.mark.long
@pytest.mark.parametrize("cut", [4, 7])
def test_a_split_call_has_the_shapes_dtypes_and_values_of_the_whole_one(cut: int) -> None:
    for answer in ranks.run("as_one", 2, cut):
        assert len(answer) > 20
        for name, here, whole in answer:
            for x, y in zip(here, whole, strict=True):
                assert (x.shape, x.dtype) == (y.shape, y.dtype), name
                limit = 1e-3 if x.dtype == np.float16 else 1e-5 if x.dtype != np.float64 else 1e-12
                np.testing.assert_allclose(x, y, rtol=limit, atol=limit, err_msg=name)


@pytest.mark.long
def test_a_call_takes_one_collective_and_its_gradient_one_more_where_a_total_fits_the_frame() -> None:
    for counts in ranks.run("collectives", 2):
        assert counts == {
            "small": [4096], "small gradient": [4096, 4096], "fold": [4096], "act": [4096],
            "large": [4096, 4 * 1200], "large gradient": [4096, 4 * 1200, 4096, 2 * 4 * 1200],
        }  # fmt: skip


def _cuts(total: int, number: int) -> list[list[int]]:
    """Even, all on the first, all on the last, and empty in the middle."""
    even = [total // number + (i < total % number) for i in range(number)]
    ends = [total // 2, *[0] * (number - 2), total - total // 2]
    return [even, [total, *[0] * (number - 1)], [*[0] * (number - 1), total], ends]
