"""The page of operators: a section for each, with the facts that the operator has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import monoscan as ms
from monoscan import dtypes, tree
from monoscan.cli import target
from monoscan.monoids import named

PAGE = (Path(__file__).parents[2] / "docs" / "operators.md").read_text(encoding="utf-8")
SECTIONS = {part.split("\n", 1)[0]: part for part in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]}
COMBINATORS = ("Dual", "Segmented", "Semidirect")
ENTRIES = ("Element", "Combine", "Identity", "Takes", "NaN and infinities", "Facts", "Source")
OPERATORS = {
    "FiniteMap": ms.FiniteMap(2),
    "SemiringMatMul": ms.SemiringMatMul(ms.MaxPlus()),
    "Tuple": ms.Tuple(ms.Min(), ms.Max()),
    "Struct": ms.Struct(mean=ms.Mean(), peak=ms.Max()),
    "Dual": ms.Dual(ms.First()),
    "Maybe": ms.Maybe(ms.Last()),
    "Segmented": ms.Segmented(ms.Max()),
    "Semidirect": ms.Semidirect(ms.Product(), ms.Sum()),
    "Via": ms.Via(ms.Sum(), lambda x: x, lambda x: x),
}


@pytest.mark.parametrize("name", named.catalogue())
def test_every_operator_has_a_whole_section(name: str) -> None:
    operator = OPERATORS[name] if name in OPERATORS else getattr(ms, name)()
    found = re.findall(r"^- \*\*(.+?):\*\*", SECTIONS[name], re.MULTILINE)
    moves = name in COMBINATORS or not (operator.right.on_elements and operator.left.on_elements)
    assert ("Acts" in found) == moves, "an operator says how it acts on what are no elements"
    assert [entry for entry in found if entry != "Acts"] == list(ENTRIES)
    assert "```python" in SECTIONS[name]


@pytest.mark.parametrize("name", named.catalogue())
def test_facts_are_those_of_the_operator(name: str) -> None:
    operator = OPERATORS[name] if name in OPERATORS else getattr(ms, name)()
    facts = operator.facts(_dtypes(operator))
    line = re.search(r"\*\*Facts:\*\* (.*)", SECTIONS[name])
    assert line is not None
    said = line[1].split(" (")[0].split(";")[0]
    for fact in ("commutative", "idempotent", "invertible"):
        assert (fact in said) == getattr(facts, fact), fact
    assert facts.associativity in said
    assert facts.native is None or f"mx.{facts.native}" in said


def _dtypes(operator: ms.Semigroup) -> tuple[str, ...]:
    """Dtypes that it takes: floats where it takes them, else integers or bool."""
    for name in ("float32", "int32"):
        leaves = target.example(operator, (4,), name, 2)
        dtypes = tuple(_name(leaf) for leaf in _leaves(leaves))
        try:
            operator.check(dtypes)
        except ms.ScanError:
            continue
        return dtypes
    raise AssertionError(operator)


def _leaves(element: object) -> list[object]:
    return tree.flatten(element)[0]


def _name(leaf: object) -> str:
    return dtypes.name_of(leaf.dtype)  # type: ignore[attr-defined]
