"""The adapters under test, each with a clock that only the test moves, and small words for making jobs.

A ``Backend`` is a place where a store lives. It can be opened again, and (where the store has tables) broken from
outside, so that a write fails in the middle of its transaction.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from tickr import events
from tickr.events import Event
from tickr.job_log import part_of
from tickr.jobs import FINAL, TRANSITIONS, Failure, Job, NewJob, State
from tickr.reports import Lines, Note, Outcome
from tickr.store import rows
from tickr.store.contract import Node, Store
from tickr.store.mysql_address import parse
from tickr.store.mysql_pool import Pool
from tickr.store.mysql_schema import bring_up
from tickr.store.mysql_transactions import ServerClock, Transactions
from tickr.store.open import open_store

SECOND = 1_000_000
START = 1_800_000_000 * SECOND
MANY_BYTES = 2**24
OOPS = Failure("exception", "It did not work.")


class SteppedClock:
    """Microseconds UTC; stands still until told to move. Stores may call it from their threads."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


class Backend:
    """One place for a store. ``durable``: what it holds is there when it is opened again."""

    durable = False

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = SteppedClock()

    def open(self, **options: Any) -> AbstractAsyncContextManager[Store]:
        return open_store(self.url, clock=self.clock, **options)

    def execute(self, sql: str) -> None:
        """Run one statement on the tables, past the store."""
        raise NotImplementedError

    def expiries(self, store: Any) -> list[tuple[int, str]]:
        """Return the rows of when jobs that wait expire."""
        return sorted(store._expiries)

    def bytes(self, store: Any) -> bytes:
        """Return everything that is kept, as it is kept."""
        return repr(vars(store) | vars(store._log) | {"keys": vars(store._keys)}).encode()


class SqliteBackend(Backend):
    durable = True

    def __init__(self, path: Path) -> None:
        super().__init__(f"sqlite:///{path}")
        self.path = path

    def execute(self, sql: str) -> None:
        db = sqlite3.connect(self.path)
        try:
            with db:
                db.execute(sql)
        finally:
            db.close()

    def bytes(self, store: Any) -> bytes:
        """Return the file, and what is still beside it."""
        return b"".join(part.read_bytes() for part in self.path.parent.glob(f"{self.path.name}*"))

    def expiries(self, store: Any) -> list[tuple[int, str]]:
        db = sqlite3.connect(self.path)
        try:
            found = db.execute("SELECT expires_at, job_id FROM expiries ORDER BY expires_at, job_id")
            return [(at, rows.id_text(key)) for at, key in found]
        finally:
            db.close()


class MysqlBackend(Backend):
    durable = True

    def bytes(self, store: Any) -> bytes:
        """Return all rows of all tables."""
        from tests.servers import mysql_execute

        columns = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
        found = b""
        for table, column in mysql_execute(self.url, columns):
            values = mysql_execute(self.url, f"SELECT HEX(CAST(`{column}` AS BINARY)) FROM `{table}`")
            found += b"|".join(bytes.fromhex(value) for (value,) in values if value not in ("NULL", ""))
        return found

    def execute(self, sql: str) -> None:
        from tests.servers import mysql_execute

        mysql_execute(self.url, sql)

    def expiries(self, store: Any) -> list[tuple[int, str]]:
        from tests.servers import mysql_execute

        found = mysql_execute(self.url, "SELECT expires_at, HEX(job_id) FROM expiries ORDER BY expires_at, job_id")
        return [(int(at), rows.id_text(bytes.fromhex(key))) for at, key in found]


@asynccontextmanager
async def transactions_on(url: str) -> AsyncIterator[Transactions]:
    """Run transactions of a test's own on the MySQL at ``url``, which gets its tables if it has none."""
    async with trio.open_nursery() as nursery:
        pool = Pool(parse(url), None, nursery)
        await bring_up(pool, asked=False)
        yield Transactions(pool, ServerClock(None), 8_000_000)
        await pool.aclose()


# -- words for tests --------------------------------------------------------------------------------------------------


def new_id() -> str:
    return str(uuid.uuid4())


def new_job(type: str = "mail", **fields: Any) -> NewJob:
    fields.setdefault("id", new_id())
    return NewJob(type=type, **fields)


async def put(store: Store, *new: NewJob) -> list[Job]:
    """Insert and return the jobs."""
    return [job for job, _ in await store.insert(new)]


async def put_one(store: Store, type: str = "mail", **fields: Any) -> Job:
    return (await put(store, new_job(type, **fields)))[0]


async def join(store: Store, *nodes: str) -> None:
    """Register those of ``nodes`` that are not yet: nothing is claimed for a node without a row."""
    known = {node.id for node in await store.nodes()}
    for node in nodes:
        if node not in known:
            await store.register(a_node(id=node), lease_s=15)


async def start(store: Store, *jobs: Job, node: str = "n1") -> list[Job]:
    """Claim just these jobs, for a node that is registered if need be, and return them in the order given."""
    await join(store, node)
    claimed = await store.claim([job.id for job in jobs], node=node, types={job.type for job in jobs})
    assert len(claimed) == len(jobs)
    by_id = {job.id: job for job in claimed}
    return [by_id[job.id] for job in jobs]


async def put_running(store: Store, type: str = "mail", *, node: str = "n1", **fields: Any) -> Job:
    return (await start(store, await put_one(store, type, **fields), node=node))[0]


async def end(store: Store, job: Job, kind: Any, **fields: Any) -> Job | None:
    """Finish one attempt; everything but a success gets a failure unless it brings its own."""
    if kind != "succeeded":
        fields.setdefault("failure", OOPS)
    (after,) = await store.finish([Outcome(job=job, kind=kind, **fields)])
    return after


def noted(job: Job, number: int, **fields: Any) -> Note:
    """Return what the attempt ``job`` says: progress if there is a ``fraction``, otherwise a line for its log."""
    kind = "progress" if "fraction" in fields else "log"
    fields.setdefault("at", START)
    return Note(job=job, kind=kind, number=number, **fields)  # type: ignore[arg-type]


def logged(job: Job, last: int, *said: str, trim: bool = False) -> Lines:
    """Return lines of the attempt ``job`` for its log, of which the last has the number ``last``."""
    lines = [(START + number, 0, message) for number, message in enumerate(said or (f"line {last}",))]
    return Lines(job=job, part=part_of(job.fence, job.attempt, last, lines), trim=trim)


async def put_final(store: Store, state: State, **fields: Any) -> Job:
    kind = {State.SUCCEEDED: "succeeded", State.FAILED: "failed", State.CANCELLED: "cancelled"}[state]
    after = await end(store, await put_running(store, **fields), kind)
    assert after is not None
    assert after.state is state
    return after


def a_node(**fields: Any) -> Node:
    fields.setdefault("id", new_id())
    return Node(host="here", pid=1, version="0", **fields)


async def told(store: Store) -> list[list[Event]]:
    """Return all events, a list for each commit."""
    commits: list[list[Event]] = []
    while page := await store.event_rows(len(commits), 100, MANY_BYTES):
        assert [seq for seq, _ in page] == list(range(len(commits) + 1, len(commits) + len(page) + 1))
        commits += [events.decode(body) for _, body in page]
    return commits


async def told_of(store: Store, job: Job) -> list[str]:
    """Return what was told of one job, as names, in order."""
    return [event.what for commit in await told(store) for event in commit if event.job == job.id]


def assert_lawful(commits: Iterable[Iterable[Event]]) -> None:
    """Check the events of whole lives: versions 1, 2, 3 … without a gap, each edge legal and fitting the one before.

    Notes come while their attempt runs, in the order of their numbers.
    """
    last: dict[str, Event] = {}
    noted: dict[str, int] = {}
    for event in (event for commit in commits for event in commit):
        before = last.get(event.job)
        if event.note:
            assert before is not None, event
            assert (event.version, event.state, before.state) == (before.version, State.RUNNING, State.RUNNING), event
            assert event.note > noted.get(event.job, 0), event
            noted[event.job] = event.note
            continue
        noted.pop(event.job, None)
        assert event.version == (before.version + 1 if before else 1), event
        assert (event.previous_state is None) == (before is None), event
        if before is not None:
            assert event.previous_state is not None
            if event.what == "changed":
                waits = {State.READY, State.SCHEDULED}
                assert event.state == event.previous_state or {event.state, event.previous_state} == waits, event
            elif event.what == "deleted":
                assert event.state == event.previous_state in FINAL, event
            else:
                assert event.state in TRANSITIONS[State(event.previous_state)], event
            if event.previous_state != before.state:  # the clock's own move is not told
                assert (before.state, event.previous_state) == (State.SCHEDULED, State.READY), event
        last[event.job] = event


def methods() -> set[str]:
    """Return the names of the store's async methods: all that its contract has."""
    names = {name for part in Store.__mro__ for name in vars(part) if not name.startswith("_")}
    return names - {"name", "writers", "now_us", "on_events", "on_tally", "use"}
