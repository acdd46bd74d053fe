"""A broken toolchain: scans and gradients stay right, one line says why, and `explain` tells the truth."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from toolchain import FULL, A, B, broken, explained, gradient, runs, scan, states

import monoscan as ms
from monoscan.cli import info
from monoscan.cli.main import main
from monoscan.errors import StrategyError
from monoscan.lowering.targets.cpu import backward, build, kernels, recipe, target
from monoscan.lowering.targets.cpu import disk as cache
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable

pytestmark = pytest.mark.skipif(not build.status().available, reason="no compiler")

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (FULL, "the C++ compiler failed: fatal error: No space left on device"),
        ("exit 3", "the C++ compiler failed: exit status 3"),
        ("kill -9 $$", "the C++ compiler failed: killed by SIGKILL"),
        ("exit 0", "the C++ compiler reported success and wrote nothing"),
        ("printf '\\377\\033[31m: error: \\351\\n' >&2; exit 1", "the C++ compiler failed: \ufffd[31m: error: \ufffd"),
        ('printf "one\\ntwo\\nthree\\nfour\\n" >&2; exit 1', "the C++ compiler failed: two; three; four"),
        (
            'printf "/usr/bin/ld: cannot find -lm\\ncollect2: error: ld returned 1 exit status\\n" >&2; exit 1',
            "the C++ compiler failed: /usr/bin/ld: cannot find -lm; collect2: error: ld returned 1 exit status",
        ),
        (
            'while [ $# -gt 1 ]; do [ "$1" = -o ] && echo garbage > "$2"; shift; done',
            "what the C++ compiler made does not load: {folder}",
        ),
    ],
)
def test_a_scan_whose_kernel_cannot_be_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, script: str, words: str
) -> None:
    broken(monkeypatch, folder, script)
    assert explained().strategy == "kernel"
    for _ in range(2):
        np.testing.assert_allclose(scan(), states(), rtol=1e-6)
        assert explained().strategy == "blelloch"
    said = capsys.readouterr()
    words = words.format(folder=folder.parent)
    assert said.out == ""
    assert said.err.startswith(f"monoscan: a scan without its kernel runs as slower MLX array operations: {words}")
    assert said.err.count("\n") == 1
    assert explained().reasons[4].text.startswith(words)


def test_plans_made_before_are_made_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [explained(reverse=reverse) for reverse in (False, True)]
    assert [plan.strategy for plan in before] == ["kernel", "kernel"]
    broken(monkeypatch, folder, FULL)
    mx.eval(scan())
    # the other way is another kernel; the compiler is known to fail for every one
    assert [explained(reverse=reverse).strategy for reverse in (False, True)] == ["blelloch", "blelloch"]


def test_a_compiler_that_fails_for_all_is_asked_no_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = broken(monkeypatch, folder, FULL)
    mx.eval(scan())
    assert runs(program) == 2  # the kernel, and one that does nothing
    mx.eval(
        ms.scan(ms.MaxSubarray(), ms.MaxSubarray().embed(mx.array(A))), ms.fold(ms.Affine(), (mx.array(A), mx.array(B)))
    )
    assert runs(program) == 2


def test_kernels_compiled_before_still_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mx.eval(scan())
    broken(monkeypatch, folder, FULL)
    with pytest.raises(BridgeUnavailable):
        kernels.check_compiler()
    assert explained().strategy == "kernel"
    assert explained(reverse=True).strategy == "blelloch"
    np.testing.assert_allclose(scan(), states(), rtol=1e-6)


def test_a_failure_of_one_kernel_is_of_that_one_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = explained().source
    render = target.render
    monkeypatch.setattr(
        target, "render", lambda spec: f"#error this one\n{text}" if (text := render(spec)) == one else text
    )
    np.testing.assert_allclose(scan(), states(), rtol=1e-6)
    assert explained().strategy == "blelloch"
    assert "#error this one" in explained().reasons[4].text
    assert explained(reverse=True).strategy == "kernel"
    back = ms.scan(ms.Affine(), (mx.array(A), mx.array(B)), reverse=True)[1]
    np.testing.assert_allclose(back, states(A[::-1], B[::-1])[::-1], rtol=1e-6)
    assert explained(reverse=True).strategy == "kernel"
    assert info.kernels_here().startswith("yes, but 1 failed in this process, the first so: the C++ compiler failed: ")


def recurrence() -> mx.array:
    return ms.linear_recurrence(mx.array(A), mx.array(B))


def pieces() -> mx.array:
    left, right = ms.scan(ms.Tuple(ms.Affine(), ms.Affine()), ((mx.array(A), mx.array(B)), (mx.array(A), mx.array(B))))
    return mx.maximum(left[1], right[1])


def slices() -> mx.array:
    return ms.associative_scan(lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1]), (mx.array(A), mx.array(B)))[1]


def untraced_scale() -> mx.array:
    scale = mx.array(2.0)
    operator = ms.monoid(lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1] * (scale / scale)), identity=(1, 0))
    return ms.scan(operator, (mx.array(A), mx.array(B)))[1]


def test_the_command_line_tells_what_will_run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    broken(monkeypatch, folder, FULL)
    assert main(["explain", "Affine", "--shape", "50"]) == 0
    assert "strategy  blelloch (row 6)" in capsys.readouterr().out
    assert main(["bench", "Affine", "--shape", "50", "--reverse", "--seconds", "0.1"]) == 0
    assert "auto: blelloch" in capsys.readouterr().out
    assert main(["info"]) == 0
    assert "kernel (cpu)   only those compiled before: the C++ compiler failed" in capsys.readouterr().out


@pytest.mark.parametrize("call", [recurrence, pieces, slices, untraced_scale], ids=lambda call: call.__name__)
def test_every_public_call(folder: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[], mx.array]) -> None:
    broken(monkeypatch, folder, FULL)
    for _ in range(2):
        np.testing.assert_allclose(call(), states(), rtol=1e-6)


def test_folds_carries_and_the_fold_in_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, folder, FULL)
    elems = mx.array(A), mx.array(B)
    assert ms.fold(ms.Affine(), elems)[1].item() == pytest.approx(states()[-1])
    _, last = ms.linear_recurrence(*elems, return_carry=True)
    assert last.item() == pytest.approx(states()[-1])
    np.testing.assert_array_equal(ms.scan(ms.Affine(), elems, strategy="sequential")[1], np.float32(states()))
    assert explained(strategy="sequential").combine == "lanes"
    _, h = mx.compile(lambda a, b: ms.scan(ms.Affine(), (a, b)))(*elems)
    np.testing.assert_allclose(h, states(), rtol=1e-6)


def test_a_forced_kernel_names_the_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, folder, FULL)
    for _ in range(2):
        with pytest.raises(StrategyError, match=r"strategy='kernel' cannot run Affine: .*No space left on device"):
            ms.scan(ms.Affine(), (mx.array(A), mx.array(B)), strategy="kernel")


def test_gradients_of_a_kernel_whose_adjoint_cannot_be_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    render = backward.render_backward
    monkeypatch.setattr(backward, "render_backward", lambda spec: f"#error no way back\n{render(spec)}")
    loss = mx.grad(lambda b: ms.linear_recurrence(mx.array(A), b).sum())
    for _ in range(2):
        np.testing.assert_allclose(loss(mx.array(B)), gradient(), rtol=1e-6)
    assert explained().strategy == "kernel"
    said = capsys.readouterr().err
    assert "#error no way back" in said
    assert said.count("\n") == 1


@pytest.mark.long
def test_gradients_that_need_states_which_no_kernel_gives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mx.eval(recurrence(), ms.fold(ms.Affine(), (mx.array(A), mx.array(B))))
    broken(monkeypatch, folder, FULL)  # what follows, backward and again, finds no compiler
    _, found = mx.vjp(lambda a, b: ms.fold(ms.Affine(), (a, b))[1], [mx.array(A), mx.array(B)], [mx.array(1.0)])
    after = np.append(np.cumprod(A[::-1].astype(np.float64))[::-1][1:], 1.0)
    np.testing.assert_allclose(found[1], after, rtol=1e-6)
    np.testing.assert_allclose(found[0], after * np.append(0.0, states()[:-1]), rtol=1e-6)


@pytest.mark.long
def test_tangents_and_maps_without_their_kernels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mx.eval(recurrence())
    broken(monkeypatch, folder, FULL)
    a, b = mx.array(A), mx.array(B)
    _, (tangent,) = mx.jvp(lambda b: ms.linear_recurrence(a, b), [b], [mx.ones_like(b)])
    np.testing.assert_allclose(tangent, states(b=np.ones_like(B)), rtol=1e-6)
    both = mx.vmap(lambda b: ms.linear_recurrence(a, b))(mx.stack([b, 2 * b]))
    np.testing.assert_allclose(both, [states(), states(b=2 * B)], rtol=1e-6)


def test_threads_that_find_out_together(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    program = broken(monkeypatch, folder, f"sleep 0.2; {FULL}")
    ready = threading.Barrier(4)

    def work(_: int) -> list[float]:
        with mx.stream(mx.new_stream(mx.cpu)):
            ready.wait(30)
            return scan().tolist()  # type: ignore[no-any-return]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(work, range(4)):
            np.testing.assert_allclose(found, states(), rtol=1e-6)
    assert capsys.readouterr().err.count("\n") == 1
    assert runs(program) == 2


def test_a_cache_without_a_bridge_is_no_bridge(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(build, "LOADER", build._Loader())
    folder.mkdir()
    (folder / f"{recipe.stem()}-00000000.so").write_bytes(b"no checksum")
    assert not build.status().available
    damaged = folder / f"{recipe.stem()}-11111111.so"
    damaged.write_bytes(b"garbage")
    damaged.with_name(f"{damaged.name}.sha256").write_bytes(cache._checksum(b"garbage"))
    assert build.status().available
    np.testing.assert_allclose(scan(), states(), rtol=1e-6)  # it does not load
    assert not build.status().available
    assert explained().strategy == "blelloch"
