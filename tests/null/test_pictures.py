"""Networks: drawn from the strategies themselves, for all lengths, and readable."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from monoscan import errors
from monoscan.lowering.pictures.network import DRAWN, IDENTITY, LONGEST, Network, Node, record
from monoscan.lowering.pictures.svg import draw
from monoscan.lowering.plan.cost import work_and_depth
from monoscan.lowering.strategies import run as portable

SVG = "{http://www.w3.org/2000/svg}"
LENGTHS = range(1, LONGEST + 1)
HEIGHT = 20


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("strategy", DRAWN)
def test_every_result_covers_what_comes_before_it(strategy: str, inclusive: bool) -> None:
    for n in LENGTHS:
        network = record(strategy, n, inclusive=inclusive)
        covers = [None if i == IDENTITY else (network.nodes[i].start, network.nodes[i].stop) for i in network.outputs]
        expected = [(0, i + inclusive) for i in range(n)]
        assert covers == [None if stop == 0 else (start, stop) for start, stop in expected]
        assert (network.nodes[network.carry].start, network.nodes[network.carry].stop) == (0, n)


@pytest.mark.parametrize("strategy", DRAWN)
def test_counts_at_powers_of_two_are_the_planners(strategy: str) -> None:
    for n in (1, 2, 4, 8, 16, 32):
        network = record(strategy, n)
        assert (network.work, network.rows) == work_and_depth(strategy, n, base=1)
        assert network.depth <= network.rows


def test_the_identity_is_placed_once_and_after_the_totals() -> None:
    network = record("blelloch", 16, inclusive=False)
    assert network.placed == 4
    assert network.outputs[0] == IDENTITY
    assert record("hillis_steele", 16, inclusive=False).placed == 4
    assert record("hillis_steele", 16).placed is None


def test_hillis_steele_by_hand() -> None:
    network = record("hillis_steele", 4)
    assert network.nodes[4:] == (
        Node(1, 0, 2, (0, 1)), Node(1, 1, 3, (1, 2)), Node(1, 2, 4, (2, 3)), Node(2, 0, 3, (0, 5)), Node(2, 0, 4, (4, 6)),
    )  # fmt: skip
    assert network.outputs == (0, 4, 7, 8)


def test_nodes_for_the_carry_alone_are_told_apart() -> None:
    network = record("sequential", 3, inclusive=False)
    assert [network.nodes[i].stop for i in range(len(network.nodes)) if i not in network.live] == [3, 3]
    assert len(record("blelloch", 13).live) == len(record("blelloch", 13).nodes)


@pytest.mark.parametrize("strategy", DRAWN)
def test_no_wire_runs_through_a_node_and_no_text_out_of_the_picture(strategy: str) -> None:
    for n in (1, 2, 3, 7, 11, 16, 21, 31, 32):
        for inclusive in (True, False):
            picture = ET.fromstring(draw(record(strategy, n, inclusive=inclusive)))
            _check_wires(picture)
            _check_bounds(picture)


def _check_wires(picture: ET.Element) -> None:
    boxes = [_box(rect) for rect in picture.iter(f"{SVG}rect")][1:]
    for wire in picture.iter(f"{SVG}polyline"):
        points = [tuple(map(float, point.split(","))) for point in wire.attrib["points"].split()]
        for (x, y), (u, v) in pairwise(points):
            for left, top, right, bottom in boxes:
                inside = max(y, top) + 1 < min(v, bottom) - 1 and left < (x + u) / 2 < right and x == u
                own = (x, y) == points[0] and top < y < bottom
                assert not inside or own, f"a wire from {x, y} to {u, v} runs through a node at {left, top}"


def _check_bounds(picture: ET.Element) -> None:
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    for text in picture.iter(f"{SVG}text"):
        x, y, size = (float(text.attrib[name]) for name in ("x", "y", "font-size"))
        reach = 0.57 * size * len(text.text or "")
        assert (x if text.attrib["text-anchor"] == "start" else x + reach / 2) < width
        assert x + (reach if text.attrib["text-anchor"] == "start" else reach / 2) <= width, text.text
        assert size < y < height


def _box(rect: ET.Element) -> tuple[float, float, float, float]:
    x, y, width, height = (float(rect.get(name, 0)) for name in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def test_reversed_networks_name_elements_by_their_places() -> None:
    picture = draw(record("blelloch", 8, reverse=True))
    assert "reverse scan of 8 elements" in picture
    assert ">7–6<" in picture
    assert ">6–7<" not in picture


def test_pictures_need_no_font_and_no_other_file() -> None:
    picture = draw(record("brent_kung", 32))
    assert "href" not in picture
    assert "@font-face" not in picture
    assert "<style" not in picture


@pytest.mark.parametrize("length", [0, 33, 1024])
def test_too_long_to_draw(length: int) -> None:
    with pytest.raises(errors.ScanError, match="draws 1 to 32 elements; got"):
        record("blelloch", length)


@pytest.mark.parametrize("strategy", ["kernel", "native", "parts", "trivial"])
def test_not_made_of_combines(strategy: str) -> None:
    with pytest.raises(errors.StrategyError, match="force one of hillis_steele, blelloch, brent_kung, sequential"):
        record(strategy, 8)


def test_a_strategy_out_of_order_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    swapped = lambda combine, xs, axis, base: combine(xs, [x[::-1] for x in xs])  # noqa: E731
    monkeypatch.setitem(portable.INCLUSIVE, "sequential", swapped)
    with pytest.raises(AssertionError, match="combined"):
        record("sequential", 4)


def test_networks_compare() -> None:
    assert isinstance(record("blelloch", 5), Network)
    assert len({record("blelloch", 5), record("blelloch", 5), record("blelloch", 6), record("brent_kung", 5)}) == 3
