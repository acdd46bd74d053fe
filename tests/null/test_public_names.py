"""What ``import monoscan`` shows: the public names, and no others."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

import monoscan as ms

CLASSES = sorted(name for name in ms.__all__ if inspect.isclass(getattr(ms, name)))


def test_dir_lists_what_all_names() -> None:
    assert set(dir(ms)) == {*ms.__all__, "__version__"}
    assert len(set(ms.__all__)) == len(ms.__all__)
    assert {"scan", "fold", "act", "loop", "Affine", "Plan", "aggregators", "ScanError"} <= set(ms.__all__)


@pytest.mark.parametrize("name", ms.__all__)
def test_each_name_is_there_and_explains_itself(name: str) -> None:
    found = getattr(ms, name)
    assert inspect.getdoc(found), name


def test_no_module_is_shown_but_that_of_aggregators() -> None:
    modules = [name for name in ms.__all__ if isinstance(getattr(ms, name), ModuleType)]
    assert modules == ["aggregators"]


def test_a_star_import_brings_these_names() -> None:
    space: dict[str, object] = {}
    exec("from monoscan import *", space)
    assert set(space) - {"__builtins__"} == set(ms.__all__)


def test_help_names_all_by_group() -> None:
    words = set(inspect.getdoc(ms).replace(",", " ").replace("(", " ").replace(")", " ").replace(";", " ").split())
    assert set(ms.__all__) - {"aggregators"} <= words, sorted(set(ms.__all__) - words)


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'cumsum'"):
        ms.cumsum
    with pytest.raises(AttributeError, match=r"import it by name, as in import monoscan\.integrations"):
        vars(ms)["__getattr__"]("integrations")  # what another test has imported is there
