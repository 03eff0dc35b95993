"""What the stores' logs of events have in common; each keeps its rows in its own way. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from tickr.tallies import Tally

MAX_PRUNED = 20_000
"""A transaction that prunes deletes no further row once it has deleted so many events, so that none is a long one."""


def fresh_history() -> str:
    """Return a name for a new log (``FeedState.history``): 12 hexadecimal digits."""
    return secrets.token_hex(6)


def nobody_listens() -> None:
    """What a store calls after it has written events, until ``Store.on_events`` says otherwise."""


def nobody_counts(tally: Tally) -> None:
    """What a store calls after a COMMIT that moved jobs, until ``Store.on_tally`` says otherwise."""


def page(rows: Iterable[tuple[int, str]], max_bytes: int) -> list[tuple[int, str]]:
    """Return the first of ``rows``, the last of them the one that makes the page ``max_bytes`` long."""
    found = []
    left = max_bytes
    for row in rows:
        found.append(row)
        left -= len(row[1])
        if left <= 0:
            break
    return found
