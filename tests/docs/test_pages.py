"""Pages and notebooks: one title each, all of the gallery in its table, notebooks without outputs, links that lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
NOTEBOOKS = sorted(DOCS.rglob("*.ipynb"))
FENCES = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)


def cells(notebook: Path) -> list[dict[str, Any]]:
    return list(json.loads(notebook.read_text(encoding="utf-8"))["cells"])


def prose(page: Path) -> str:
    if page.suffix == ".ipynb":
        return "\n\n".join("".join(cell["source"]) for cell in cells(page) if cell["cell_type"] == "markdown")
    return FENCES.sub("", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_one_title(page: Path) -> None:
    assert len(re.findall(r"^# ", prose(page), re.MULTILINE)) == 1


@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda page: page.stem)
def test_notebooks_are_kept_without_what_they_print(page: Path) -> None:
    code = [cell for cell in cells(page) if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda page: page.stem)
def test_links_of_notebooks_lead_to_pages_of_the_site(page: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", prose(page))
    assert links
    for link in links:  # as in the site, where a page is a folder and a file in it
        target = (page.with_suffix("") / link.partition("#")[0]).resolve()
        assert any(target.with_suffix(ext).is_file() for ext in (".md", ".ipynb")), link


def test_the_table_of_the_gallery_has_all_its_pages() -> None:
    index = DOCS / "gallery" / "index.md"
    linked = set(re.findall(r"\]\((\w+\.(?:md|ipynb))\)", index.read_text(encoding="utf-8")))
    assert linked == {page.name for page in index.parent.iterdir() if page.suffix in (".md", ".ipynb")} - {"index.md"}
