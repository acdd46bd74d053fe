"""Where a traced function stops gradients: MLX leaves that out of its records, and not out of its graph.

A record's graph is the function's own with equal values merged and `mx.stop_gradient` taken
out. So the function's graph, as MLX draws it, maps onto the records from the outputs
upwards, and gives them back with the stops in their places.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import attrs
import mlx.core as mx

Record = dict[str, Any]
Typed = tuple[str, Any, Any]
"""A name, a shape and a dtype, as records have them."""

STOP, COPY = "StopGradient", "Copy"

OWN_RULES = "a custom function (mx.custom_function or mx.checkpoint), which has derivatives of its own"
"""Why a function that holds one is not traced."""

LOST = "mx.stop_gradient where MLX's records do not show it"
"""Why a function that stops a gradient is not traced, should its graph not be as its records say."""

_NODE = re.compile(r'\{ (\d+) \[label ="([^"]*)"|"(\w+)" -> (\d+)|(\d+) -> "(\w+)"')


@attrs.frozen
class DotNode:
    """One primitive of a drawing: its label, and the names of what it reads and yields."""

    label: str
    inputs: list[str] = attrs.field(factory=list)
    outputs: list[str] = attrs.field(factory=list)


def draw(inputs: Sequence[mx.array], outputs: Sequence[mx.array]) -> str:
    """The graph between some arrays: inputs are called i0, i1, ..., and each output o0, o1, ... is one more stop."""
    text = io.StringIO()
    named = {f"i{k}": x for k, x in enumerate(inputs)}
    mx.export_to_dot(text, **named, **{f"o{k}": mx.stop_gradient(y) for k, y in enumerate(outputs)})
    return text.getvalue()


def has_own_rules(drawing: str) -> bool:
    """Whether a function holds one with derivatives of its own."""
    return '"CustomTransforms"' in drawing


def placed(records: list[Record], drawing: str) -> list[Record] | str:
    """The records with the stops in their places, or why there are none."""
    if drawing.count(f'"{STOP}"') == len(_of(records, "outputs")):
        return records
    nodes = parsed(drawing)
    known = _matched(records, nodes)
    return LOST if known is None else _rewritten(records, nodes, known)


def parsed(drawing: str) -> list[DotNode]:
    """The primitives in topological order."""
    nodes: dict[str, DotNode] = {}
    for made, label, source, reader, maker, result in _NODE.findall(drawing):
        if made:
            nodes[made] = DotNode(label)
        elif source:
            nodes[reader].inputs.append(source)
        else:
            nodes[maker].outputs.append(result)
    return list(nodes.values())


def _matched(records: list[Record], nodes: list[DotNode]) -> dict[str, str] | None:
    """The name in the records of each name in the drawing that an output depends on."""
    maker = {name: node for node in nodes for name in node.outputs}
    made_by = _makers(records)
    known = {f"i{k}": name for k, (name, *_) in enumerate(_of(records, "inputs"))}
    waiting = [(f"o{k}", name) for k, (name, *_) in enumerate(_of(records, "outputs"))]
    while waiting:
        drawn, name = waiting.pop()
        node, record = maker.get(drawn), made_by.get(name)
        if known.setdefault(drawn, name) != name:
            return None
        if node is not None and node.label in (STOP, COPY):
            waiting.append((node.inputs[0], name))
        elif node is not None and record is not None and len(node.inputs) == len(record["inputs"]):
            waiting += zip(node.inputs, [each for each, *_ in record["inputs"]], strict=True)
        elif node is not None or record is not None:
            return None
    return known


def _of(records: list[Record], kind: str) -> list[Any]:
    """What the one record of a kind lists."""
    return next(record[kind] for record in records if record["type"] == kind)


def _makers(records: list[Record]) -> dict[str, Record]:
    """The primitive that yields each name."""
    return {name: record for record in records if record["type"] == "primitive" for name, *_ in record["outputs"]}


def _rewritten(records: list[Record], nodes: list[DotNode], known: dict[str, str]) -> list[Record]:
    """The drawing's primitives, with the arguments and types of the records."""
    made_by, constants = _makers(records), dict(_of(records, "constants"))
    types = {name: (array.shape, array.dtype) for name, array in constants.items()}
    for name, *kind in [*_of(records, "inputs"), *(each for record in made_by.values() for each in record["outputs"])]:
        types[name] = tuple(kind)

    def typed(name: str) -> Typed:
        return (name, *types[known[name]])

    body: list[Record] = []
    results: dict[str, Typed] = {}
    for node in nodes:
        wanted = next((name for name in node.outputs if name in known), None)
        if wanted is None:
            continue
        inputs = [typed(name) for name in node.inputs]
        if wanted[0] == "o":
            results[wanted] = inputs[0]
        elif node.label in (STOP, COPY):
            one = {"name": node.label, "arguments": [], "inputs": inputs, "outputs": [typed(wanted)]}
            body.append({"type": "primitive", **one})
        else:
            record = made_by[known[wanted]]
            outputs = [(name, *each[1:]) for name, each in zip(node.outputs, record["outputs"], strict=True)]
            body.append({**record, "inputs": inputs, "outputs": outputs})
    return [
        {"type": "inputs", "inputs": [(f"i{k}", *each[1:]) for k, each in enumerate(_of(records, "inputs"))]},
        {"type": "outputs", "outputs": [results[f"o{k}"] for k in range(len(results))]},
        {"type": "constants", "constants": [(name, constants[k]) for name, k in known.items() if k in constants]},
        *body,
    ]
