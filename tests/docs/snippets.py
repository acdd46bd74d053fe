"""Snippets of Markdown pages, run as a reader would run them.

The blocks of a page share their names, from top to bottom. What a block of ``python``
prints must be the block of ``text`` right after it, if there is one; where it raises, that
block is the error, as ``ScanError: words``. A block titled ``falls.py`` is a file in the
working directory. In a block of ``console`` each line ``$ monoscan ...`` is run, and what
it prints must be the lines below. ``…`` in what is expected stands for what the page leaves out.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from monoscan.cli.main import main

FENCE = re.compile(r"^(?P<indent> *)```(?P<info>\S.*?)\n(?P<body>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)
TITLE = re.compile(r'title="([^"]+)"')
COMMANDS = re.compile(r"^\$ (.+)$", re.MULTILINE)


class SnippetError(AssertionError):
    """A snippet does not do what its page says."""


@attrs.frozen
class Snippet:
    """A fenced block.

    Args:
        place: The file and the line, for messages.
        language: The first word after the fence.
        title: The title, if it has one.
        body: The text.
        shown: The block of text right after it, if there is one.
    """

    place: str
    language: str
    title: str | None
    body: str
    shown: str | None


def snippets(page: Path) -> Iterator[Snippet]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    blocks = list(FENCE.finditer(text))
    for i, block in enumerate(blocks):
        after = blocks[i + 1] if i + 1 < len(blocks) else None
        joined = after is not None and after["info"] == "text" and not text[block.end() : after.start()].strip()
        title = TITLE.search(block["info"])
        yield Snippet(
            f"{page.name}:{text[: block.start()].count(chr(10)) + 1}",
            block["info"].split()[0],
            title and title[1],
            _dedent(block),
            _dedent(after) if joined and after is not None else None,
        )


def run(snippet: Snippet, names: dict[str, Any]) -> None:
    """Runs a snippet in the working directory.

    Raises:
        SnippetError: It fails, or prints something else than the page shows.
    """
    if snippet.title is not None:
        Path(snippet.title).write_text(snippet.body, encoding="utf-8")
    elif snippet.language == "python":
        _expect(snippet, snippet.body, _python(snippet, names), snippet.shown)
    elif snippet.language == "console":
        pieces = COMMANDS.split(snippet.body)[1:]
        for command, shown in zip(pieces[::2], pieces[1::2], strict=True):
            _expect(snippet, command, _command(snippet, command), shown)


def _dedent(block: re.Match[str]) -> str:
    return re.sub(rf"^{block['indent']}", "", block["body"], flags=re.MULTILINE)


def _python(snippet: Snippet, names: dict[str, Any]) -> str:
    printed = io.StringIO()
    lines = "\n" * int(snippet.place.rpartition(":")[2]) + snippet.body
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(lines, snippet.place, "exec"), names)
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        if snippet.shown is None or type(error).__name__ not in snippet.shown:
            raise SnippetError(f"{snippet.place} raises {message}") from error
        return printed.getvalue() + message + "\n"
    return printed.getvalue()


def _command(snippet: Snippet, command: str) -> str:
    program, *arguments = shlex.split(command)
    if program != "monoscan":
        raise SnippetError(f"{snippet.place} runs {program}; only monoscan is run.")
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
        main(arguments)
    return printed.getvalue() or said.getvalue()  # an error; progress is not part of a page


def _expect(snippet: Snippet, code: str, printed: str, shown: str | None) -> None:
    if shown is None:
        return
    example = doctest.Example(code, shown.strip("\n").replace("…", "...") + "\n")
    flags = doctest.ELLIPSIS | doctest.REPORT_NDIFF
    checker = doctest.OutputChecker()
    got = "\n".join(line.rstrip() for line in printed.splitlines()).strip("\n") + "\n"
    if not checker.check_output(example.want, got, flags):
        raise SnippetError(f"{snippet.place} prints something else:\n{checker.output_difference(example, got, flags)}")
