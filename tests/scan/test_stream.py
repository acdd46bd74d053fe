"""Streams: chunks give what one scan of all gives; states go through files; nothing is lost where a push fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms

CUTS = [0, 3, 3, 4, 11, 20]


def pieces(x: Any, axis: int = 0) -> list[Any]:
    where = (slice(None),) * axis
    return [x[(*where, slice(a, b))] for a, b in pairwise(CUTS)]


def test_chunks_give_what_one_scan_of_all_gives() -> None:
    x = np.random.default_rng(0).integers(-9, 9, (2, 20, 2, 2))
    stream = ms.Stream(ms.MatMul(), axis=1)
    found = np.concatenate([np.array(stream.push(mx.array(part))) for part in pieces(x, 1)], axis=1)
    expected = x.copy()
    for t in range(1, 20):
        expected[:, t] = expected[:, t - 1] @ x[:, t]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.array(stream.carry), expected[:, -1])
    assert stream.position == 20


@pytest.mark.parametrize("inclusive", [True, False])
def test_an_element_in_front_and_the_fold_of_what_came_before(inclusive: bool) -> None:
    x = np.arange(20)
    stream = ms.Stream(ms.Sum(), init=5, inclusive=inclusive)
    found = [y for part in pieces(mx.array(x)) for y in stream.push(part).tolist()]
    assert found == [5 + int(x[: i + inclusive].sum()) for i in range(20)]


def test_positions_of_an_aggregator_count_from_the_first_chunk_on() -> None:
    weighted = ms.aggregator(lambda t, x: t * x, ms.Sum(), lambda total, t, x: total + t)
    x = np.arange(20, dtype=np.float32)
    stream = ms.Stream(weighted)
    found = [y for part in pieces(mx.array(x)) for y in stream.push((ms.position, part)).tolist()]
    assert found == [float((np.arange(i + 1) * x[: i + 1]).sum() + i) for i in range(20)]


def test_a_position_beyond_int32_is_refused_before_anything_runs() -> None:
    stream = ms.Stream(ms.aggregator(lambda t, x: x, ms.Sum(), lambda s, t, x: s))
    state = stream.state_dict()
    stream.load_state_dict(state | {"position": mx.array(2**31 - 3, mx.int64)})
    with pytest.raises(ms.ScanError, match=r"\[Stream\].*ms\.position, an int32.*2,147,483,649"):
        stream.push((ms.position, mx.ones((4,))))
    assert stream.position == 2**31 - 3


def test_a_chunk_that_does_not_fit_leaves_the_stream_as_it_was() -> None:
    stream = ms.Stream(ms.Sum())
    stream.push(mx.array([1.0, 2.0]))
    with pytest.raises(ms.ScanError):
        stream.push(mx.array([1, 2]))
    assert (stream.carry.item(), stream.position) == (3.0, 2)
    assert stream.push(mx.array([4.0])).tolist() == [7.0]


def test_halves_are_carried_in_float32() -> None:
    x = np.full(4096, 1.0, np.float16)
    stream = ms.Stream(ms.Sum())
    for part in np.split(x, 8):
        last = stream.push(mx.array(part))
    assert (last.dtype, stream.carry.dtype, stream.carry.item()) == (mx.float16, mx.float32, 4096.0)


def test_a_gradient_ends_where_a_chunk_begins() -> None:
    stream = ms.Stream(ms.Sum())

    def loss(x: mx.array) -> mx.array:
        stream.reset()
        return stream.push(x).sum() + stream.push(x).sum()

    assert mx.grad(loss)(mx.ones((3,))).tolist() == [6.0, 4.0, 2.0]


def test_a_push_inside_of_a_compiled_function_is_refused() -> None:
    stream = ms.Stream(ms.Sum())
    with pytest.raises(ms.ScanError, match=r"\[Stream\] push keeps its carry.*mx\.compile"):
        mx.compile(lambda x: stream.push(x))(mx.ones((3,)))
    assert stream.position == 0


def test_reset_goes_back_to_the_start() -> None:
    stream = ms.Stream(ms.Sum(), init=mx.array(1))
    stream.push(mx.array([1, 2]))
    stream.reset()
    assert (stream.push(mx.array([3])).tolist(), stream.position) == ([4], 1)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ms.Stream(mx.add), r"\[Stream\] expects an operator; got the function"),
        (lambda: ms.Stream(ms.Sum(), state=mx.array(1)), r"\[Stream\].*state"),
        (lambda: ms.Stream(ms.aggregators.Mean(), init=mx.array(1)), r"\[Stream\].*state"),
    ],
)
def test_what_a_stream_is_not_made_of(build: Any, words: str) -> None:
    with pytest.raises(ms.ScanError, match=words):
        build()


# ------------------------------------------------------------------ states in files
@pytest.mark.parametrize("name", ["state.npz", "state.safetensors"])
def test_a_stream_goes_on_from_a_file_to_the_bit(name: str, tmp_path: Path) -> None:
    a, b = np.random.default_rng(1).uniform(0.5, 1, (2, 20, 3)).astype(np.float32)
    parts = list(zip(pieces(mx.array(a)), pieces(mx.array(b)), strict=True))
    whole, first, second = (ms.Stream(ms.Affine()) for _ in range(3))
    expected = [whole.push(part) for part in parts]
    for part in parts[:3]:
        first.push(part)
    first.save(tmp_path / name)
    second.load(tmp_path / name)
    assert second.position == 4
    for part, (decay, h) in zip(parts[3:], expected[3:], strict=True):
        found = second.push(part)
        assert mx.array_equal(found[0], decay)
        assert mx.array_equal(found[1], h)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_float64_goes_through_npz_and_not_through_safetensors(tmp_path: Path) -> None:
    stream = ms.Stream(ms.Sum())
    stream.push(mx.array([1e8, 0.25], mx.float64))
    with pytest.raises(ms.ScanError, match=r"hold no float64; save the state as \.npz"):
        stream.save(tmp_path / "state.safetensors")
    stream.save(tmp_path / "state.npz")
    again = ms.Stream(ms.Sum())
    again.load(tmp_path / "state.npz")
    assert again.push(mx.array([0.25], mx.float64)).tolist() == [1e8 + 0.5]
    with np.load(tmp_path / "state.npz") as arrays:
        again.load_state_dict(dict(arrays))
    assert again.carry.dtype == mx.float64


def test_a_state_of_another_stream_is_refused(tmp_path: Path) -> None:
    stream = ms.Stream(ms.Sum())
    stream.push(mx.array([1]))
    with pytest.raises(
        ms.ScanError, match=r"\[Stream\] this stream has the operator 'Max'; the state is one of operator 'Sum'"
    ):
        ms.Stream(ms.Max()).load_state_dict(stream.state_dict())
    with pytest.raises(ms.ScanError, match=r"the axis 1; the state is one of axis 0"):
        ms.Stream(ms.Sum(), axis=1).load_state_dict(stream.state_dict())
    with pytest.raises(ms.ScanError, match=r"expects what state_dict\(\) returned"):
        stream.load_state_dict({"position": mx.array(1)})
    with pytest.raises(ms.ScanError, match=r"kept in a file \.npz or \.safetensors; got 'state\.bin'"):
        stream.save(tmp_path / "state.bin")
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(ms.ScanError, match=r"torn\.npz is no state of a stream"):
        stream.load(tmp_path / "torn.npz")
    assert stream.carry.item() == 1


class Pair(NamedTuple):
    low: Any
    high: Any


def test_a_tree_without_names_of_its_own_is_not_packed() -> None:
    stream = ms.Stream(ms.monoid(lambda l, r: Pair(mx.minimum(l.low, r.low), mx.maximum(l.high, r.high))))
    stream.push(Pair(mx.array([1, 2]), mx.array([3, 4])))
    with pytest.raises(ms.ScanError, match=r"tuples, lists and dicts with names; the carry is Pair\(low="):
        stream.state_dict()


def test_dicts_and_lists_come_back_as_they_were() -> None:
    step = ms.monoid(lambda l, r: {"a": l["a"] + r["a"], "b": [mx.maximum(l["b"][0], r["b"][0])]}, name="both")
    stream, again = ms.Stream(step), ms.Stream(step)
    stream.push({"a": mx.array([1, 2]), "b": [mx.array([5, 3])]})
    again.load_state_dict(stream.state_dict())
    found = again.push({"a": mx.array([4]), "b": [mx.array([4])]})
    assert (found["a"].tolist(), found["b"][0].tolist()) == ([7], [5])


@pytest.mark.long
def test_a_process_that_is_killed_goes_on_where_it_saved(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import os, signal, sys
        import mlx.core as mx
        import monoscan as ms
        path, stop = sys.argv[1], int(sys.argv[2])
        stream = ms.Stream(ms.Affine())
        if os.path.exists(path):
            stream.load(path)
        for chunk in range(stream.position // 50, 9):
            key = mx.random.key(chunk)
            a, b = mx.random.uniform(0.5, 1, (50, 3), key=key), mx.random.normal((50, 3), key=key)
            h = stream.push((a, b))[1]
            stream.save(path)
            if chunk == stop:
                os.kill(os.getpid(), signal.SIGKILL)
        print(bytes(memoryview(h)).hex())
        """
    )

    def run(name: str, stop: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, str(tmp_path / name), str(stop)]
        return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)

    whole = run("whole.npz", -1)
    assert whole.returncode == 0, whole.stderr
    for stop in (2, 5):
        assert run("torn.npz", stop).returncode == -signal.SIGKILL
    assert run("torn.npz", -1).stdout == whole.stdout


# ------------------------------------------------------------------ chunks
def test_a_file_is_read_in_chunks_that_keep_its_dtype(tmp_path: Path) -> None:
    x = np.random.default_rng(2).normal(size=(3, 1000))
    np.save(tmp_path / "x.npy", x)
    stream = ms.Stream(ms.Sum(), axis=1, strategy="sequential")
    found = list(stream.over(ms.chunks(tmp_path / "x.npy", 300, axis=1)))
    assert [y.shape[1] for y in found] == [300, 300, 300, 100]
    assert found[0].dtype == mx.float64
    np.testing.assert_array_equal(np.concatenate([np.array(y) for y in found], axis=1), np.cumsum(x, axis=1))


def test_foreign_byte_order_and_strides_are_converted() -> None:
    x = np.arange(10, dtype=">f8")[::-1]
    assert [c.tolist() for c in ms.chunks(x, 4)] == [[9, 8, 7, 6], [5, 4, 3, 2], [1, 0]]


def test_an_error_of_a_reader_comes_in_its_turn() -> None:
    def broken() -> Any:
        yield mx.array([1])
        raise OSError("the disk is gone")

    stream = ms.Stream(ms.Sum())
    results = stream.over(broken())
    assert next(results).tolist() == [1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)
    assert stream.position == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.arange(3), 0), r"\[chunks\] size must be an int of at least 1; got 0"),
        (([1, 2], 1), r"\[chunks\] expects a file or an array"),
        ((np.arange(3), 1, 1), r"\[chunks\] axis 1 is out of bounds for an array of shape \(3,\)"),
        (("there_is_none.npy", 1), r"\[chunks\] there_is_none\.npy is no file \.npy"),
        ((np.array(["a"]), 1), r"\[chunks\] there are no arrays of str"),
        ((np.ma.masked_equal(np.arange(3), 1), 1), r"\[chunks\] the source is a masked array"),
    ],
)
def test_what_is_not_cut(arguments: Any, words: str) -> None:
    with pytest.raises(ms.ScanError, match=words):
        list(ms.chunks(*arguments))
