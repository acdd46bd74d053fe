"""The page of results: a suite's section of it, written anew from a run that was kept as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.model import Results, Suite, Timing
from benchmarks.report import judge, machine_line, section


def read(path: Path) -> tuple[dict[str, Any], Results]:
    """What `--json` wrote: all of it, and its timings."""
    content = json.loads(path.read_text())
    return content, Results([Timing(**timing) for timing in content["timings"]])


def rewrite(page: Path, content: dict[str, Any], suite: Suite, results: Results) -> None:
    """Replaces the section of a suite, or adds it at the end; the others stay as they are."""
    facts, load = content["environment"], content["settings"]["load"]
    title, *rest = section(suite, results, judge(suite, results))
    new = "\n\n".join([title, machine_line(facts, load), *rest]) + "\n"
    text = page.read_text()
    old = re.search(rf"^{re.escape(title)}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if old is None:
        page.write_text(f"{text.rstrip()}\n\n{new}")
    else:
        page.write_text(text[: old.start()] + new + ("\n" if text[old.end() :] else "") + text[old.end() :])
