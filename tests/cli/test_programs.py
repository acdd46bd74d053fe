"""The command line beside other programs: pipes, interrupts, JSON, and what it says of a slip of the pen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest

import monoscan as ms
from tests.command_line import Captured, run


def test_a_reader_that_stops_early() -> None:
    command = [sys.executable, "-m", "monoscan", "source", "Affine", "--kernel", "--expand"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it is there on Linux")
def test_a_full_disk_is_no_traceback() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "monoscan", "explain", "Sum"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "[monoscan explain] [Errno 28] No space left on device\n"


def test_an_interrupt_is_no_traceback(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("monoscan.cli.info.report", interrupted)
    assert run(capsys, "info") == (130, "", "interrupted\n")


def test_a_wrong_option_shows_how_that_command_is_used(capsys: Captured) -> None:
    code, out, err = run(capsys, "laws", "Sum", "--shape", "3")
    assert (code, out) == (2, "")
    assert err.startswith("usage: monoscan laws")
    assert "unrecognized arguments: --shape 3" in err


@pytest.mark.parametrize("options", ["--target cuda --kernel", "--target metal --expand", "--expand"])
def test_options_of_source_that_would_be_ignored_are_refused(capsys: Captured, options: str) -> None:
    code, out, err = run(capsys, "source", "Affine", *options.split())
    assert (code, out) == (2, "")
    assert "--kernel" in err


@pytest.mark.parametrize(("name", "guess"), [("affine", "Affine"), ("Moment", "Moments"), ("LogSumExpp", "LogSumExp")])
def test_a_name_that_is_nearly_right(capsys: Captured, name: str, guess: str) -> None:
    code, _, err = run(capsys, "explain", name)
    assert code == 2
    assert f"there is no operator {name}. Did you mean {guess}" in err


def test_info_for_programs(capsys: Captured) -> None:
    code, out, _ = run(capsys, "info", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["monoscan"] == ms.__version__
    assert {"cpu", "gpu", "default"} == set(report["devices"])
    assert "blelloch" in report["strategies"]


def test_a_plan_for_programs(capsys: Captured) -> None:
    code, out, _ = run(capsys, "explain", "Tuple(Sum(), Affine())", "--shape", "64,100", "--axis", "1", "--json")
    said = json.loads(out)
    a = mx.zeros((64, 100))
    plan = ms.explain(ms.Tuple(ms.Sum(), ms.Affine()), (a, (a, a)), axis=1)
    assert code == 0
    assert (said["strategy"], said["row"], said["axis"]) == (plan.strategy, plan.row, 1)
    assert said["leaves"] == [{"dtype": "float32", "shape": [64, 100]}] * 3
    assert [each["row"] for each in said["reasons"]] == [reason.row for reason in plan.reasons]
    assert len(said["parts"]) == len(plan.parts)
    assert len(said["kernels"]) == len(plan.kernels)


def test_times_for_programs(capsys: Captured) -> None:
    code, out, _ = run(capsys, "bench", "Max", "--shape", "50,4", "--seconds", "0.05", "--json")
    said = json.loads(out)
    assert code == 0
    assert said["items"] == 200
    assert said["entries"][-1]["name"] == "mx.cumsum of one leaf"
    assert all(each["median"] > 0 and each["runs"] >= 5 for each in said["entries"] if not each["note"])
