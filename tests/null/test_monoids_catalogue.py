"""Geometry, automata and brackets against plain Python."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import product

import mlx.core as mx
import numpy as np
import pytest

from monoscan import errors
from monoscan import monoids as ms
from monoscan.monoids import geometry


@pytest.fixture(autouse=True)
def _on_cpu() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def _rotation(q: np.ndarray) -> np.ndarray:
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _array(x: np.ndarray) -> mx.array:
    return mx.array(x, mx.float64)


def test_quaternions_multiply_as_rotations_do() -> None:
    q = np.random.default_rng(0).normal(size=(3, 4))
    total = np.array(ms.Quaternion().project(reduce(ms.Quaternion().combine, [_array(each) for each in q])))
    assert np.linalg.norm(total) == pytest.approx(1)
    np.testing.assert_allclose(_rotation(total), _rotation(q[0]) @ _rotation(q[1]) @ _rotation(q[2]), atol=1e-12)


def test_the_table_of_hamilton() -> None:
    one, i, j, k = (mx.eye(4)[n] for n in range(4))
    for left, right, expected in [(i, j, k), (j, k, i), (k, i, j), (j, i, -k), (i, i, -one), (one, k, k)]:
        assert ms.Quaternion().combine(left, right).tolist() == expected.tolist()


def test_poses_compose_as_motions_do() -> None:
    rng = np.random.default_rng(1)
    q, t, x = rng.normal(size=(3, 4)), rng.normal(size=(3, 3)), rng.normal(size=3)
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    rigid = ms.Rigid3()
    total, shift = rigid.project(reduce(rigid.combine, [(_array(q[n]), _array(t[n])) for n in range(3)]))
    expected = x
    for n in (2, 1, 0):
        expected = _rotation(q[n]) @ expected + t[n]
    np.testing.assert_allclose(_rotation(np.array(total)) @ x + np.array(shift), expected, atol=1e-12)


def test_rigid3_is_a_semidirect_product_bit_for_bit() -> None:
    twin = ms.Semidirect(ms.Quaternion(), ms.Sum(), act=geometry.rotate, event=1)
    rng = np.random.default_rng(2)
    left, right = ((mx.array(rng.normal(size=4)), mx.array(rng.normal(size=3))) for _ in range(2))
    for ours, theirs in zip(ms.Rigid3().combine(left, right), twin.combine(left, right), strict=True):
        assert ours.tolist() == theirs.tolist()


def test_poses_batch() -> None:
    rng = np.random.default_rng(3)
    q, t = mx.array(rng.normal(size=(2, 5, 4))), mx.array(rng.normal(size=(2, 5, 3)))
    whole = ms.Rigid3().combine((q[0], t[0]), (q[1], t[1]))
    each = mx.vmap(ms.Rigid3().combine)((q[0], t[0]), (q[1], t[1]))
    assert all(mx.allclose(x, y).item() for x, y in zip(whole, each, strict=True))


@pytest.mark.parametrize("dtype", [mx.int8, mx.uint8, mx.int32, mx.uint64])
def test_maps_follow_left_first(dtype: mx.Dtype) -> None:
    maps, names = ms.FiniteMap(3), list(product(range(3), repeat=3))
    for f, g in product(names, repeat=2):
        got = maps.combine(mx.array(f).astype(dtype), mx.array(g).astype(dtype))
        assert got.tolist() == [g[f[s]] for s in range(3)]
        assert got.dtype == dtype


def test_an_automaton_reads_a_text() -> None:
    text = mx.array(list(b"two  words"))
    table = np.tile([[1, 1, 1]], (256, 1))  # 0 before any word, 1 in a word, 2 after one
    table[ord(" ")] = [0, 2, 2]
    words = ms.FiniteMap(3)
    elements = words.embed(text, mx.array(table))
    states = [words.project(reduce(words.combine, list(elements[: n + 1]))).item() for n in range(text.size)]
    assert states == [1, 1, 1, 2, 2, 1, 1, 1, 1, 1]


def test_maps_of_another_length_are_refused() -> None:
    with pytest.raises(errors.ScanError, match=r"\[FiniteMap\(3\)\] maps must have the shape \(..., 3\); got \(2,\)"):
        ms.FiniteMap(3).combine(mx.array([0, 1]), mx.array([1, 0]))
    with pytest.raises(errors.ScanError, match=r"\(..., 3\); got \(5, 4\)"):
        ms.FiniteMap(3).embed(mx.zeros((5, 4), mx.int32))
    with pytest.raises(errors.ScanError, match="positive number of states; got 0"):
        ms.FiniteMap(0)


def _unmatched(text: str) -> tuple[int, int]:
    closes = opens = 0
    for char in text:
        opens += char == "("
        if char == ")":
            opens, closes = (opens - 1, closes) if opens else (opens, closes + 1)
    return closes, opens


@pytest.mark.parametrize("length", [1, 5])
def test_brackets_by_a_stack(length: int) -> None:
    bracket, values = ms.Bracket(), {"(": 1, ")": -1, "x": 0}
    for chars in product("()x", repeat=length):
        elements = [bracket.embed(mx.array(values[char])) for char in chars]
        total = reduce(bracket.combine, elements)
        assert tuple(leaf.item() for leaf in total) == _unmatched("".join(chars))
        assert bracket.project(total).item() is (_unmatched("".join(chars)) == (0, 0))
