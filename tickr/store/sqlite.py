"""The embedded store: one SQLite file, no server. The default.

Each method is one function run in ``SqliteFile``'s threads: reads on a snapshot, writes one after the other in
``BEGIN IMMEDIATE``. Writes all go one way: read the jobs, let ``changes`` compute the moves, ``record`` them; claims
and outcomes, which come in large batches, have ways of their own into the table (``sqlite_claims.py``). The
store's clock is this machine's; processes that share a file share the machine.

A transaction in its thread cannot be interrupted: a cancelled caller waits for it (a bounded time), and it stands.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from os import PathLike
from pathlib import Path
from typing import TypeVar

import msgspec

from tickr import events
from tickr.errors import ConfigError, StoreUnavailable
from tickr.events import Change
from tickr.jobs import Attempt, Entry, Job, NewJob, State
from tickr.keys import Unique
from tickr.queues import gates as queue_gates
from tickr.reports import Note, Outcome
from tickr.store import (
    changes,
    rows,
    sqlite_claims,
    sqlite_ended,
    sqlite_expiry,
    sqlite_feed,
    sqlite_keys,
    sqlite_lists,
    sqlite_nodes,
    sqlite_queues,
    sqlite_reads,
    sqlite_record,
)
from tickr.store.claimant import Claimant
from tickr.store.contract import (
    COUNT_TO,
    STATE_CODES,
    Check,
    Clock,
    Expired,
    FeedState,
    Filter,
    Node,
    Page,
    Place,
    QueueDepth,
    Running,
    ScanPosition,
    Start,
    StoreUse,
    us_of,
    wall_clock,
)
from tickr.store.event_log import nobody_counts, nobody_listens
from tickr.store.search import Searched
from tickr.store.sqlite_access import SqliteAccess
from tickr.store.sqlite_backlog import SqliteBacklog
from tickr.store.sqlite_encrypted import SqliteEncrypted
from tickr.store.sqlite_file import SqliteFile, open_file
from tickr.store.sqlite_health import findings
from tickr.store.sqlite_inbox import SqliteInbox
from tickr.store.sqlite_links import SqliteLinks
from tickr.store.sqlite_nodes import SqliteNodes
from tickr.store.sqlite_operations import SqliteOperations
from tickr.store.sqlite_queues import SqliteQueues
from tickr.store.sqlite_retention import SqliteRetention
from tickr.store.sqlite_schedules import SqliteSchedules
from tickr.store.sqlite_statistics import SqliteStatistics
from tickr.tallies import Tally

Answer = TypeVar("Answer")

WRITES_WITHIN_S = 5.0
"""A write that takes longer, in seconds, is one that the disk does not let end: then the store counts as away."""

_RUNNING = STATE_CODES[State.RUNNING]
_TRY_TO_WRITE = "INSERT OR REPLACE INTO meta (name, value) VALUES ('last_try', ?)"


@asynccontextmanager
async def open_sqlite(
    where: str | PathLike[str], *, clock: Clock | None = None, migrate: bool = False
) -> AsyncIterator[SqliteStore]:
    """Open the store in a file, made if it is not there.

    Args:
      where: a path, or ``sqlite:///relative/path`` or ``sqlite:////absolute/path``.
      clock: what the time is; called in threads. None for this machine's clock.
      migrate: bring an older schema up to date.
    Raises: ConfigError, StoreUnavailable, SchemaMismatch.
    """
    clock = clock or wall_clock
    async with open_file(_path(where), clock, asked=migrate) as file:
        yield SqliteStore(file, clock)


def _path(where: str | PathLike[str]) -> Path:
    if not isinstance(where, str) or not where.startswith("sqlite:"):
        return Path(where)
    path = where.removeprefix("sqlite:///")
    if path in ("", where, ":memory:"):
        raise ConfigError([f"store: {where!r} names no file; write sqlite:///tickr.db or sqlite:////var/lib/tickr.db"])
    return Path(path)


class SqliteStore(
    SqliteQueues,
    SqliteNodes,
    SqliteSchedules,
    SqliteRetention,
    SqliteOperations,
    SqliteInbox,
    SqliteLinks,
    SqliteEncrypted,
    SqliteStatistics,
    SqliteBacklog,
    SqliteAccess,
    Searched,
):
    """``Store`` over one file; see ``store/contract`` for what each method promises."""

    name = "sqlite"
    writers = 1  # the file has one

    def __init__(self, file: SqliteFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._on_events: Callable[[], None] = nobody_listens
        self._on_tally: Callable[[Tally], None] = nobody_counts

    def now_us(self) -> int:
        return self._clock()

    async def ping(self) -> None:
        """See the contract. Reads; but once a write has failed it tries to write, until a write has succeeded."""
        if self._file.writing_s > WRITES_WITHIN_S:
            raise StoreUnavailable(f"{self._file.path}: a write does not end.", reason="a write does not end")
        if self._file.last_write_failed:
            await self._file.write(lambda db: db.execute(_TRY_TO_WRITE, (str(self._clock()),)))
        await self._file.read(lambda db: db.execute("SELECT 1 FROM meta LIMIT 1").fetchone())
        if not self._file.same_file():
            raise StoreUnavailable(f"{self._file.path} has been moved or deleted under the running program.")

    # -- from outside ---------------------------------------------------------------------------------------------

    async def insert(
        self, new: Sequence[NewJob], *, whole: bool = False, start: Start | None = None
    ) -> list[tuple[Job, bool]]:
        def work(db: sqlite3.Connection, now: int) -> tuple[list[tuple[Job, bool]], list[Change]]:
            may_start = sqlite_claims.may_start(db, new, start)
            if not all(one.plain for one in new):
                answers, made, *_ = sqlite_keys.admit(db, new, now, whole=whole, start=may_start)
                return answers, made
            stored = sqlite_reads.jobs_by_id(db, [one.id for one in new])
            return changes.insert(new, stored, now, whole=whole, start=may_start)

        return await self._change(work)

    async def cancel(self, job_id: str, *, version: int | None = None, reason: str | None = None) -> Job:
        def work(db: sqlite3.Connection, now: int) -> tuple[Job, list[Change]]:
            job = sqlite_reads.existing(db, job_id)
            change = changes.cancel(job, version, now, reason)
            return (job, []) if change is None else (change.after, [change])

        return await self._change(work)

    async def holder(self, unique: Unique) -> Job | None:
        return await self._file.read(lambda db: sqlite_keys.holder(db, unique, self._clock()))

    async def _change(
        self,
        work: Callable[[sqlite3.Connection, int], tuple[Answer, list[Change]]],
        record: Callable[[sqlite3.Connection, Sequence[Change], int], Tally | None] | None = None,
    ) -> Answer:
        """Run ``work``, which returns an answer and what is to be changed, in a transaction at a ``now``.

        Args:
          record: writes the changes, or only what goes with them where ``work`` did that (``sqlite_record``).
        """
        record = record or sqlite_record.record

        def transaction(db: sqlite3.Connection) -> tuple[Answer, Tally | None]:
            now = self._clock()
            answer, made = work(db, now)
            return answer, record(db, made, now)

        answer, told = await self._file.write(transaction)
        self._told(told)
        return answer

    def _told(self, tally: Tally | None) -> None:
        """Tell of a COMMIT. ``tally``: what it did; None: it wrote no events."""
        if tally is not None:
            self._on_events()
            if tally:
                self._on_tally(tally)

    async def get(self, job_id: str) -> Job | None:
        return await self._file.read(lambda db: sqlite_reads.jobs_by_id(db, [job_id]).get(job_id))

    async def get_many(self, ids: Collection[str]) -> list[Job]:
        return await self._file.read(lambda db: [*sqlite_reads.jobs_by_id(db, ids).values()])

    async def attempts(self, job_id: str) -> list[Attempt]:
        def work(db: sqlite3.Connection) -> list[Attempt]:
            current = events.current_attempt(sqlite_reads.existing(db, job_id))
            ended = [rows.attempt(row) for row in db.execute(_ATTEMPTS, (rows.id_bytes(job_id),))]
            return ended if current is None else [*ended, current]

        return await self._file.read_long(work)

    async def _list_jobs(self, which: Filter, limit: int, before: Place | None, look_at: int) -> Page:
        return await self._file.read_long(
            lambda db: sqlite_lists.list_jobs(db, which, limit, before, look_at, self._clock())
        )

    async def queues(self, *, count_to: int = COUNT_TO) -> list[QueueDepth]:
        return await self._file.read_long(lambda db: sqlite_reads.depths(db, count_to, self._clock()))

    # -- for the index --------------------------------------------------------------------------------------------

    async def queue_names(self) -> list[str]:
        return await self._file.read(
            lambda db: [name for (name,) in db.execute("SELECT name FROM queues ORDER BY name")]
        )

    async def due(self, limit: int) -> list[Entry]:
        return await self._file.read(lambda db: sqlite_reads.due(db, limit, self._clock()))

    async def waiting_after(self, position: ScanPosition | None, limit: int) -> tuple[list[Entry], ScanPosition | None]:
        return await self._file.read(lambda db: sqlite_reads.waiting_after(db, position, limit))

    async def still_waiting(self, ids: Collection[str]) -> list[Job]:
        return await self._file.read(lambda db: sqlite_reads.waiting(sqlite_reads.jobs_by_id(db, ids).values()))

    async def ahead(self, job: Job, *, count_to: int) -> int:
        return await self._file.read(lambda db: sqlite_reads.ahead(db, job, count_to, self._clock()))

    async def epoch(self, proposal: str) -> str:
        def work(db: sqlite3.Connection) -> str:
            db.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('epoch', ?)", (proposal,))
            (kept,) = db.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
            return str(kept)

        return await self._file.write(work)

    async def end_expired(self, limit: int) -> Expired:
        first = await self._file.read(lambda db: sqlite_expiry.first(db, 1))
        if not first or first[0][0] > self._clock():
            return Expired([], first[0][0] if first else None)
        ended = await self._change(lambda db, now: sqlite_expiry.end(db, limit, now))
        first = await self._file.read(lambda db: sqlite_expiry.first(db, 1))
        return Expired(ended, first[0][0] if first else None)

    # -- for workers ----------------------------------------------------------------------------------------------

    async def claim(
        self,
        ids: Sequence[str],
        *,
        node: str,
        types: Collection[str],
        suspects: int | None = None,
        keys: Collection[str] = (),
    ) -> list[Job]:
        if not ids:
            return []
        claimant = Claimant(node, types, suspects, keys)
        return await self._change(lambda db, now: sqlite_claims.claim(db, ids, claimant, now), sqlite_record.tell)

    async def claim_due(
        self,
        limit: int,
        *,
        node: str,
        types: Collection[str],
        suspects: int | None = None,
        queues: Mapping[str, int] | None = None,
        keys: Collection[str] = (),
    ) -> list[Job]:
        claimant = Claimant(node, types, suspects, keys)

        def work(db: sqlite3.Connection, now: int) -> tuple[list[Job], list[Change]]:
            gates = queue_gates(sqlite_queues.standings(db, queues), now)
            ids = sqlite_reads.claimable_ids(db, limit, claimant, now, queues, gates)
            return sqlite_claims.claim(db, ids, claimant, now)

        return await self._change(work, sqlite_record.tell)

    async def finish(self, outcomes: Sequence[Outcome]) -> list[Job | None]:
        return await self._change(lambda db, now: sqlite_claims.finish(db, outcomes, now), sqlite_record.tell)

    async def note(self, notes: Sequence[Note]) -> int:
        kept = await self._file.write(lambda db: sqlite_feed.note(db, notes, self._clock()))
        if kept:
            self._on_events()
        return kept

    # -- nodes ----------------------------------------------------------------------------------------------------

    async def register(self, node: Node, *, lease_s: float) -> None:
        def work(db: sqlite3.Connection) -> None:
            now = self._clock()
            known = msgspec.structs.replace(node, started_at=now if node.started_at is None else node.started_at)
            body = msgspec.json.encode(known).decode()
            lease_us = us_of(lease_s)
            db.execute(_REGISTER, (node.id, now + lease_us, lease_us, known.started_at, body))

        await self._file.write(work)

    async def heartbeat(self, node_id: str, *, lease_s: float) -> list[Running] | None:
        def work(db: sqlite3.Connection) -> list[Running] | None:
            if not db.execute(_EXTEND, (self._clock() + us_of(lease_s), node_id)).rowcount:
                return None
            found = db.execute(_HELD, (_RUNNING, node_id))
            return [Running(rows.id_text(key), fence, bool(asked), *rest) for key, fence, asked, *rest in found]

        return await self._file.write(work)

    async def deregister(self, node_id: str) -> None:
        await self._file.write(lambda db: db.execute("DELETE FROM nodes WHERE id = ?", (node_id,)))

    async def expire(self, node_id: str, *, lease_until: int) -> bool:
        return await self._file.write(lambda db: db.execute(_EXPIRE, (node_id, lease_until)).rowcount == 1)

    async def nodes(self) -> list[Node]:
        return await self._file.read(lambda db: [rows.node(*row) for row in db.execute(_NODES)])

    async def reap(self, limit: int) -> list[Job]:
        def work(db: sqlite3.Connection, now: int) -> tuple[list[Job], list[Change]]:
            lost = sqlite_reads.lost(db, limit)
            made = changes.reap(lost, now, sqlite_ended.take(db, lost))
            made += changes.abandon(sqlite_nodes.abandoned(db, limit), now)
            return [change.after for change in made], made

        return await self._change(work)

    # -- for the feed and the operator ----------------------------------------------------------------------------

    def on_events(self, call: Callable[[], None]) -> None:
        self._on_events = call

    def use(self) -> StoreUse:
        return StoreUse(self._file.lanes)

    def on_tally(self, call: Callable[[Tally], None]) -> None:
        self._on_tally = call

    async def event_rows(self, after: int, limit: int, max_bytes: int) -> list[tuple[int, str]]:
        return await self._file.read(lambda db: sqlite_feed.event_rows(db, after, limit, max_bytes))

    async def number_events(self) -> int:
        return await self._file.read(sqlite_feed.head)

    async def feed_state(self) -> FeedState:
        return await self._file.read(sqlite_feed.state)

    async def prune_events(self, before: int, limit: int, *, upto: int | None = None) -> int:
        return await self._file.write(lambda db: sqlite_feed.prune(db, before, limit, upto))

    async def new_history(self, old: str) -> str:
        return await self._file.write(lambda db: sqlite_feed.new_history(db, old))

    async def prune_keys(self, limit: int) -> int:
        return await self._file.write(lambda db: sqlite_keys.prune(db, limit, self._clock()))

    async def diagnose(self) -> list[Check]:
        return await self._file.read(lambda db: findings(db, self._file.path, same_file=self._file.same_file()))


_ATTEMPTS = """
SELECT fence, number, node, started_at, finished_at, outcome, error FROM attempts WHERE job_id = ? ORDER BY fence
"""
_REGISTER = "INSERT OR REPLACE INTO nodes (id, lease_until, lease_us, started_at, body) VALUES (?, ?, ?, ?, ?)"
_EXTEND = "UPDATE nodes SET lease_until = ? WHERE id = ?"
_EXPIRE = "DELETE FROM nodes WHERE id = ? AND lease_until = ?"
_HELD = "SELECT id, fence, cancel_requested, started_at, timeout_us, crashes FROM jobs WHERE state = ? AND node = ?"
_NODES = "SELECT lease_until, lease_us, body FROM nodes ORDER BY started_at, id"
