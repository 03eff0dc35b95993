"""One SQLite file: its connections, the threads they are used in, and its transactions.

SQLite blocks, so nothing here runs in the event loop. One connection writes, one transaction at a time, in turn
(``CapacityLimiter(1)`` is a fair queue); a few others read, each on a snapshot of its own, and wait for no writer
(WAL). Lists, which may walk all jobs, have readers of their own and a deadline, so that short questions wait for none.
Other processes may have the same file open: their writes are waited for, at most ``BUSY_MS``.

Who owns what: ``_writer`` is used only by whoever holds ``_writing``; a reader is out of its lane while it is used.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import trio

from tickr.errors import StoreUnavailable
from tickr.failpoints import reach_in_thread
from tickr.store import migrate
from tickr.store.contract import Clock, Lane
from tickr.store.sqlite_errors import in_our_words, primary_code

Answer = TypeVar("Answer")
Work = Callable[[sqlite3.Connection], Answer]

BUSY_MS = 1_500
"""How long a write waits for another process's, in milliseconds. Bounds what a cancellation has to wait for."""
READERS, LIST_READERS = 2, 2
"""Connections that read at the same time: for short questions, and for lists."""
LIST_S, LIST_TURN_S = 5.0, 1.8
"""How long a list may take, and how long it may wait for its turn, in seconds."""
STEPS_A_LOOK = 10_000
"""How many instructions of SQLite's machine there are between two looks at a list's deadline."""
OLDEST = (3, 37)
"""First SQLite with STRICT tables (November 2021)."""


class _Readers:
    """Connections that read, and whose turn it is to use one."""

    def __init__(self, readers: list[sqlite3.Connection]) -> None:
        self.idle, self.size = readers, len(readers)
        self.turns = trio.CapacityLimiter(self.size)


class SqliteFile:
    """An open database file. ``path`` is absolute; the first ``READERS`` of ``readers`` are for short questions."""

    def __init__(self, path: Path, writer: sqlite3.Connection, readers: list[sqlite3.Connection]) -> None:
        self.path = path
        self._writer = writer
        self._questions, self._lists = _Readers(readers[:READERS]), _Readers(readers[READERS:])
        self._all = [*readers, writer]  # the writer goes last: it folds the WAL into the file
        self._identity = _identity(path)
        self._writing = trio.CapacityLimiter(1)
        self._closed = False
        self.last_write_failed = False  # over a full disk, say; written by the thread that writes
        self._write_began: float | None = None  # monotonic seconds; written by the thread that writes

    async def write(self, work: Work[Answer]) -> Answer:
        """Run ``work`` in a transaction that can write, and return its answer once the COMMIT is on the disk.

        Raises: StoreUnavailable, SchemaMismatch, or whatever ``work`` raises; the transaction is rolled back then.
        Cancellation: while it waits for its turn nothing happens; once begun, the transaction cannot be interrupted:
          it is completed, stands, and is answered.
        """
        return await trio.to_thread.run_sync(self._transaction, work, limiter=self._writing)

    async def read(self, work: Work[Answer]) -> Answer:
        """Run ``work`` on a snapshot of what is committed. Raises as ``write`` does."""
        lane = self._questions
        return await trio.to_thread.run_sync(self._snapshot, work, lane, limiter=lane.turns)

    async def read_long(self, work: Work[Answer]) -> Answer:
        """Like ``read``, for what may walk all jobs: it waits for others of its kind, and ends after ``LIST_S``.

        Raises: as ``read``; StoreUnavailable: it took too long, or waited too long for its turn.
        """

        def bounded(db: sqlite3.Connection) -> Answer:
            until = time.monotonic() + LIST_S
            db.set_progress_handler(lambda: time.monotonic() > until, STEPS_A_LOOK)
            try:
                return work(db)
            finally:
                db.set_progress_handler(None, 0)

        lane = self._lists
        with trio.move_on_after(LIST_TURN_S):  # a list once begun is not cut short by it
            return await trio.to_thread.run_sync(self._snapshot, bounded, lane, limiter=lane.turns)
        raise StoreUnavailable(f"{self.path}: too many long lists are asked for at once.")

    async def close(self) -> None:
        """Let the transactions in flight end, then close. Those that still wait for their turn are refused.

        Cancellation: shielded; what it waits for is bounded by ``BUSY_MS``, by ``LIST_S`` and by one statement.
        """
        with trio.CancelScope(shield=True):
            self._closed = True
            lanes = self._questions, self._lists
            turns = [(lane.turns, object()) for lane in lanes for _ in range(lane.size)]
            async with self._writing:
                for limiter, taker in turns:
                    await limiter.acquire_on_behalf_of(taker)
                await trio.to_thread.run_sync(_close_all, self._all)
            for limiter, taker in turns:
                limiter.release_on_behalf_of(taker)

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """See ``Store.use``."""
        limiters = {"write": self._writing, "read": self._questions.turns, "lists": self._lists.turns}
        return tuple(
            Lane(name, now.borrowed_tokens, int(now.total_tokens), now.tasks_waiting)
            for name, now in [(name, limiter.statistics()) for name, limiter in limiters.items()]
        )

    @property
    def writing_s(self) -> float:
        """For how long the write at work, if there is one, has been at it, in seconds: long, when the disk hangs."""
        began = self._write_began
        return 0.0 if began is None else time.monotonic() - began

    def same_file(self) -> bool:
        """Whether ``path`` still names the file that is open; if not, what is written is lost with the last handle."""
        return _identity(self.path) == self._identity

    def _transaction(self, work: Work[Answer]) -> Answer:
        if self._closed:
            raise StoreUnavailable(f"{self.path} has been closed.")
        db = self._writer
        self._write_began = time.monotonic()
        before = db.total_changes
        try:
            with in_our_words(self.path):
                db.execute("BEGIN IMMEDIATE")
                answer = work(db)
            reach_in_thread("store.before_commit")
            with in_our_words(self.path, committing=True):
                db.execute("COMMIT")
            reach_in_thread("store.after_commit")
            # One that found nothing to change has not shown that it could have.
            self.last_write_failed = self.last_write_failed and db.total_changes == before
        except StoreUnavailable:
            self.last_write_failed = True
            raise
        finally:
            self._write_began = None
            self._roll_back(db)
        return answer

    def _snapshot(self, work: Work[Answer], lane: _Readers) -> Answer:
        if self._closed:
            raise StoreUnavailable(f"{self.path} has been closed.")
        db = lane.idle.pop()
        try:
            with in_our_words(self.path):
                db.execute("BEGIN")
                return work(db)
        finally:
            try:
                self._roll_back(db)
            finally:
                lane.idle.append(db)

    def _roll_back(self, db: sqlite3.Connection) -> None:
        if db.in_transaction:
            with in_our_words(self.path):
                db.execute("ROLLBACK")


@asynccontextmanager
async def open_file(path: Path, clock: Clock, *, asked: bool) -> AsyncIterator[SqliteFile]:
    """Open ``path``, making it if it is not there, with the schema this program needs.

    Args:
      asked: whether an older schema shall be brought up to date (see ``migrate.pending``).
    Raises: StoreUnavailable, SchemaMismatch.
    """
    file = await trio.to_thread.run_sync(_open, path, clock, asked)
    try:
        yield file
    finally:
        await file.close()


def _open(path: Path, clock: Clock, asked: bool) -> SqliteFile:
    if sqlite3.sqlite_version_info < OLDEST:
        raise StoreUnavailable(f"SQLite {sqlite3.sqlite_version} is too old; Tickr needs 3.37 or newer.")
    path = Path(os.path.abspath(path))  # not resolve(): a link may be turned to another file on purpose
    until = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            return _open_once(path, clock, asked)
        except StoreUnavailable as error:
            # While others make, recover or close the same file, SQLite may refuse at once, without its own waiting.
            if primary_code(error.__cause__) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _open_once(path: Path, clock: Clock, asked: bool) -> SqliteFile:
    opened: list[sqlite3.Connection] = []
    try:
        with in_our_words(path):
            writer = _connect(path, opened)
            _prepare(writer, path, clock, asked)
            readers = [_connect(path, opened) for _ in range(READERS + LIST_READERS)]
            for reader in readers:
                reader.execute("PRAGMA query_only = ON")
        return SqliteFile(path, writer, readers)
    except BaseException:
        _close_all(opened)
        raise


def _connect(path: Path, opened: list[sqlite3.Connection]) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    opened.append(db)
    db.execute("PRAGMA synchronous = FULL")  # in WAL: one fsync for each COMMIT
    return db


def _prepare(db: sqlite3.Connection, path: Path, clock: Clock, asked: bool) -> None:
    """Bring an empty or old file to this program's schema, and refuse what is not ours before changing anything."""
    if db.execute("PRAGMA journal_mode").fetchone()[0] == "wal" and not asked and not _pending(db, asked):
        # The everyday case. Still write nothing once: a file that cannot be written is refused here, not later. To take
        # the lock is not enough: SQLite gives it to who may only read.
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute("DELETE FROM schema_version WHERE version < 0")
        finally:
            db.execute("ROLLBACK")
        return
    db.execute(
        "BEGIN EXCLUSIVE"
    )  # in the old journal mode this keeps out every other opener until the tables are there
    try:
        steps = _pending(db, asked)
        db.execute(migrate.VERSION_TABLE)
        for step in steps:
            for statement in step.statements:
                db.execute(statement)
            db.execute("INSERT INTO schema_version VALUES (?, ?, ?)", (step.version, step.name, clock()))
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    if (mode := db.execute("PRAGMA journal_mode = WAL").fetchone()[0]) != "wal":
        raise StoreUnavailable(f"{path} cannot use a write-ahead log (it stays in mode {mode}): is it on a local disk?")


def _pending(db: sqlite3.Connection, asked: bool) -> list[migrate.Migration]:
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    applied: list[int] = []
    if "schema_version" in tables:
        tables.clear()
        applied = [version for (version,) in db.execute("SELECT version FROM schema_version")]
    return migrate.pending("sqlite", applied, asked=asked, other_tables=tables)


def _close_all(connections: list[sqlite3.Connection]) -> None:
    for db in connections:
        with suppress(sqlite3.Error):
            db.close()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
