"""Cursors: places in the log of events, as text that clients keep and hand back. Pure.

A cursor is ``<history>.<seq>`` or ``<history>.<seq>.<taken>``: every row of the log up to number ``seq`` was told, and
``taken`` events of the row after it. Clients must not look inside. The history is the store's name for the log that the
numbers are of (``store.contract.FeedState``).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tickr.errors import CursorInvalid

_parts = re.compile(r"([0-9a-f]{12})\.([0-9]{1,18})(?:\.([0-9]{1,6}))?").fullmatch


class Place(NamedTuple):
    """A place in the log: after row ``seq`` and ``taken`` events of the next."""

    seq: int
    taken: int = 0


def write(history: str, place: Place) -> str:
    return f"{history}.{place.seq}.{place.taken}" if place.taken else f"{history}.{place.seq}"


def read(cursor: str) -> tuple[str, Place]:
    """Return the history and the place that ``cursor`` names. Raises: CursorInvalid."""
    parts = _parts(cursor)
    if parts is None:
        raise CursorInvalid
    return parts[1], Place(int(parts[2]), int(parts[3] or 0))
