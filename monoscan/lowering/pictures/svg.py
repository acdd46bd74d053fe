"""A network as SVG: a column for each element, a row for each call of ``combine``, time downwards."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import attrs

from monoscan.lowering.pictures.network import IDENTITY, TREES, Network, Node
from monoscan.lowering.strategies.hillis_steele import BASE

_FONT = 'font-family="Helvetica, Arial, sans-serif"'
_LEFT, _RIGHT, _INK = "#1f6feb", "#9aa4b2", "#57606a"
_INPUT, _NODE, _SPARE, _OUTPUT, _NEUTRAL = (
    ("#eef1f5", "#9aa4b2", "#30363d"),
    ("#dbe9ff", "#1f6feb", "#0b3d91"),
    ("#ffffff", "#9aa4b2", "#57606a"),
    ("#e3f6e5", "#2da44e", "#116329"),
    ("#fff1d6", "#d4860b", "#7a4a00"),
)  # fill, outline, text
_TOP, _MARGIN, _FOOT = 62, 66, 76
_HEIGHT = 20
_WHOLE_TREE = (
    f"The tree is drawn whole. Up to {BASE} elements a scan takes Hillis-Steele's steps: fewer array operations."
)


@attrs.frozen
class _Frame:
    """Where things stand."""

    network: Network

    @property
    def column(self) -> int:
        return 44 if self.network.length <= 16 else 38

    @property
    def step(self) -> int:
        return 44 if self.network.rows > 8 else 56 if self.network.length <= 16 else 72

    @property
    def last(self) -> int:
        """The row of the outputs."""
        return self.network.rows + 1

    @property
    def width(self) -> int:
        return max(_MARGIN + self.column * (self.network.length + 1) + 8, 720)

    @property
    def height(self) -> int:
        return _TOP + self.step * self.last + _HEIGHT + _FOOT

    def x(self, column: int) -> float:
        """The middle of a column; that of the identity, before the first element, is -1."""
        return _MARGIN + self.column * (column + 1.5)

    def y(self, row: float) -> float:
        """The middle of a row."""
        return _TOP + self.step * row + _HEIGHT / 2


def draw(network: Network) -> str:
    """The picture, as the text of an SVG file."""
    frame = _Frame(network)
    size = f'width="{frame.width}" height="{frame.height}" viewBox="0 0 {frame.width} {frame.height}"'
    body = [
        f'<rect width="{frame.width}" height="{frame.height}" fill="white"/>',
        *_title(network),
        *_row_names(frame),
        *_identity(frame),
        *_wires(frame),
        *_nodes(frame),
        *_outputs(frame),
        *_legend(frame),
    ]
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_FONT}>\n' + "\n".join(body) + "\n</svg>\n"


def _title(network: Network) -> Iterator[str]:
    kind = ("reverse " if network.reverse else "") + ("" if network.inclusive else "exclusive ") + "scan"
    title = f"{network.strategy}: {kind} of {_count(network.length, 'element')}"
    steps = _count(network.rows, "call") + " of combine on whole arrays"
    yield _text(16, 24, title, "#1f2328", 16, "start", "bold")
    yield _text(
        16, 43, f"{_count(network.work, 'combine')} in {steps}; longest chain {network.depth}", _INK, 12, "start"
    )


def _row_names(frame: _Frame) -> Iterator[str]:
    names = ["elements", *(f"step {row}" for row in range(1, frame.last)), "result"]
    for row, name in enumerate(names):
        yield _line((_MARGIN, frame.y(row)), (frame.width - 8, frame.y(row)), "#f0f2f5")
        yield _text(16, frame.y(row) + 4, name, _INK, 11, "start")


def _identity(frame: _Frame) -> Iterator[str]:
    """Where the identity is put, and down the left edge to the result that it becomes."""
    network = frame.network
    if network.placed is None:
        return
    end = frame.last if IDENTITY in network.outputs else network.rows
    start = network.placed + 0.5
    bottom = (frame.x(-1), frame.y(end))
    yield _line((frame.x(-1), frame.y(start)), bottom, _NEUTRAL[1], ' stroke-dasharray="3 3" stroke-width="1.5"')
    yield _diamond(frame.x(-1), frame.y(start), "the identity is placed here; it is never an operand")
    if IDENTITY in network.outputs:
        yield _line(bottom, (frame.x(0), frame.y(end)), _NEUTRAL[1], ' stroke-dasharray="3 3" stroke-width="1.5"')


def _wires(frame: _Frame) -> Iterator[str]:
    network = frame.network
    for position, number in enumerate(network.outputs):
        if number != IDENTITY:
            yield _wire(frame, network.nodes[number], (position, frame.last), _OUTPUT[1])
    for node in network.nodes:
        for operand, colour in zip(node.operands, (_LEFT, _RIGHT), strict=False):
            yield _wire(frame, network.nodes[operand], (node.stop - 1, node.row), colour)


def _wire(frame: _Frame, source: Node, target: tuple[int, int], colour: str) -> str:
    """Down its own column, and over to the other one on the last stretch only, so that it passes no node."""
    (column, row), x = target, frame.x(source.stop - 1)
    turn = max(frame.y(row) - frame.step + _HEIGHT / 2, frame.y(source.row))
    points = [(x, frame.y(source.row)), (x, turn), (frame.x(column), frame.y(row) - _HEIGHT / 2)]
    path = " ".join(f"{px:g},{py:g}" for px, py in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>'


def _nodes(frame: _Frame) -> Iterator[str]:
    network, live = frame.network, frame.network.live
    for number, node in enumerate(network.nodes):
        style = _INPUT if not node.operands else _NODE if number in live else _SPARE
        operands = " · ".join(_named(network, network.nodes[i]) for i in node.operands)
        hint = f"{operands} = {_named(network, node)}" if operands else f"element {_named(network, node)}"
        hint += "" if number in live else " (for the carry alone)"
        yield _pill(frame, node.stop - 1, node.row, _named(network, node), style, hint, dashed=number not in live)


def _outputs(frame: _Frame) -> Iterator[str]:
    network = frame.network
    for position, number in enumerate(network.outputs):
        if number == IDENTITY:
            yield _pill(frame, position, frame.last, "e", _NEUTRAL, "the identity")
            continue
        name = _named(network, network.nodes[number])
        hint = f"the result at {_element(network, position)} covers {name}"
        yield _pill(frame, position, frame.last, name, _OUTPUT, hint)


def _legend(frame: _Frame) -> Iterator[str]:
    network, y = frame.network, frame.height - 50
    entries = [(_LEFT, "left operand (earlier)"), (_RIGHT, "right operand"), (_OUTPUT[1], "to the result")]
    if network.placed is not None:
        entries.append((_NEUTRAL[1], "e, the identity: placed, never combined"))
    x = 16.0
    for colour, words in entries:
        yield _line((x, y - 4), (x + 20, y - 4), colour, ' stroke-width="2"')
        yield _text(x + 26, y, words, _INK, 11, "start")
        x += 42 + 6 * len(words)
    note = "A node names the elements that it covers, first and last."
    if len(network.live) < len(network.nodes):
        note += " Dashed nodes serve the carry alone."
    yield _text(16, y + 18, note, _INK, 11, "start")
    if network.strategy in TREES:
        yield _text(16, y + 36, _WHOLE_TREE, _INK, 11, "start")


def _named(network: Network, node: Node) -> str:
    """The elements that a node covers, first and last in fold order, by their places in the array."""
    first, last = _element(network, node.start), _element(network, node.stop - 1)
    return f"{first}" if first == last else f"{first}–{last}"


def _element(network: Network, position: int) -> int:
    return network.length - 1 - position if network.reverse else position


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def _pill(
    frame: _Frame, column: int, row: int, name: str, style: tuple[str, str, str], hint: str, dashed: bool = False
) -> str:
    fill, outline, ink = style
    width = frame.column - 6
    x, y = frame.x(column), frame.y(row)
    dash = ' stroke-dasharray="3 2"' if dashed else ""
    box = f'x="{x - width / 2:g}" y="{y - _HEIGHT / 2:g}" width="{width}" height="{_HEIGHT}" rx="9"'
    return (
        f'<g><title>{escape(hint)}</title><rect {box} fill="{fill}" stroke="{outline}" stroke-width="1.3"{dash}/>'
        + _text(x, y + 3.6, name, ink, 11 if len(name) < 5 else 10)
        + "</g>"
    )


def _diamond(x: float, y: float, hint: str) -> str:
    fill, outline, ink = _NEUTRAL
    points = f"{x:g},{y - 12:g} {x + 12:g},{y:g} {x:g},{y + 12:g} {x - 12:g},{y:g}"
    shape = f'<polygon points="{points}" fill="{fill}" stroke="{outline}" stroke-width="1.3"/>'
    return f"<g><title>{escape(hint)}</title>{shape}{_text(x, y + 3.6, 'e', ink, 11)}</g>"


def _line(start: tuple[float, float], end: tuple[float, float], colour: str, more: str = "") -> str:
    (x, y), (u, v) = start, end
    return f'<line x1="{x:g}" y1="{y:g}" x2="{u:g}" y2="{v:g}" stroke="{colour}"{more}/>'


def _text(
    x: float, y: float, words: str, colour: str, size: int, anchor: str = "middle", weight: str = "normal"
) -> str:
    where = f'x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}"'
    return f"<text {where}>{escape(words)}</text>"
