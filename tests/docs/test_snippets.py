"""Every snippet of the README and of the documentation, and every example in a public docstring."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any

import pytest
import snippets
from selection import thinned

import monoscan
from monoscan.lowering.targets.cpu import build

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
QUICK = [page for page in PAGES if page.parent.name != "gallery"]
MODULES = sorted(
    m.name for m in pkgutil.walk_packages(monoscan.__path__, "monoscan.") if not m.name.endswith("__main__")
)


@pytest.mark.parametrize("page", thinned(PAGES, QUICK), ids=lambda page: str(page.relative_to(ROOT)))
def test_snippets(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict[str, Any] = {"__name__": "snippet"}
    before = set(sys.modules)
    try:
        for snippet in snippets.snippets(page):
            if _shows_kernel(snippet) and not build.status().available:
                continue  # a page shows what runs where there is a compiler
            snippets.run(snippet, names)
    finally:
        for module in [m for m in set(sys.modules) - before if (tmp_path / f"{m}.py").exists()]:
            del sys.modules[module]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert not result.failed


def _shows_kernel(snippet: snippets.Snippet) -> bool:
    return "-> 5 kernel" in (snippet.shown or snippet.body)


@pytest.mark.parametrize(
    "page",
    [
        "```python\nprint(1)\n```\n\n```text\n2\n```\n",
        "```python\n1 / 0\n```\n",
        "```python\nraise ValueError('this')\n```\n```text\nValueError: that\n```\n",
        "```console\n$ monoscan explain Affine\nnothing\n```\n",
        "```console\n$ rm file\n```\n",
    ],
)
def test_wrong_pages_are_caught(page: str, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(page)
    first = next(snippets.snippets(path))
    with pytest.raises(snippets.SnippetError):
        snippets.run(first, {})


def test_a_block_is_found_with_what_it_prints(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("text\n\n```python\nprint('a b')\n```\n\n```text\na …\n```\n")
    found = list(snippets.snippets(path))
    assert [each.language for each in found] == ["python", "text"]
    assert found[0].place == "page.md:3"
    assert found[0].shown == "a …\n"
    snippets.run(found[0], {})
