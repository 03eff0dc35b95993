"""The pages of the documentation, taken apart: their code blocks, headings, links and tables.

Comes in: a Markdown file. Goes out: records that know the line they stand on. A comment on the line before a block says
what is special about it, and readers do not see it:

``<!-- file: name -->``        the block is (or goes on) the file of that name in the reader's folder
``<!-- not run: reason -->``   the block is not executed, and why; ``test_examples.py`` keeps the list of them
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
TASKS = (DOCS / "tutorial.md", *sorted(DOCS.glob("how-to/*.md")))
PAGES = (ROOT / "README.md", *sorted({*DOCS.glob("*.md")} - {*TASKS}), *TASKS)
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))

_FENCE = re.compile(r"^( *)(`{3,})(\S*)\s*$")
_MARK = re.compile(r"^\s*<!--\s*(file|not run):\s*(.+?)\s*-->$")
_HEADING = re.compile(r"^#{1,6} (.+?)\s*$")
_LINK = re.compile(
    r"`[^`]*`|(?P<picture>!?)\[(?P<text>(?:[^\[\]`]|`[^`]*`)*)\]"
    r"\((?P<target>[^()\s]+(?:\([^()\s]*\))?)(?P<title>\s+\"[^\"]*\")?\)"
)
"""A link or a picture, whose text may go over lines; or code, in which there are no links."""


class Block(NamedTuple):
    """One fenced block. ``line``: of its first line of text, from 1. ``file``, ``not_run``: what its mark says."""

    line: int
    language: str
    text: str
    file: str | None
    not_run: str | None


class Command(NamedTuple):
    """One command of a console block and what is shown to come out of it."""

    line: int
    words: str
    shown: str


class Link(NamedTuple):
    line: int
    target: str


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page, in order. Raises: ValueError: one is never closed."""
    found: list[Block] = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        if opening := _FENCE.match(lines[at]):
            indent, fence, language = opening.groups()
            start, mark = at + 1, _MARK.match(lines[at - 1]) if at else None
            at = start
            while at < len(lines) and lines[at].strip() != fence:
                at += 1
            if at == len(lines):
                raise ValueError(f"the block on line {start} is never closed")
            body = "\n".join(line.removeprefix(indent) for line in lines[start:at])
            marks = {mark[1]: mark[2]} if mark else {}
            found.append(Block(start + 1, language, body, marks.get("file"), marks.get("not run")))
        at += 1
    return found


def prose(text: str) -> list[tuple[int, str]]:
    """Return (line number, line) of everything outside the fenced blocks."""
    inside: set[int] = set()
    for block in blocks(text):
        inside.update(range(block.line - 1, block.line + len(block.text.split("\n")) + 1))
    return [(number, line) for number, line in enumerate(text.splitlines(), 1) if number not in inside]


def commands(block: Block) -> list[Command]:
    """Return the commands of a block, each after ``$`` and going on behind a backslash or within quotes."""
    found: list[Command] = []
    lines = block.text.split("\n")
    at = 0
    while at < len(lines):
        if not lines[at].startswith("$ "):
            raise ValueError(f"line {block.line + at}: a console block begins with a command")
        start, words = at, lines[at][2:]
        while words.endswith("\\") or _is_open(words):
            at += 1
            words += "\n" + lines[at]
        at += 1
        shown = []
        while at < len(lines) and not lines[at].startswith("$ "):
            shown.append(lines[at])
            at += 1
        found.append(Command(block.line + start, words, "\n".join(shown).strip("\n")))
    return found


def _is_open(words: str) -> bool:
    try:
        shlex.split(words)
    except ValueError:
        return True
    return False


def link_matches(text: str) -> Iterator[re.Match[str]]:
    """Yield the links and pictures outside the fenced blocks; groups ``picture``, ``text``, ``target``, ``title``."""
    lines = text.split("\n")
    outside = {number for number, _ in prose(text)}
    blanked = "\n".join(line if number in outside else " " * len(line) for number, line in enumerate(lines, 1))
    yield from (match for match in _LINK.finditer(blanked) if match["target"])


def links(text: str) -> list[Link]:
    return [Link(text.count("\n", 0, match.start("target")) + 1, match["target"]) for match in link_matches(text)]


def anchors(text: str) -> dict[str, int]:
    """Return the anchors that GitHub gives the headings of a page, in order, each with the line of its heading."""
    found: dict[str, int] = {}
    for number, line in prose(text):
        if heading := _HEADING.match(line):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
            same = sum(1 for other in found if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other))
            found[f"{anchor}-{same}" if same else anchor] = number
    return found


def table(text: str, *header: str) -> list[list[str]]:
    """Return the rows of the table that begins with the columns ``header``; cells without their back quotes.

    Raises: LookupError: no such table, or more than one.
    """
    found: list[list[list[str]]] = []
    rows: list[list[str]] | None = None
    for _, line in prose(text):
        if not line.startswith("|"):
            rows = None
            continue
        cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if rows is not None:
            if not set("".join(cells)) <= set("-: "):
                rows.append(cells)
        elif tuple(cells[: len(header)]) == header:
            rows = []
            found.append(rows)
        else:
            rows = []
    if len(found) != 1:
        raise LookupError(f"{len(found)} tables begin with the columns {', '.join(header)}")
    return found[0]


def code(cell: str) -> list[str]:
    """Return what stands in back quotes in a cell."""
    return re.findall(r"`([^`]+)`", cell)
