"""What ``explain`` says of a split call, and what a call of one rank is."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import ranks

import monoscan as ms
import monoscan.distributed as md


@pytest.mark.parametrize(
    ("width", "counts"), [(3, (1, 1, 4096, 4096)), (900, (1, 2, 4096, 4096 + 7200)), (1200, (2, 2, 8896, 13696))]
)
def test_collectives_and_bytes_are_counted(width: int, counts: tuple[int, ...]) -> None:
    plan = md.explain(ms.Sum(), mx.ones((5, width)), group=2)
    assert (plan.collectives, plan.gradient_collectives, plan.bytes, plan.gradient_bytes) == counts
    assert f"sent      {plan.collectives} all-gather" in str(plan)


def test_a_rank_alone_sends_nothing_and_its_call_is_that_of_one_machine() -> None:
    x = mx.array([3.0, 1.0, 2.0])
    plan = md.explain(ms.Sum(), x)
    assert (plan.ranks, plan.collectives, plan.bytes, plan.speedup) == (1, 0, 0, 1.0)
    np.testing.assert_array_equal(md.scan(ms.Sum(), x), ms.scan(ms.Sum(), x))


def test_states_gain_less_than_their_products_cost() -> None:
    turns, state = mx.ones((1 << 14, 8, 8)), mx.ones((8,))
    assert md.explain(ms.MatMul(), turns, act=True, state=state, group=4).speedup < 1.5
    assert "relay" in str(md.explain(ms.MatMul(), turns, act=True, state=state, group=4))
    assert 1.5 < md.explain(ms.Affine(), (mx.ones((1 << 20,)),) * 2, group=4).speedup < 4


def test_what_makes_no_sense_is_refused() -> None:
    x = mx.ones((3,))
    with pytest.raises(ms.ScanError, match="at least one rank; got 0"):
        md.explain(ms.Sum(), x, group=0)
    with pytest.raises(ms.ScanError, match="from init, an act from state"):
        md.explain(ms.Sum(), x, state=x[0])
    with pytest.raises(TypeError, match=r"\[distributed.scan\] group must be a group of mx.distributed"):
        md.scan(ms.Sum(), x, group="all")
    with pytest.raises(ms.ScanError, match=r"\[distributed.loop\] a loop claims nothing"):
        md.loop(lambda s, x: (s, x), x, x[0])


def test_import_monoscan_loads_none_of_it() -> None:
    code = "import sys, monoscan; print('monoscan.distributed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.long
def test_the_example_learns_the_same_on_three_ranks() -> None:
    path = Path(__file__).parents[2] / "examples" / "sequence_parallel.py"
    first, *others = ranks.run("example", 3, str(path))
    assert first.splitlines()[0] == "step   1: loss 17"
    assert first.splitlines()[-1] == "gates found: 0.50, 0.63, 0.77, 0.90"
    assert others == ["", ""]


@pytest.mark.parametrize("rank", [None, "0"])
def test_a_standard_error_that_is_no_file_is_no_matter(rank: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monoscan.distributed.group._DEFAULT", [])
    monkeypatch.setattr("sys.stderr", io.StringIO())
    monkeypatch.delenv("MLX_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("MLX_RANK", rank)
    assert md.fold(ms.Sum(), mx.array([1, 2, 3])).item() == 6


def test_both_ways_of_an_act_are_shown_and_the_better_one_is_chosen() -> None:
    turns, state = mx.ones((1 << 14, 8, 8)), mx.ones((8,))
    few, many = (ms.explain(ms.MatMul(), turns, act=True, state=state, group=n) for n in (4, 9))
    assert (few.speedup, few.collectives, few.bytes) == (1.0, 4, 4 * 4096)
    assert many.speedup > 1.5
    assert many.collectives == 1
    for plan, chosen in ((few, "relay"), (many, "products")):
        lines = [line.split() for line in str(plan).splitlines() if "products" in line or "relay" in line]
        assert [line[0] for line in lines] == ["products", "relay"]
        assert [line[0] for line in lines if line[-1] == "(chosen)"] == [chosen]


def test_explain_takes_a_number_of_ranks() -> None:
    assert str(ms.explain(ms.Sum(), mx.ones((8,)), group=2)) == str(md.explain(ms.Sum(), mx.ones((8,)), group=2))
    with pytest.raises(ms.ScanError, match=r"\[explain\] an aggregator is not split over ranks"):
        ms.explain(ms.aggregators.Mean(), mx.ones((8,)), group=2)


@pytest.mark.parametrize("timeout", [-1, 0, float("nan"), "soon"])
def test_a_timeout_of_no_sense_is_refused_by_one_rank_too(timeout: object) -> None:
    with pytest.raises(ms.ScanError, match=r"\[distributed.scan\] timeout must be a positive number of seconds"):
        md.scan(ms.Sum(), mx.ones((3,)), timeout=timeout)  # type: ignore[arg-type]
