"""The sweep over forms of kernels but for the GPU: its package is made, run and read on the machine of fibres."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from scans import fixed, scan
from selection import thinned
from shim_driver import Shim, needs_shim
from test_benchmark import emulated

import monoscan as ms
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import sweep as forms
from benchmarks.gpu.carried import main as carried
from benchmarks.gpu.carried import sweep as carried_sweep
from benchmarks.gpu.carried.main import NOTHING, RIGHT, WRONG
from benchmarks.gpu.carried.package import Case
from benchmarks.gpu.carried.sweep import Found
from benchmarks.gpu.cases import Timed
from benchmarks.gpu.sweep import MOST, kernel_of, swept
from monoscan.lowering.plan.gpu_launches import registers
from monoscan.lowering.render.gpu_spec import Body
from monoscan.testing import check_order

__all__ = ["emulated"]
SMALL = {
    "columns": Timed("affine", (40, 70), 0),
    "short rows": Timed("add", (300, 20), 1),
    "a long row": Timed("affine", (1, 7000), 1),
}


def test_forms_are_what_the_planner_chooses_and_others_that_fit() -> None:
    number = 0
    for case in swept():
        kernel = kernel_of(case)
        found = forms.forms(kernel.spec, kernel.shape)
        number += len(found)
        assert found[0].launches == kernel.launches_for("cuda")
        assert len({form.launches for form in found}) == len(found) > 3
        for form in found:
            spec = form.launches[-1].spec
            assert spec.run * spec.steps * registers(kernel.spec) <= MOST
    bodies = {form.body for case in swept() for form in forms.forms(kernel_of(case).spec, kernel_of(case).shape)}
    assert bodies >= {
        "rows",
        "short rows",
        "columns",
        "look back",
        "rows in three launches",
        "columns in three launches",
    }
    assert number < 600, "a few minutes"


def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, numbers in {"WAVES": (8,), "STEPS": (1,), "RUNS": (2, 4), "DOWN": (4, 8)}.items():
        monkeypatch.setattr(forms, name, numbers)


@pytest.mark.long
@needs_shim
@pytest.mark.parametrize("name", thinned(SMALL, ["columns"]))
def test_every_form_is_run_and_ranked(
    name: str, emulated: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few(monkeypatch)
    folder, library = emulated([], [], swept=[SMALL[name]])
    assert carried.main(folder, library, budget=0) == RIGHT
    said = capsys.readouterr().out
    assert "cases are right." in said
    assert f"#### {SMALL[name].name}" in said
    assert "(as planned) | 40 |" in said
    assert re.search(r"\| \w[\w ]+, run \d+, steps \d+, waves \d+.* \| 40 \| [\d.e+-]+ \| [\d,]+ \| \d+ % \|", said)
    assert not library.memory, "all memory is given back"


@needs_shim
@pytest.mark.long
def test_a_form_that_is_wrong_is_no_candidate(
    emulated: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few(monkeypatch)
    wrong = Shim(faulty=("operation::combine(left, x, k)", "operation::combine(x, left, k)"))
    folder, library = emulated([], [], swept=[Timed("affine", (3, 40), 1)], start=wrong)
    assert carried.main(folder, library, budget=0) == WRONG
    said = capsys.readouterr().out
    assert "cases are wrong:**" in said
    assert "short rows" in said
    assert "as planned" not in said


def test_what_to_change_is_said() -> None:
    def form(seconds: float, run: int, planned: bool) -> Found:
        case = Case(
            "", "Affine", [1], 0, [], [], [], "affine", 1 << 30, "Affine 2^24", "rows", {"run": run}, planned, 2
        )
        return Found(case, 40, seconds, 1e-3)

    said = carried_sweep.text([[form(2e-3, 4, True), form(1e-3, 2, False)]])
    assert "| rows, run 2 | 40 | 1 | 1,074 | 100 % |" in said
    assert "- Affine 2^24 (2 registers a state): rows, run 2 is 2.00 times as fast as rows, run 4." in said
    assert "gpu_launches.py" in said
    within = carried_sweep.text([[form(1.01e-3, 4, True), form(1e-3, 2, False)]])
    assert "The planner's forms are the fastest, within 3 %." in within


@pytest.mark.long
@needs_shim
@pytest.mark.parametrize("anchors", thinned([1, 8, 16], [8]))
def test_other_anchors_keep_the_order(anchors: int) -> None:
    plan = fixed(Body.LOOK_BACK, 4, 1, 1, anchors=anchors)

    def run(operator: Any, elems: Any, **options: Any) -> Any:
        rows = ms.tree.map_leaves(lambda x: x[None], elems)
        init = options.pop("init", None)
        assert init is None
        results, carry = scan(operator, rows, 1, plan=plan, start=Shim(seed=3), **options)
        return ms.tree.map_leaves(lambda x: x[0], results), ms.tree.map_leaves(lambda x: x[0], carry)

    for n in (128, 128 * 9 + 1, 128 * 40):
        check_order(run, n)


@pytest.mark.long
def test_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nvidia", reason="no NVRTC")
    monkeypatch.setattr(command, "swept", lambda: [SMALL["short rows"]])
    assert command.main(["--sweep", "--pack", str(tmp_path / "package"), "--architectures", "sm_90"]) == RIGHT
    assert "forms are not raced" in capsys.readouterr().out
    monkeypatch.setattr(command, "Cuda", partial(_no_gpu))
    assert command.main(["--sweep"]) == NOTHING
    assert "Nothing was run: no NVIDIA driver" in capsys.readouterr().out


def _no_gpu() -> Any:
    raise command.Unavailable("no NVIDIA driver: libcuda.so.1 was not found")


def test_shapes_are_larger_than_caches() -> None:
    for case in swept():
        assert sum(int(mx.zeros(shape).size) for shape in case.shapes()) * 8 > 1 << 26
