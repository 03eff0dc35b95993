"""Reads jobs and events out of a store, without Tickr: with the command-line client of MySQL, or Python's sqlite3.

To be done when nothing changes any more: on MySQL it takes many statements, each on a snapshot of its own. Texts travel
as HEX, as the client writes tabs, line ends and backslashes in a way of its own.
"""

from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from tests.faults.history import StoredEvent, StoredJob, Tick
from tests.servers import mysql_execute

JOBS_AT_ONCE = 20_000
EVENT_ROWS_AT_ONCE = 500
"""Rows in one answer; a row of events may hold a few hundred of them."""

STATES = {1: "ready", 2: "retrying", 3: "blocked", 4: "running", 5: "succeeded", 6: "failed", 7: "cancelled"}
NO_NUMBER = -1
"""``StoredJob.number`` of a job whose payload has none."""

_NUMBERS = "state, version, fence, attempt, max_attempts, crashes, run_at, created_at"
_NUMBER = f"COALESCE(JSON_EXTRACT(payload, '$.number'), {NO_NUMBER})"


class _Reason(msgspec.Struct):
    kind: str


class _Told(msgspec.Struct, array_like=True):
    """One event in the body of a row, as far as it is looked at."""

    what: str
    time: int
    job: str
    version: int
    type: str
    queue: str
    priority: int
    state: str
    previous_state: str | None
    attempt: int
    max_attempts: int
    run_at: int
    labels: msgspec.Raw = msgspec.Raw()
    node: str | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: _Reason | None = None
    result_bytes: int = 0
    note: int = 0


class _ToldOfThing(msgspec.Struct, array_like=True):
    """One event of something that is no job."""

    what: str
    time: int
    name: str


_parts = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode = msgspec.json.Decoder(_Told).decode
_decode_of_thing = msgspec.json.Decoder(_ToldOfThing).decode
_is_of_thing = re.compile(rb'\["[a-z]+\.').match


class Unnumbered(Exception):
    """Rows of events have no number."""


def from_sqlite(path: Path) -> tuple[list[StoredJob], list[StoredEvent]]:
    """Return all jobs, and all events in the order of the log, of the file at ``path``, on one snapshot.

    Raises: sqlite3.Error: it can not be read. ValueError: a row of events is not what it says it is.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as db:
        db.execute("BEGIN")
        jobs = db.execute(f"SELECT id, {_NUMBER}, type, extras, {_NUMBERS} FROM jobs ORDER BY id")
        rows = db.execute("SELECT seq, count, body FROM events ORDER BY seq")
        return (
            [_job(id_.hex(), number, type_, extras, *numbers) for id_, number, type_, extras, *numbers in jobs],
            [event for seq, count, body in rows for event in _events(seq, count, body)],
        )


def from_mysql(url: str, *, all_numbered: bool = False) -> tuple[list[StoredJob], list[StoredEvent]]:
    """Return all jobs, and all events in the order of the log, of the database of ``url``.

    Rows of events that nobody has read yet have no number; they get the numbers here that a reader would give them.

    Args:
      all_numbered: there must be no such row.
    Raises: Unnumbered; OSError: no answer. ValueError: a row of events is not what it says it is.
    """
    return list(_mysql_jobs(url)), _mysql_events(url, all_numbered)


def _mysql_jobs(url: str) -> Iterator[StoredJob]:
    last = ""
    while True:
        after = f"WHERE id > UNHEX('{last}')" if last else ""
        columns = f"HEX(id), {_NUMBER}, HEX(type), HEX(COALESCE(extras, '')), {_NUMBERS}"
        rows = mysql_execute(url, f"SELECT {columns} FROM jobs {after} ORDER BY id LIMIT {JOBS_AT_ONCE}")
        for id_, number, type_, extras, *numbers in rows:
            yield _job(id_, int(number), bytes.fromhex(type_).decode(), bytes.fromhex(extras), *map(int, numbers))
        if len(rows) < JOBS_AT_ONCE:
            return
        last = rows[-1][0]


def _job(id_: str, number: int, type_: str, extras: str | bytes | None, state: int, *numbers: int) -> StoredJob:
    made_for = msgspec.json.decode(extras, type=Tick) if extras else None
    made_for = made_for if made_for and made_for.schedule else None
    return StoredJob(str(uuid.UUID(hex=id_)), number, type_, STATES[state], *numbers, made_for=made_for)


def _mysql_events(url: str, all_numbered: bool) -> list[StoredEvent]:
    numbered: list[tuple[int, list[StoredEvent]]] = []
    new: list[tuple[int, bytes]] = []
    for seq, count, body in _mysql_rows(url):
        if seq is None:
            new.append((count, body))
        else:
            numbered.append((seq, list(_events(seq, count, body))))
    if new and all_numbered:
        raise Unnumbered(f"{len(new)} of {len(new) + len(numbered)} rows of events have no number")
    numbered.sort(key=lambda row: row[0])
    head = numbered[-1][0] if numbered else 0
    events = [event for _, of_row in numbered for event in of_row]
    events += [event for seq, (count, body) in enumerate(new, head + 1) for event in _events(seq, count, body)]
    return events


def _mysql_rows(url: str) -> Iterator[tuple[int | None, int, bytes]]:
    """Yield (seq, count, body) of every row, by its id."""
    last = 0
    while True:
        sql = f"SELECT id, seq, count, HEX(body) FROM events WHERE id > {last} ORDER BY id LIMIT {EVENT_ROWS_AT_ONCE}"
        rows = mysql_execute(url, sql)
        for _, seq, count, body in rows:
            yield None if seq == "NULL" else int(seq), int(count), bytes.fromhex(body)
        if len(rows) < EVENT_ROWS_AT_ONCE:
            return
        last = int(rows[-1][0])


def _events(seq: int, count: int, body: str | bytes) -> Iterable[StoredEvent]:
    told = _parts(body)
    if len(told) != count:
        raise ValueError(f"row {seq} of events says {count} and holds {len(told)}")
    for one in told:
        yield _of_thing(seq, _decode_of_thing(one)) if _is_of_thing(one) else _of_job(seq, _decode(one))


def _of_thing(seq: int, one: _ToldOfThing) -> StoredEvent:
    return StoredEvent(seq, one.name, one.what, version=None, previous_state=None, state="", attempt=0, at=one.time)


def _of_job(seq: int, one: _Told) -> StoredEvent:
    return StoredEvent(
        seq=seq,
        job=one.job,
        what=one.what,
        version=None if one.note else one.version,
        previous_state=one.previous_state,
        state=one.state,
        attempt=one.attempt,
        at=one.time,
        run_at=one.run_at,
        why=one.error.kind if one.error is not None else None,
        node=one.node,
        note=one.note,
    )
