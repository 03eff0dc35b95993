"""The log of events in SQLite, and what running attempts say. Run inside ``SqliteFile``'s transactions.

The single writer numbers at insert (``AUTOINCREMENT``): 1, 2, 3 … in order of commit, going on from there after all was
pruned; a number given in a transaction that is rolled back is given again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tickr import events, tallies
from tickr.jobs import State
from tickr.reports import Note
from tickr.store import changes, rows
from tickr.store.contract import STATE_CODES, FeedState
from tickr.store.event_log import MAX_PRUNED, fresh_history, page
from tickr.tallies import Tally

_INSERT = "INSERT INTO events (created_at, count, body, tally) VALUES (?, ?, ?, ?)"
_ROWS = "SELECT seq, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
_HEAD = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)"
_OLDEST = "SELECT min(seq) FROM events"
_FRONT = "SELECT seq, created_at, count FROM events ORDER BY seq LIMIT ?"
_PRUNE = "DELETE FROM events WHERE seq <= ?"
_HISTORY = "SELECT value FROM meta WHERE name = 'history'"
_NEW_HISTORY = "UPDATE meta SET value = ? WHERE name = 'history' AND value = ?"
_BEGUN = f"SELECT fence, started_at FROM jobs WHERE id = ? AND state = {STATE_CODES[State.RUNNING]}"  # noqa: S608 -- static text
_SHOW = "UPDATE jobs SET progress = ? WHERE id = ?"


def tell(db: sqlite3.Connection, now: int, count: int, body: str, tally: Tally | None = None) -> None:
    """Write one commit's row of events."""
    db.execute(_INSERT, (now, count, body, tallies.encode(tally)))


def note(db: sqlite3.Connection, notes: Sequence[Note], now: int) -> int:
    """See ``Store.note``."""
    begun = ((id_, db.execute(_BEGUN, (rows.id_bytes(id_),)).fetchone()) for id_ in {one.job.id for one in notes})
    kept = changes.of_running(notes, {id_: found for id_, found in begun if found is not None})
    shown = changes.progress(kept)
    db.executemany(_SHOW, [(rows.progress_text(progress), rows.id_bytes(id_)) for id_, progress in shown.items()])
    if kept:
        tell(db, now, len(kept), events.encode(map(events.of_note, kept)))
    return len(kept)


def event_rows(db: sqlite3.Connection, after: int, limit: int, max_bytes: int) -> list[tuple[int, str]]:
    """See ``Store.event_rows``."""
    return page(db.execute(_ROWS, (after, limit)), max_bytes)


def head(db: sqlite3.Connection) -> int:
    """Return the number of the last row ever written."""
    (seq,) = db.execute(_HEAD).fetchone()
    return int(seq)


def state(db: sqlite3.Connection) -> FeedState:
    """See ``Store.feed_state``."""
    (oldest,), last = db.execute(_OLDEST).fetchone(), head(db)
    return FeedState(_history(db), last + 1 if oldest is None else oldest, last)


def prune(db: sqlite3.Connection, before: int, limit: int, upto: int | None) -> int:
    """See ``Store.prune_events``."""
    last, told = None, 0
    for seq, created_at, count in db.execute(_FRONT, (limit,)):
        if created_at >= before or told >= MAX_PRUNED or (upto is not None and seq > upto):
            break
        last, told = seq, told + count
    return 0 if last is None else db.execute(_PRUNE, (last,)).rowcount


def new_history(db: sqlite3.Connection, old: str) -> str:
    """See ``Store.new_history``."""
    db.execute(_NEW_HISTORY, (fresh_history(), old))
    return _history(db)


def _history(db: sqlite3.Connection) -> str:
    (history,) = db.execute(_HISTORY).fetchone()
    return str(history)
