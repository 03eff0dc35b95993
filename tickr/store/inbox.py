"""What the stores' inboxes have in common: how much of them is read at once, and how a row is shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tickr.store.answers import InboxRow

EXCERPT = 200
"""How many characters of a refused row are shown."""


class Choice(NamedTuple):
    """Which rows are read: ``fit`` by their numbers, ``long`` without their text."""

    fit: list[int]
    long: list[InboxRow]


def choose(sizes: Iterable[tuple[int, int]], max_bytes: int, max_row_bytes: int) -> Choice:
    """Return what is read of the first rows, given as (number, bytes); see ``Store.inbox_rows``."""
    choice, total = Choice([], []), 0
    for seq, size in sizes:
        if size > max_row_bytes:
            choice.long.append(InboxRow(seq, "", None, size))
            continue
        total += size
        if total > max_bytes and choice.fit:
            break
        choice.fit.append(seq)
    return choice


def in_order(read: Iterable[InboxRow], long: Iterable[InboxRow]) -> list[InboxRow]:
    """Return all rows by their numbers."""
    return sorted([*read, *long], key=lambda row: row.seq)
