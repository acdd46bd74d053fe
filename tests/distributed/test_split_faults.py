"""What goes wrong on one rank is an error on every rank, soon, and says what each of them did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ranks

SOON = 10
"""Seconds that tell an error from a wait: it takes some hundredths, a process more on a busy machine."""

DIFFERENT = {
    "batch": ("float32[n, 3]", "float32[n, 2]"),
    "dtype": ("float32[n, 3]", "int32[n, 3]"),
    "operator": ("scan of Sum", "scan of Max"),
    "option": ("scan of Sum", "reverse scan of Sum"),
    "init": ("from nothing", "from float32[]"),
    "call": ("scan of Sum", "fold of Sum"),
}
LOCAL = {
    "tree": "TreeError: [scan] Affine expects a tree (a, b)",
    "option of no sense": "reverse must be True or False",
    "time of no sense": "timeout must be a positive number of seconds",
    "loop": "[distributed.loop] a loop claims nothing",
    "combine": "by nought",
    "compile": "mx.compile and mx.vmap have no values",
    "vmap": "mx.compile and mx.vmap have no values",
}


@pytest.fixture(scope="module")
def answers() -> list[Any]:
    """What three ranks say of one fault after another, each in the group that had the faults before."""
    return ranks.run("faults", 3, [*DIFFERENT, *LOCAL])


@pytest.mark.long
@pytest.mark.parametrize("kind", DIFFERENT)
def test_ranks_that_differ_are_told_what_both_sides_do(kind: str, answers: list[Any]) -> None:
    for found, after in (answer[kind] for answer in answers):
        ((said, seconds),) = found
        assert said.startswith("DistributedError: [distributed.")
        for side in DIFFERENT[kind]:
            assert side in said
        assert "ranks 0, 2: call" in said
        assert "rank 1: call" in said
        assert seconds < SOON
        assert after == 6.0  # the group works afterwards


@pytest.mark.long
def test_calls_in_another_order_are_errors_of_both() -> None:
    for answer in ranks.run("faults", 2, ["order"]):
        found, after = answer["order"]
        assert [("scan of Sum" in said and "scan of Max" in said) for said, _ in found] == [True, True]
        assert after == 4.0


@pytest.mark.long
@pytest.mark.parametrize("kind", LOCAL)
def test_an_error_of_one_rank_is_told_to_all(kind: str, answers: list[Any]) -> None:
    for rank, (found, after) in enumerate(answer[kind] for answer in answers):
        ((said, seconds),) = found
        assert LOCAL[kind] in said
        assert ("failed on rank 1, so on all" in said) == (rank != 1)
        assert seconds < SOON
        assert after == 6.0


@pytest.mark.long
def test_another_collective_in_the_place_of_a_call_is_found_out() -> None:
    (here, after), (there, _) = (answer["other"] for answer in ranks.run("faults", 2, ["other"]))
    assert "rank 1 sent something else" in here[0][0]
    assert there[0][0] == ""  # MLX says nothing
    for said in (here[1][0], there[1][0]):  # nor does it count
        assert "rank 0: call 2" in said
        assert "rank 1: call 1" in said
    assert (here[2][0], there[2][0], after) == ("", "", 4.0)  # from there on ranks are in step


@pytest.mark.long
@pytest.mark.parametrize(("kind", "code"), [("exits", 3), ("stops", -9), ("sleeps", -9)])
def test_a_rank_that_is_silent_is_an_error_of_all_others_within_the_timeout(kind: str, code: int) -> None:
    limit = 2
    stopped = () if kind == "exits" else (1,)
    codes = [0, code, 0, 0]
    for rank, found in enumerate(ranks.run("silent", 4, kind, limit, codes=codes, stopped=stopped)):
        if rank == 1:
            assert found is None
            continue
        (first, waited), (again, _) = found
        assert "the group cannot be used any more" in first
        assert waited < limit + SOON
        assert again == first  # a broken ring is not touched again
        assert "lost" in first or f"did not answer within {limit} s" in first


@pytest.mark.long
def test_a_rank_that_never_comes_ends_the_wait_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(json.dumps(ranks.hosts(2)))
    more = {"MLX_RANK": "0", "MLX_HOSTFILE": str(tmp_path / "hosts"), "MONOSCAN_DISTRIBUTED_TIMEOUT": "2"}
    code = "import mlx.core as mx, monoscan as ms, monoscan.distributed as md; md.fold(ms.Sum(), mx.ones((2,)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | more, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "Timeout (0:00:02)" in done.stderr


@pytest.mark.long
def test_a_rank_that_prints_changes_nothing() -> None:
    answers = ranks.run("printing", 2)
    np.testing.assert_array_equal(np.concatenate([a for a, _ in answers]), [1, 2, 3, 4])
    np.testing.assert_array_equal(np.concatenate([b for _, b in answers]), [5, 5, 6, 6])


@pytest.mark.long
def test_a_launcher_starts_ranks(tmp_path: Path) -> None:
    script = tmp_path / "total.py"
    script.write_text(
        "import mlx.core as mx\nmx.set_default_device(mx.cpu)\nimport monoscan as ms, monoscan.distributed as md\n"
        f"total = md.fold(ms.Sum(), mx.ones((3,))).item()\nopen(r'{tmp_path}/' + str(mx.distributed.init().rank()), 'w')"
        ".write(str(total))\n"
    )
    port = ranks.hosts(1)[0][0].rpartition(":")[2]
    root = str(ranks.WORKER.parents[2])
    more = {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    launcher = str(Path(sysconfig.get_path("scripts")) / "mlx.launch")
    command = [sys.executable, launcher, "-n", "2", "--backend", "ring", "--starting-port", port]
    done = subprocess.run(
        [*command, sys.executable, str(script)], env=os.environ | more, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=100, check=True,
    )  # fmt: skip
    said = done.stdout + done.stderr  # the launcher's exit code is 0 even where a rank fails
    assert [(tmp_path / str(rank)).read_text() for rank in range(2)] == ["6.0", "6.0"], said
