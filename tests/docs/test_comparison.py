"""``docs/comparison.md`` is whole, leads somewhere, and claims for Tickr only what a test shows.

A cell is one of ``WORDS``, with footnotes that lead to the sources. A "yes" or "partly" of Tickr is a link, by
reference, to a test file, with the name of the test as its title.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from tests.docs import source
from tests.docs.pages import ROOT, prose, table

PAGE = ROOT / "docs" / "comparison.md"
OTHERS = (
    "Faktory",
    "asynq",
    "River",
    "Oban",
    "Celery",
    "BullMQ",
    "streaq",
    "procrastinate",
    "Sidekiq",
    "Tickr (Go)",
)
WORDS = ("yes", "partly", "paid", "no", "–")

_CELL = re.compile(rf"(?:{'|'.join(WORDS)})(?:\[\^\w+\])?")
_LINKED = re.compile(r"\[(yes|partly)\]\[([\w-]+)\](?:\[\^\w+\])?")
_REFERENCE = re.compile(r'\[([\w-]+)\]: (\S+) "(\w+)"')
_NOTE = re.compile(r"\[\^(\w+)\]: (.+)")
_CALL = re.compile(r"\[\^(\w+)\](?!:)")


class Row(NamedTuple):
    """One feature: what the others say to it, in the order of ``OTHERS``, and what Tickr does."""

    feature: str
    others: list[str]
    tickr: str


def lines(text: str) -> list[str]:
    return [line for _, line in prose(text)]


def rows(text: str) -> list[Row]:
    """Return the rows of all tables of features. Raises: AssertionError: one has not all columns, or another header."""
    found: list[Row] = []
    inside = False
    for line in lines(text):
        if not line.startswith("|"):
            inside = False
            continue
        cells = [cell.strip() for cell in line[1:-1].split("|")]
        if cells[0] == "Feature":
            assert tuple(cells[1:]) == (*OTHERS, "Tickr"), line
            inside = True
        elif inside and set("".join(cells)) != {"-"}:
            assert len(cells) == len(OTHERS) + 2, line
            found.append(Row(cells[0], cells[1:-1], cells[-1]))
    return found


def references(text: str) -> dict[str, tuple[str, str]]:
    """Return, by its word, the file that each link by reference leads to and its title."""
    return {found[1]: (found[2], found[3]) for line in lines(text) if (found := _REFERENCE.fullmatch(line))}


def notes(text: str) -> dict[str, str]:
    return {found[1]: found[2] for line in lines(text) if (found := _NOTE.fullmatch(line))}


def word(cell: str) -> str:
    return cell.partition("[^")[0]


def shown(row: Row) -> str | None:
    """Return the word of the reference that Tickr's cell leads to."""
    linked = _LINKED.fullmatch(row.tickr)
    return linked[2] if linked else None


def lacks(row: Row) -> bool:
    """Whether another gives free what Tickr has not, or not wholly."""
    return not row.tickr.startswith("[yes]") and any(word(cell) == "yes" for cell in row.others)


def says_too_little(row: Row) -> bool:
    return any("partly" in cell and "[^" not in cell for cell in (*row.others, row.tickr))


def faults(text: str) -> list[str]:
    """Return all that is wrong with a page of that text, in words."""
    table, known, led = rows(text), notes(text), references(text)
    called = {name for line in lines(text) for name in _CALL.findall(line)}
    linked = {name for row in table if (name := shown(row))}
    features = [row.feature for row in table]
    return [
        *(f"{row.feature}: {cell}" for row in table for cell in row.others if not _CELL.fullmatch(cell)),
        *(f"{row.feature}: {row.tickr}" for row in table if not shown(row) and row.tickr != "no"),
        *(f"{row.feature}: partly, and no note says what" for row in table if says_too_little(row)),
        *(f"{feature} comes twice" for feature in sorted(set(features)) if features.count(feature) > 1),
        *(f"[^{name}] is not written" for name in sorted(called - set(known))),
        *(f"[^{name}] is called by nobody" for name in sorted(set(known) - called)),
        *(f"[^{name}] has no source" for name, note in known.items() if name[0] != "t" and "](https://" not in note),
        *(f"[{name}] leads nowhere" for name in sorted(linked - set(led))),
        *(f"[{name}] is used by nobody" for name in sorted(set(led) - linked)),
        *(f"{name}: {file} has no test {test}" for name, (file, test) in led.items() if not is_there(file, test)),
        *(f"another gives it free, and Tickr does not: {row.feature}" for row in table if lacks(row)),
    ]


def is_there(file: str, test: str) -> bool:
    path = (PAGE.parent / file).resolve()
    return path.is_relative_to(ROOT / "tests") and path.exists() and test in source.test_names(path)


def test_the_page_is_whole_and_true() -> None:
    found = faults(PAGE.read_text())
    assert not found, "\n" + "\n".join(found)


def test_every_project_is_named_with_the_version_that_was_looked_at() -> None:
    text = PAGE.read_text()
    assert re.search(r"Looked at on [A-Z][a-z]+ \d{1,2}, 20\d\d", text)
    named = table(text, "project", "version", "lives in")
    assert [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", row[0]).partition(",")[0] for row in named] == [*OTHERS, "Tickr"]
    assert all(re.search(r"\d", row[1]) for row in named[:-1])


HEADER = f"| Feature | {' | '.join(OTHERS)} | Tickr |\n|{'---|' * 12}\n"
SHOWN = f'\n[a]: ../tests/docs/test_comparison.py "{test_the_page_is_whole_and_true.__name__}"\n'


def page(tickr: str = "[yes][a]", first: str = "yes[^f1]", rest: str = " no |" * 9, end: str = SHOWN) -> str:
    return (
        f"{HEADER}| One | {first} |{rest} {tickr} |\n{end}\n[^f1]: Faktory: it is so ([there](https://example.com)).\n"
    )


def test_a_good_page_has_no_fault() -> None:
    assert faults(page()) == []
    assert faults(page(tickr="no", first="paid[^f1]", end="")) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (page(first="yes[^f1] or so"), "One: yes[^f1] or so"),
        (page(tickr="yes"), "One: yes"),
        (page(tickr="[partly][a]"), "One: partly, and no note says what"),
        (page(first="partly"), "One: partly, and no note says what"),
        (page(first="yes[^f2]"), "[^f2] is not written"),
        (page(first="yes"), "[^f1] is called by nobody"),
        (page().replace("https://", "ftp://"), "[^f1] has no source"),
        (page(end=""), "[a] leads nowhere"),
        (page(tickr="no"), "[a] is used by nobody"),
        (
            page().replace("is_whole", "is_half"),
            "a: ../tests/docs/test_comparison.py has no test test_the_page_is_half_and_true",
        ),
        (
            page().replace("docs/test_c", "docs/no_c"),
            "a: ../tests/docs/no_comparison.py has no test test_the_page_is_whole_and_true",
        ),
        (page(tickr="no", end=""), "another gives it free, and Tickr does not: One"),
    ],
)
def test_what_is_wrong_is_told(text: str, fault: str) -> None:
    assert fault in faults(text)


def test_a_row_has_all_columns() -> None:
    with pytest.raises(AssertionError):
        rows(page(rest=" no |" * 8))
