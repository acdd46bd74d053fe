"""The page of the API names everything public, at the place where it is."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

import monoscan as ms
from monoscan import aggregators, distributed, hmm, kalman, linalg, nn, rl, signal, testing
from monoscan.integrations import mlx_lm

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
PATHS = re.findall(r"^::: (\S+)$", PAGE.read_text(), re.MULTILINE)


def at(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def public(module: Any) -> set[str]:
    return {
        name
        for name in getattr(module, "__all__", dir(module))
        if not name.startswith("_") and getattr(getattr(module, name), "__module__", "").startswith("monoscan.")
    }


@pytest.mark.parametrize(
    "module",
    [ms, aggregators, testing, distributed, nn, rl, hmm, linalg, signal, kalman, mlx_lm],
    ids=lambda m: m.__name__,
)
def test_every_public_name_is_on_the_page(module: Any) -> None:
    shown = [at(path) for path in PATHS]
    missing = [name for name in public(module) if not any(getattr(module, name) is each for each in shown)]
    assert missing == []


def test_the_site_makes_sections_of_the_names() -> None:
    """By its plugin: a list entry that slips under another key is text, and the page shows the names alone."""
    yaml = pytest.importorskip("yaml")
    site = yaml.safe_load((PAGE.parents[1] / "mkdocs.yml").read_text())
    named = [next(iter(plugin)) if isinstance(plugin, dict) else plugin for plugin in site["plugins"]]
    assert named == ["search", "mkdocs-jupyter", "mkdocstrings"]
    options = {
        key: value for each in site["markdown_extensions"] if isinstance(each, dict) for key, value in each.items()
    }
    assert options["pymdownx.highlight"]["pygments_lang_class"]  # by which what a program prints has a style of its own


def test_nothing_is_on_the_page_twice() -> None:
    assert len(set(PATHS)) == len(PATHS)
