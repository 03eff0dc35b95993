"""A database that an older program has made: refused until it is migrated, and then whole, with its jobs and log."""

from __future__ import annotations

import re
import uuid

import pytest

from tests.store.backends import (
    MANY_BYTES,
    OOPS,
    START,
    Backend,
    MysqlBackend,
    assert_lawful,
    join,
    noted,
    put_one,
    start,
    told,
)
from tests.store.keyed import put_held, put_one_keyed, requested, unique_job
from tickr import events
from tickr.errors import SchemaMismatch
from tickr.jobs import Extras, Progress, State
from tickr.reports import Outcome
from tickr.store.contract import Filter
from tickr.store.migrate import VERSION_TABLE, migrations

IDS = [str(uuid.UUID(int=number)) for number in (1, 2)]
CREATED = '["created",{0},"{1}",1,"mail","default",5,"ready",null,0,3,{0},null,null,null,null]'
STARTED = '["started",{0},"{1}",2,"mail","default",5,"running","ready",1,3,{0},null,"n1",null,null]'
"""Events as schema 1 had them: without what was added later."""


@pytest.fixture
def old(durable_backend: Backend) -> Backend:
    """A database at schema 1 with a job that waits, one that runs, and the three rows that told of them."""
    dialect = "mysql" if isinstance(durable_backend, MysqlBackend) else "sqlite"
    first = migrations(dialect)[0]
    for statement in (VERSION_TABLE, *first.statements):
        durable_backend.execute(statement)
    durable_backend.execute(f"INSERT INTO schema_version VALUES (1, '{first.name}', {START})")
    durable_backend.execute(f"INSERT INTO queues (name, created_at) VALUES ('default', {START})")
    columns = (
        "id, type, queue, priority, state, run_at, created_at, version, fence, attempt, crashes, max_attempts, "
        "timeout_us, cancel_requested, started_at, node, payload"
    )
    for id_, moved in zip(IDS, ("1, {0}, {0}, 1, 0, 0", "4, {0}, {0}, 2, 1, 1"), strict=True):
        since = "NULL, NULL" if moved.startswith("1") else f"{START}, 'n1'"
        durable_backend.execute(
            f"INSERT INTO jobs ({columns}) VALUES (x'{uuid.UUID(id_).hex}', 'mail', 'default', 5, "
            f"{moved.format(START)}, 0, 3, 3600000000, 0, {since}, '{{}}')"
        )
    for body in (*(CREATED.format(START, id_) for id_ in IDS), STARTED.format(START, IDS[1])):
        durable_backend.execute(f"INSERT INTO events (created_at, count, body) VALUES ({START}, 1, '[{body}]')")
    return durable_backend


async def test_it_is_refused_until_somebody_asks_for_the_migration(old: Backend) -> None:
    want = migrations("mysql")[-1].version
    for _ in range(2):
        with pytest.raises(SchemaMismatch, match=f"at schema 1, this program needs {want}: run `tickr migrate`"):
            async with old.open():
                pass
    async with old.open(migrate=True):
        pass
    async with old.open() as store:
        assert re.fullmatch("[0-9a-f]{12}", (await store.feed_state()).history)


async def test_its_jobs_and_its_log_go_on(old: Backend) -> None:
    async with old.open(migrate=True) as store:
        waiting, running = [job for id_ in IDS if (job := await store.get(id_)) is not None]
        assert (waiting.state, waiting.progress, running.state, running.progress) == (
            State.READY, None, State.RUNNING, None,
        )  # fmt: skip
        assert [[event.what for event in row] for row in await told(store)] == [["created"], ["created"], ["started"]]
        await join(store, "n1")
        (started,) = await start(store, waiting)
        assert await store.note([noted(job, 1, fraction=0.5) for job in (started, running)]) == 2
        shown = {job.id: job.progress for job in (await store.list_jobs(Filter(), limit=10)).jobs}
        assert shown == dict.fromkeys(IDS, Progress(0.5))
        await store.finish([Outcome(job=job, kind="failed", failure=OOPS) for job in (started, running)])
        late = await put_one(store, extras=Extras(expires_at=START))
        assert [job.id for job in (await store.end_expired(10)).jobs] == [late.id]
        assert await store.number_events() == 8
        assert (await store.feed_state())[1:] == (1, 8)
        assert_lawful(await told(store))


async def test_its_jobs_have_no_keys_and_new_ones_may(old: Backend) -> None:
    async with old.open(migrate=True) as store:
        for id_ in IDS:
            job = await store.get(id_)
            assert job is not None
            assert job.extras.unique is None
        held = await put_held(store, "k")
        assert (await put_one_keyed(store, unique_job("k")))[0] == held
        assert (await put_one_keyed(store, requested("k")))[1]


async def test_each_migrated_database_gets_a_history_of_its_own_and_keeps_it(old: Backend) -> None:
    async with old.open(migrate=True) as store:
        state = await store.feed_state()
    async with old.open(migrate=True) as store:
        assert (await store.feed_state()).history == state.history
        assert len(await store.event_rows(0, 10, MANY_BYTES)) == 3


def test_old_events_are_read_as_they_were_meant() -> None:
    (event,) = events.decode(f"[{STARTED.format(START, IDS[0])}]")
    assert (event.what, event.version, event.node, event.result_bytes, event.note) == ("started", 2, "n1", 0, 0)
