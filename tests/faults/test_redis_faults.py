"""Redis breaks in every way under a whole node: no submission fails, jobs go on, the index becomes whole again.

``tests/index/test_redis_faults.py`` and ``test_redis_refusals.py`` have the same faults for the index alone, and
``tests/features/test_07_failure_handling.py`` for a node without load on every store.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import outcome
import pytest
import trio

from tests.faults.at_once import play_wanted
from tests.faults.fleet import Fleet, Place, fleet
from tests.faults.history import Submission
from tests.servers import Redis, mysql_database, mysql_execute
from tests.waiting import eventually
from tickr.jobs import NewJob
from tickr.store.contract import MAX_BATCH
from tickr.store.open import open_store

pytestmark = pytest.mark.slow

FAR, FAR_S = 40, 3600
"""Jobs that are not due while all this happens; the index must have them after it."""
PER_PHASE = 15
"""Submissions answered before, during and after the fault."""
ANSWERED_WITHIN_S = 3.0
"""A Redis that does not answer is given up after 1 s; the rest is for a slow machine."""
WHOLE_WITHIN_S = 10.0
PAUSE_S = 0.02
BACKLOG = 100_000
INDEXED_WITHIN_S = 15.0
"""Three times what is promised of a machine that does nothing else: `python -m bench reindex` measures that."""
WAITING, READY, EPOCH = ("tickr:{t}:" + name for name in ("waiting", "ready:default", "epoch"))

run_sync = trio.to_thread.run_sync


# -- the faults --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def killed(redis: Redis) -> AsyncIterator[None]:
    await run_sync(redis.kill)
    yield
    await run_sync(redis.start)


@asynccontextmanager
async def frozen(redis: Redis) -> AsyncIterator[None]:
    redis.stop()
    yield
    redis.cont()


@asynccontextmanager
async def readonly(redis: Redis) -> AsyncIterator[None]:
    await run_sync(redis.readonly, True)
    yield
    await run_sync(redis.readonly, False)


@asynccontextmanager
async def full(redis: Redis) -> AsyncIterator[None]:
    await run_sync(redis.limit_memory, 1)
    yield
    await run_sync(redis.limit_memory, 0)


@asynccontextmanager
async def flushed(redis: Redis) -> AsyncIterator[None]:
    await run_sync(redis.flush)
    yield


@asynccontextmanager
async def rolled_back(redis: Redis) -> AsyncIterator[None]:
    """An old snapshot is put back: it knows jobs that are done, and not those that came since."""
    snapshot = await run_sync(redis.snapshot)
    yield
    await run_sync(redis.restore, snapshot)


Fault = Callable[[Redis], AbstractAsyncContextManager[None]]
FAULTS: list[Fault] = [killed, frozen, readonly, full, flushed, rolled_back]
NOT_NOTICED: list[Fault] = [flushed, rolled_back]


# -- what must hold in each --------------------------------------------------------------------------------------------


async def under_a_node(fault: Fault, folder: Path, store: str) -> None:
    """Submissions and jobs go on before it, while it lasts and after it."""
    over = trio.Event()
    with Redis() as redis:
        async with fleet(folder, Place(store, redis.url)) as on:
            (node,) = on.nodes
            far = [await on.submit(ends=["cancelled"], options={"delay": FAR_S}) for _ in range(FAR)]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keep_submitting, on, over)
                await some_more(on)
                async with on.broken_redis(fault.__name__), fault(redis):
                    if fault not in NOT_NOTICED:
                        await eventually(partial(says, on, "degraded"))
                    await some_more(on)
                await eventually(partial(is_whole, redis, await epoch_of(store)), within_s=WHOLE_WITHIN_S)
                await eventually(partial(says, on, "ready"))
                await some_more(on)
                over.set()
            for job_id in far:
                await on.cancel(job_id, at=node)
            await on.all_final()
            await on.verdict()
            assert not on.answers, "every answer was a 201"
            assert on.slowest_s < ANSWERED_WITHIN_S


async def keep_submitting(on: Fleet, over: trio.Event, queue: str = "default") -> None:
    while not over.is_set():
        await on.submit(options={"queue": queue})
        await trio.sleep(PAUSE_S)


async def some_more(on: Fleet) -> None:
    """Return when some more jobs have been submitted, and are done."""
    before = len(on.submissions)

    async def submitted() -> list[Submission] | None:
        more = on.submissions[before:]
        return more if len(more) >= PER_PHASE else None

    await on.marked([one.id for one in await eventually(submitted)], "done")


async def says(on: Fleet, status: str) -> bool:
    return await on.status(at=on.nodes[0]) == status


async def is_whole(redis: Redis, epoch: str) -> bool:
    """Whether the index has its identity again, and what waits."""
    with redis.client() as client:
        told, waiting = client.get(EPOCH), client.zcard(WAITING)
    return str(told).startswith(f"{epoch}@") and waiting >= FAR


async def epoch_of(store: str) -> str:
    ((epoch,),) = await run_sync(mysql_execute, store, "SELECT value FROM meta WHERE name = 'epoch'")
    return epoch


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mysql_server_url: str
) -> dict[Fault, outcome.Outcome[None]]:
    async def play(case: Fault) -> None:
        with mysql_database(mysql_server_url) as store:
            await under_a_node(case, tmp_path_factory.mktemp(case.__name__), store)

    return play_wanted(request, FAULTS, play)


@pytest.mark.parametrize("case", FAULTS, ids=lambda fault: fault.__name__)
def test_no_submission_fails_and_jobs_go_on(case: Fault, played: dict[Fault, outcome.Outcome[None]]) -> None:
    played[case].unwrap()


# -- a long line -------------------------------------------------------------------------------------------------------


async def test_a_long_line_is_indexed_again_in_seconds(tmp_path: Path, mysql_url: str, redis_server: Redis) -> None:
    async with open_store(mysql_url) as store:
        for _ in range(BACKLOG // MAX_BATCH):
            await store.insert([NewJob(id=str(uuid.uuid4()), type="nobodys") for _ in range(MAX_BATCH)])
    over = trio.Event()
    place = Place(mysql_url, redis_server.url)
    async with fleet(tmp_path, place, roles="api,scheduler") as on, trio.open_nursery() as nursery:
        nursery.start_soon(keep_submitting, on, over, "other")
        await eventually(partial(is_indexed, redis_server), within_s=60)
        before = len(on.submissions)
        await run_sync(redis_server.flush)
        began = trio.current_time()
        await eventually(partial(is_indexed, redis_server), within_s=60)
        took_s = trio.current_time() - began
        over.set()
        assert len(on.submissions) > before
        assert not on.answers
    assert took_s <= INDEXED_WITHIN_S


async def is_indexed(redis: Redis) -> bool:
    with redis.client() as client:
        return int(client.zcard(READY)) == BACKLOG
