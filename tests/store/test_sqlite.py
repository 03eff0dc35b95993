"""What only the SQLite store can get into: files that are not ours, other processes, a full disk, a lock that stays."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.store.backends import (
    SECOND,
    START,
    SqliteBackend,
    join,
    new_id,
    new_job,
    put,
    put_final,
    put_one,
    put_running,
    start,
    told,
)
from tickr.errors import ConfigError, SchemaMismatch, StoreError, StoreUnavailable
from tickr.jobs import State
from tickr.store import sqlite_file, sqlite_lists, sqlite_reads, sqlite_retention
from tickr.store.claimant import Claimant
from tickr.store.contract import Filter, Page
from tickr.store.migrate import migrations
from tickr.store.sqlite import SqliteStore, open_sqlite


@pytest.fixture
def place(tmp_path: Path) -> SqliteBackend:
    return SqliteBackend(tmp_path / "tickr.db")


async def open_and_close(where: str | Path) -> None:
    async with open_sqlite(where) as store:
        await store.ping()


# -- files ----------------------------------------------------------------------------------------------------------


async def test_a_relative_url_is_a_path_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    await open_and_close("sqlite:///here.db")
    await open_and_close(f"sqlite:///{tmp_path}/with space %20?#.db")
    assert sorted(os.listdir(tmp_path)) == ["here.db", "with space %20?#.db"]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite::memory:", "sqlite:x.db"])
async def test_a_url_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="names no file"):
        await open_and_close(url)


async def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        await open_and_close(tmp_path / "missing" / "tickr.db")


async def test_a_folder_is_not_a_database(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        await open_and_close(tmp_path)


async def test_what_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam, " * 100)
    with pytest.raises(SchemaMismatch, match="not a SQLite database"):
        await open_and_close(path)
    assert path.read_text() == "Dear Sir or Madam, " * 100


async def test_another_programs_database_is_left_as_it_is(place: SqliteBackend) -> None:
    place.execute("CREATE TABLE recipes (name TEXT)")
    before = place.path.read_bytes()
    with pytest.raises(SchemaMismatch, match="recipes"):
        await open_and_close(place.path)
    assert place.path.read_bytes() == before


async def test_a_damaged_file_is_said(place: SqliteBackend) -> None:
    async with place.open() as store:
        await put(store, *(new_job(payload='"' + "x" * 3000 + '"') for _ in range(200)))
    with place.path.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(place.path.stat().st_size - 8192))
    with pytest.raises(StoreError, match=r"damaged|does not have the tables"):
        async with place.open() as store:
            await store.list_jobs(Filter(), limit=200)


async def test_a_file_moved_away_is_noticed(place: SqliteBackend) -> None:
    async with place.open() as store:
        await store.ping()
        shutil.move(place.path, place.path.with_name("elsewhere.db"))
        with pytest.raises(StoreUnavailable, match="moved or deleted"):
            await store.ping()
        assert [check.name for check in await store.diagnose() if check.level == "fail"] == ["file"]


async def test_the_file_is_whole_when_the_store_is_closed(place: SqliteBackend) -> None:
    async with place.open() as store:
        await put_one(store)
    assert [path.name for path in place.path.parent.iterdir()] == ["tickr.db"]  # the log has been folded in


# -- schema ---------------------------------------------------------------------------------------------------------


async def test_a_newer_schema_is_refused_and_left_alone(place: SqliteBackend) -> None:
    await open_and_close(place.path)
    place.execute("INSERT INTO schema_version VALUES (999, 'future', 0)")
    known = migrations("sqlite")[-1].version
    for migrate in (False, True):
        with pytest.raises(SchemaMismatch, match=f"at schema 999, this program knows {known}:"):
            async with place.open(migrate=migrate):
                pass


async def test_an_empty_file_gets_its_tables(place: SqliteBackend) -> None:
    place.path.touch()
    async with place.open() as store:
        await put_one(store)


async def test_many_may_open_a_new_file_at_once(place: SqliteBackend) -> None:
    async def opener() -> None:
        async with place.open() as store:
            await put_one(store)

    async with trio.open_nursery() as nursery:
        for _ in range(12):
            nursery.start_soon(opener)
    async with place.open() as store:
        assert len(await told(store)) == 12


# -- other processes, and trouble on the way --------------------------------------------------------------------------


async def test_two_stores_on_one_file_see_each_other(place: SqliteBackend) -> None:
    async with place.open() as here, place.open() as there:
        job = await put_one(here)
        assert await there.get(job.id) == job
        await join(here, "n1", "n2")
        (running,) = await there.claim([job.id], node="n2", types=["mail"])
        assert await here.claim([job.id], node="n1", types=["mail"]) == []
        assert await here.get(job.id) == running


async def test_a_lock_that_stays_is_an_outage_and_not_a_hang(
    place: SqliteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_MS", 50)
    async with place.open() as store:
        job = await put_one(store)
        other = sqlite3.connect(place.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="another process") as caught:
            await store.cancel(job.id)
        assert not caught.value.outcome_unknown
        assert await store.get(job.id) == job  # reads wait for no writer
        other.execute("ROLLBACK")
        other.close()
        assert (await store.cancel(job.id)).version == 2


async def test_a_full_disk_changes_nothing_and_passes(place: SqliteBackend) -> None:
    async with place.open() as store:
        assert isinstance(store, SqliteStore)
        job = await put_one(store)
        await store._file.write(lambda db: db.execute("PRAGMA max_page_count = 60").fetchall())
        new = [new_job(payload='"' + "x" * 3000 + '"') for _ in range(100)]
        with pytest.raises(StoreUnavailable, match="disk is full"):
            await store.insert(new)
        assert (await store.list_jobs(Filter(), limit=10)).jobs == [job]
        assert len(await told(store)) == 1
        (running,) = await start(store, job)
        assert running.version == 2
        await store._file.write(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchall())
        assert all(created for _, created in await store.insert(new))


async def test_the_ping_notices_that_nothing_can_be_written(place: SqliteBackend) -> None:
    async with place.open() as store:
        assert isinstance(store, SqliteStore)
        await store.ping()
        await store._file.write(lambda db: db.execute("PRAGMA query_only = ON").fetchall())
        with pytest.raises(StoreUnavailable):
            await put_one(store)
        for _ in range(2):
            with pytest.raises(StoreUnavailable) as caught:
                await store.ping()
            assert caught.value.reason == "it cannot be written"
        store._file._writer.execute("PRAGMA query_only = OFF")
        await store.ping()  # by writing: nobody else may be there to try
        assert not store._file.last_write_failed


async def test_one_who_waits_for_his_turn_may_leave(place: SqliteBackend) -> None:
    async with place.open() as store:
        assert isinstance(store, SqliteStore)
        begun, go_on = threading.Event(), threading.Event()

        def slow(db: sqlite3.Connection) -> str:
            begun.set()
            assert go_on.wait(10)
            db.execute("INSERT INTO meta VALUES ('slow', 'stored')")
            return "answer"

        answers: list[str] = []

        async def in_the_thread() -> None:
            with scope:
                answers.append(await store._file.write(slow))

        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_the_thread)
            await trio.to_thread.run_sync(begun.wait, 10)
            with trio.CancelScope() as waiting:
                nursery.start_soon(cancel_when_all_wait, waiting)
                await store.insert([new_job()])
            assert waiting.cancelled_caught
            scope.cancel()  # too late for this one: it is in its thread and will stand
            await trio.lowlevel.checkpoint()
            assert answers == []
            go_on.set()
        assert answers == ["answer"]
        assert (await store.list_jobs(Filter(), limit=10)).jobs == []
        query = "SELECT value FROM meta WHERE name = 'slow'"
        assert await store._file.read(lambda db: db.execute(query).fetchall()) == [("stored",)]


async def cancel_when_all_wait(scope: trio.CancelScope) -> None:
    await wait_all_tasks_blocked()
    scope.cancel()


async def test_a_closed_store_says_so(place: SqliteBackend) -> None:
    async with place.open() as store:
        pass
    for call in (store.ping, lambda: store.insert([new_job()])):
        with pytest.raises(StoreUnavailable, match="closed"):
            await call()


async def test_a_bug_is_not_dressed_up_as_an_outage(place: SqliteBackend) -> None:
    async with place.open() as store:
        assert isinstance(store, SqliteStore)
        for broken in ("INSERT INTO meta VALUES ('x', NULL)", "INSERT INTO meta VALUES ('x', ?)"):
            with pytest.raises(StoreError, match="SQLite refused") as caught:
                await store._file.write(
                    lambda db, sql=broken: (db.execute("INSERT INTO meta VALUES ('a', 'b')"), db.execute(sql))
                )
            assert not isinstance(caught.value, StoreUnavailable)
            assert isinstance(caught.value.__cause__, sqlite3.IntegrityError | sqlite3.ProgrammingError)
        with pytest.raises(ZeroDivisionError):
            await store._file.write(lambda db: (db.execute("INSERT INTO meta VALUES ('x', 'y')"), 1 / 0))
        assert await store.epoch("e") == "e"
        names = await store._file.read(lambda db: db.execute("SELECT name FROM meta ORDER BY name").fetchall())
        assert names == [("epoch",), ("history",)]


async def test_a_move_that_does_not_take_is_rolled_back(place: SqliteBackend) -> None:
    async with place.open() as store:
        job = await put_one(store)
        place.execute("CREATE TRIGGER stuck BEFORE UPDATE ON jobs BEGIN SELECT RAISE(IGNORE); END")
        with pytest.raises(StoreError, match="only 0 of 1 jobs"):
            await store.cancel(job.id)
        place.execute("DROP TRIGGER stuck")
        place.execute("CREATE TRIGGER broken BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no'); END")
        with pytest.raises(StoreError, match=r"SQLite refused.*no"):
            await store.cancel(job.id)
        assert await store.get(job.id) == job
        place.execute("DROP TRIGGER broken")
        assert (await store.cancel(job.id)).state is State.CANCELLED


# -- lists ------------------------------------------------------------------------------------------------------------


async def test_a_list_that_takes_too_long_is_ended_and_says_so(
    place: SqliteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "STEPS_A_LOOK", 100)
    async with place.open() as store:
        await put(store, *(new_job() for _ in range(500)))
        monkeypatch.setattr(sqlite_file, "LIST_S", -1.0)
        for call in (lambda: store.list_jobs(Filter(labels=(("a", "b"),)), limit=5), store.queues):
            with pytest.raises(StoreUnavailable, match="took too long; narrow it"):
                await call()
        monkeypatch.undo()
        assert (await store.list_jobs(Filter(labels=(("a", "b"),)), limit=5)).jobs == []
        assert len(await store.queues()) == 1


async def test_lists_make_no_short_question_wait(place: SqliteBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place.open() as store:
        assert isinstance(store, SqliteStore)
        job = await put_one(store)
        begun, go_on = threading.Semaphore(0), threading.Event()

        def slow(db: sqlite3.Connection) -> None:
            begun.release()
            assert go_on.wait(10)

        async with trio.open_nursery() as nursery:
            for _ in range(sqlite_file.LIST_READERS):
                nursery.start_soon(store._file.read_long, slow)
                await trio.to_thread.run_sync(begun.acquire)
            with trio.fail_after(5):
                assert await store.get(job.id) == job
                assert [entry.id for entry in await store.due(5)] == [job.id]
                assert await store.still_waiting([job.id]) == [job]
                await store.ping()
            monkeypatch.setattr(sqlite_file, "LIST_TURN_S", 0.05)
            with pytest.raises(StoreUnavailable, match="too many long lists"):
                await store.list_jobs(Filter(), limit=1)
            go_on.set()


async def test_a_write_costs_one_sync_of_the_log(place: SqliteBackend) -> None:
    async with place.open() as store:
        assert isinstance(store, SqliteStore)
        settings = await store._file.write(
            lambda db: [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
        )
        assert settings == ["wal", 2]


QUESTIONS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "one to claim": lambda db: sqlite_reads.claimable_ids(db, 1, Claimant("n", ["mail"], 3), START + SECOND),
    "the best of each queue": lambda db: sqlite_reads.due(db, 1, START + SECOND),
    "a page of the scan": lambda db: sqlite_reads.waiting_after(db, None, 5),
    "some by id": lambda db: sqlite_reads.jobs_by_id(db, [new_id() for _ in range(5)]),
    "the newest": lambda db: listed(db, Filter()),
    "the newest that wait": lambda db: listed(db, Filter(states=(State.READY,))),
    "the newest of a queue": lambda db: listed(db, Filter(queues=("a",))),
    "the failed, of which there are few": lambda db: listed(db, Filter(states=(State.FAILED,))),
    "those of a type that there is not": lambda db: listed(db, Filter(types=("none",))),
    "how deep the queues are": lambda db: sqlite_reads.depths(db, 50, START + SECOND),
    "what is old enough to go": lambda db: sqlite_retention.look(db, State.FAILED, START + SECOND, 5, None),
    "what is lost": lambda db: sqlite_reads.lost(db, 5),
}


@pytest.mark.parametrize("question", QUESTIONS)
async def test_what_is_asked_often_costs_the_same_however_many_jobs_wait(
    place: SqliteBackend, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_lists, "FEW", 50)
    async with place.open() as store:
        assert isinstance(store, SqliteStore)
        await put_final(store, State.FAILED)
        await put_running(store)
        costs = []
        for _ in range(2):
            for queue in ("a", "b", "c"):
                await put(store, *(new_job(queue=queue, priority=number % 2) for number in range(700)))
            costs.append(await store._file.read(lambda db: steps_taken(db, QUESTIONS[question])))
    # 2,100 jobs more would be at least 6,000 steps more if walked through; some difference is the luck of random ids.
    assert costs[1] < costs[0] + 1_000


def listed(db: sqlite3.Connection, which: Filter) -> Page:
    return sqlite_lists.list_jobs(db, which, 5, None, 300, START)


def steps_taken(db: sqlite3.Connection, work: Callable[[sqlite3.Connection], object]) -> int:
    """Return how many instructions SQLite's machine takes for it."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    db.set_progress_handler(count, 1)
    work(db)
    db.set_progress_handler(None, 1)
    return steps
