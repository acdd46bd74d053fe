"""Mistakes planted in the bodies, one at a time: the machine of fibres, or the order witness on it, finds each."""

from __future__ import annotations

from functools import partial

import pytest
from scans import Planned, fixed, scan
from selection import thinned
from shim_driver import Fault, Shim, needs_shim

from monoscan.lowering.render.gpu_spec import Body
from monoscan.testing import check_order
from monoscan.testing.witness import OrderError

pytestmark = needs_shim

ROWS, ONE = fixed(Body.ROWS, 4, 2, 2), (1, 129, 513, 1029, 2565)
SHORT, FEW = fixed(Body.SHORT, 4, 1, 2, 32), (1, 5, 33, 127, 128)
COLUMNS = fixed(Body.COLUMNS, 4, 1, 2)
BACK, MANY = fixed(Body.LOOK_BACK, 4, 1, 2), (513, 8193, 17_000)
CUT = fixed(Body.ROWS, 4, 1, 2, chunk=2)

MISTAKES: dict[str, tuple[Planned, tuple[int, ...], str, str]] = {
    "no barrier": (ROWS, ONE, "BARRIER();", ""),
    "a barrier for some waves": (ROWS, ONE, "BARRIER();", "if (here.wave == 0 || n < 600) BARRIER();"),
    "tiles share the places of totals": (ROWS, ONE, "turn ^= waves", "turn ^= 0"),
    "a lane too few combines": (ROWS, ONE, "if (place >= distance)", "if (place > distance)"),
    "operands of the wave's scan swapped": (ROWS, ONE, "combine(left, x, k)", "combine(x, left, k)"),
    "operands of a run swapped": (ROWS, ONE, "combine(y, x[v], k)", "combine(x[v], y, k)"),
    "the total of a lane before the last": (ROWS, ONE, "live > 0 ? live - 1 : 0", "live > 1 ? live - 2 : 0"),
    "the carry is lost": (ROWS, ONE, "behind = append(behind, get", "behind = append(nothing(), get"),
    "what comes before ignores the carry": (ROWS, ONE, "if (wave == (i32)here.wave) before = behind;", "before = nothing();"),
    "a run reads past its end": (ROWS, ONE, "if (v < count) x[v] = load", "if (v <= count) x[v] = load"),
    "a run writes past its end": (ROWS, ONE, "if (v < count) store", "if (v <= count) store"),
    "a run writes too little": (ROWS, ONE, "if (v < count) store", "if (v + 1 < count) store"),
    "the first lane takes a neighbour": (ROWS, ONE, "own.has = here.lane > 0", "own.has = true"),
    "a shuffle that one lane misses": (
        ROWS, ONE, "const state total = from(scanned, (u32)(live > 0 ? live - 1 : 0));",
        "state total = scanned; if (here.lane < 31) total = from(scanned, (u32)(live > 0 ? live - 1 : 0));",
    ),
    "totals of waves without elements": (ROWS, ONE, "if (here.lane == 0) put", "if (here.lane == 0 && first == 0) put"),
    "two lanes leave a total": (ROWS, ONE, "if (here.lane == 0) put", "if (here.lane < 2) put"),
    "items that are not aligned": (
        ROWS, ONE, "const bool quads = aligned && first + tile <= c.end;", "const bool quads = first + tile <= c.end;",
    ),
    "four items past the end": (ROWS, ONE, "const bool quads = aligned && first + tile <= c.end;", "const bool quads = aligned;"),
    "every thread leaves the carry": (ROWS, ONE, "if (here.number == 0) leave", "if (here.lane == 0) leave"),
    "short: lanes without elements leave a carry": (SHORT, FEW, "holds_last = i < n && n <= i + run", "holds_last = n <= i + run"),
    "short: the neighbour of another row": (SHORT, FEW, "own.has = place_in_row > 0", "own.has = here.lane > 1"),
    "columns: no barrier": (COLUMNS, (43,), "BARRIER();", ""),
    "columns: the place of another wave": (COLUMNS, (43,), "(turn + here.wave) * width + here.lane", "turn * width + here.lane"),
    "chunks: the seed of the chunk itself": (CUT, (2565,), "const i32 i = c.number - 1;", "const i32 i = c.number;"),
    "looking back: a group's own number for its tile": (BACK, MANY, "id = ticket[0];", "id = here.group;"),
    "looking back: nobody waits": (BACK, MANY, "while (!acquired(flags, id - 1 - lane)) PAUSE();", ""),
    "looking back: a flag before what it stands for": (
        BACK, MANY, "PUBLISHED(PUBLISH)\n  release(flags, id);", "release(flags, id);\n  PUBLISHED(PUBLISH)",
    ),
    "looking back: a flag that is not released": (BACK, MANY, "  release(flags, id);", "  if (i != 3) release(flags, id);"),
    "looking back: operands swapped": (BACK, MANY, "combine(earlier, x, k)", "combine(x, earlier, k)"),
    "looking back: past the anchor": (BACK, MANY, "if (lane + distance <= last)", ""),
    "looking back: an anchor of its own fold alone": (BACK, MANY, "if (here.lane == 0 && anchor && left) leave_behind(a, flags, at, id, c.number, behind.value);", "if (here.lane == 0 && anchor && left) leave_behind(a, flags, at, id, c.number, all.value);"),
    "looking back: no barrier before what was found": (BACK, MANY, "    BARRIER();\n    before", "    before"),
    "looking back: one ticket for all": (BACK, MANY, "if (here.number == 0) ticket[0] = take", "ticket[0] = take"),
    "chunks: one starts too late": (CUT, (2565,), "c.begin = c.number * elements;", "c.begin = c.number * elements + 1;"),
}  # fmt: skip
REVERSED = {"items that are not aligned"}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "name",
    thinned(
        MISTAKES,
        [
            "no barrier",
            "looking back: a flag before what it stands for",
            "a shuffle that one lane misses",
            "a run writes past its end",
        ],
    ),
)
def test_a_mistake_is_found(name: str) -> None:
    plan, lengths, right, wrong = MISTAKES[name]
    shim = Shim(faulty=(right, wrong))
    with pytest.raises((Fault, OrderError)):
        check_all(plan, lengths, shim, name in REVERSED)
    assert shim.replaced


def test_the_same_without_a_mistake_passes() -> None:
    for plan, lengths in ((ROWS, ONE), (SHORT, FEW)):
        for n in lengths:
            check_order(partial(scan, plan=plan), n)
            check_order(partial(scan, plan=plan), n, reverse=True)


def check_all(plan: Planned, lengths: tuple[int, ...], shim: Shim, reverse: bool) -> None:
    for seed, n in enumerate(lengths):
        shim.seed = seed
        check_order(partial(scan, plan=plan, start=shim), n, reverse=reverse)
