"""An error that nobody foresaw, at every failpoint: whoever asked hears of it, or the node ends with it. Never half.

A node that goes on without one of its loops would answer ``/readyz`` and run nothing; so an error ends the node, and
others take its jobs over as after a kill (``test_kill_points.py``). Only where somebody waits for an answer the answer
is the error, and the node goes on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import structlog
import trio
import trio.testing

import tickr
from tests.features.conftest import Client, node
from tests.store.backends import a_node, new_id, new_job, put_running
from tests.waiting import eventually
from tickr import failpoints
from tickr.errors import Overloaded, StoreError, TickrError
from tickr.failpoints import POINTS, FailpointError, armed
from tickr.feed.selection import Selection
from tickr.handle import Handle
from tickr.jobs import NewJob
from tickr.schedule_moves import Put
from tickr.service import serve
from tickr.ticks import Timing

START_US = 1_700_000_000_000_000
LEASE_S = 15.0
Running = TypeVar("Running", Handle, Client)
SOON = tickr.Backoff("constant", base=0.1)

jobs = tickr.Jobs()


@jobs.handler("quick")
async def quick(job: tickr.Job) -> None:
    await job.log("here")


@jobs.handler("flaky", backoff=SOON)
async def flaky(job: tickr.Job) -> None:
    if job.attempt == 1:
        raise ValueError("not yet")


@jobs.handler("parent")
async def parent(job: tickr.Job) -> str:
    await job.submit("quick")
    await job.children()
    return f"at attempt {job.attempt}"


@jobs.handler("slow")
async def slow(job: tickr.Job) -> None:
    await trio.sleep_forever()


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[Any]]:
    """What is logged. Structlog would paint each traceback with all its locals, which takes seconds."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@contextmanager
def fails_once(point: str, error: Exception | None = None) -> Iterator[trio.Event]:
    """Inside the block the first who reaches ``point`` gets the error. Yields an event: somebody has."""
    struck = trio.Event()

    async def fail() -> None:
        if not struck.is_set():
            struck.set()
            raise error or FailpointError(point)

    with armed(point, fail):
        yield struck


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error]


# -- the node ends ----------------------------------------------------------------------------------------------------


async def work(handle: Handle) -> None:
    """Submit what passes most of the points, as far as the node gets."""
    with suppress(Overloaded):
        await handle.submit("quick")
        await handle.submit("flaky")
        await handle.submit("quick", delay=0.5)


async def nothing(_: Handle) -> None:
    """The point is passed at the start, or by itself."""


async def lose_lease(handle: Handle) -> None:
    await handle.store.deregister(handle.node_id)


async def have_a_schedule(handle: Handle) -> None:
    timing, job = Timing(every_us=1_000_000), NewJob(id="", type="quick")
    await handle.store.move_schedules([Put(name="s", timing=timing, job=job, given="{}")])


async def have_an_operation(handle: Handle) -> None:
    await handle.operate("cancel", all=True)


async def have_what_expires(handle: Handle) -> None:
    await handle.submit("unknown", expires_in=1)


async def have_who_waits(handle: Handle) -> None:
    first = await handle.submit("quick", delay=0.5)
    await handle.submit("quick", depends_on=[first.id])


async def have_a_silent_neighbour(handle: Handle) -> None:
    await handle.store.register(a_node(), lease_s=LEASE_S)


async def have_a_dead_neighbour(handle: Handle) -> None:
    await put_running(handle.store, node="gone")
    await handle.store.deregister("gone")


async def have_no_entry(handle: Handle) -> None:
    await trio.sleep(3)  # virtual: after the rebuild of the start, which would find it
    await handle.store.insert([new_job("quick")])


async def listen(handle: Handle) -> None:
    with suppress(TickrError):  # the node may be on its way down already
        async with handle.feed.subscribe(Selection(), after="earliest") as subscription:
            await handle.submit("quick")
            while True:
                await subscription.receive()


async def stop_at_work(handle: Handle) -> None:
    await handle.submit("slow")
    await trio.testing.wait_all_tasks_blocked()
    handle.stop()


ENDS: dict[str, Callable[[Handle], Awaitable[None]]] = {
    "lease.after_register": nothing,
    "lease.before_renew": nothing,
    "lease.after_lost": lose_lease,
    "claim.after_pop": work,
    "claim.after_commit": work,
    "run.before_handler": work,
    "run.after_handler": work,
    "outcomes.before_store": work,
    "outcomes.after_commit": work,
    "outcomes.after_announce": work,
    "notes.before_store": work,
    "promote.before": nothing,
    "promote.after": work,
    "schedule.before_fire": have_a_schedule,
    "schedule.after_fire": have_a_schedule,
    "operation.before_step": have_an_operation,
    "operation.after_step": have_an_operation,
    "reap.after_expire": have_a_silent_neighbour,
    "reap.after_commit": have_a_dead_neighbour,
    "expire.after_commit": have_what_expires,
    "links.after_commit": have_who_waits,
    "audit.before_put_back": have_no_entry,
    "rebuild.after_mark": nothing,
    "rebuild.after_page": nothing,
    "rebuild.before_epoch": nothing,
    "retention.after_number": nothing,
    "retention.after_prune": work,
    "statistics.after_commit": work,
    "feed.before_tell": listen,
    "stop.draining": stop_at_work,
    "stop.before_hand_back": stop_at_work,
    "stop.before_release": stop_at_work,
    "stop.after_release": stop_at_work,
}

ANSWERED = ["intake.before_store", "intake.after_commit", "intake.after_announce", "announce.after_index"]
"""Passed on the way of a submission, which is answered with the error."""
ANSWERED_OVER_HTTP = ["intake.after_cancel", "api.before_answer"]
IN_A_HANDLER = ["children.after_commit"]
ON_A_DATABASE = ["inbox.after_submit", "statistics.before_commit"]
ON_MYSQL = ["store.before_commit", "store.after_commit", "feed.before_number", "feed.after_number"]


def test_every_point_is_tried() -> None:
    assert {*ENDS, *ANSWERED, *ANSWERED_OVER_HTTP, *IN_A_HANDLER, *ON_A_DATABASE, *ON_MYSQL} == set(POINTS)


@asynccontextmanager
async def virtual_node(**settings: Any) -> AsyncIterator[Handle]:
    """Run a node whose clocks are trio's: without threads and sockets."""

    def clock() -> int:
        return START_US + round(trio.current_time() * 1_000_000)

    defaults = {"store": "memory:", "index": "heap:", "roles": "scheduler,worker", "lease": LEASE_S, "grace": 1}
    async with trio.open_nursery() as nursery:
        handle = await nursery.start(partial(serve, jobs, clock=clock, **defaults | settings))
        yield handle
        handle.stop()


@pytest.mark.parametrize("point", ENDS)
async def test_an_error_in_a_duty_ends_the_node_with_it(point: str, autojump_clock: trio.testing.MockClock) -> None:
    ended = await end_of(virtual_node(events_keep=1), point, ENDS[point])
    assert [(type(leaf), *leaf.args) for leaf in ended] == [(FailpointError, point)]


@pytest.mark.parametrize("point", IN_A_HANDLER)
async def test_an_error_in_a_handler_is_the_error_of_its_attempt(
    point: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with virtual_node() as handle:
        with fails_once(point) as struck:
            job = await handle.submit("parent", backoff={"kind": "constant", "base": 0.1})

            async def has_ended() -> bool:
                found = await handle.get(job.id)
                return found is not None and found.state == "succeeded"

            await eventually(has_ended)
        assert struck.is_set()
        ended = await handle.get(job.id)
        assert ended is not None
        assert ended.result == '"at attempt 2"'
        assert len(await handle.store.children([job.id])) == 1


async def test_an_error_with_the_inbox_ends_the_node_with_it(tmp_path: Path) -> None:
    async def insert_a_row(client: Client) -> None:
        await client.handle.submit("quick")  # so that the file is there
        with closing(sqlite3.connect(tmp_path / "tickr.db")) as db, db:
            db.execute("INSERT INTO inbox (job) VALUES (?)", [tickr.inbox_row("quick")])

    ended = await end_of(node(jobs, store=f"sqlite:///{tmp_path}/tickr.db"), "inbox.after_submit", insert_a_row)
    assert [(type(leaf), *leaf.args) for leaf in ended] == [(FailpointError, "inbox.after_submit")]


@pytest.mark.parametrize("point", ["feed.before_number", "feed.after_number"])
async def test_an_error_in_numbering_ends_the_node_with_it(point: str, mysql_url: str) -> None:
    async def follow(client: Client) -> None:
        await listen(client.handle)

    ended = await end_of(node(jobs, store=mysql_url), point, follow)
    assert [(type(leaf), *leaf.args) for leaf in ended] == [(FailpointError, point)]


async def end_of(
    live: AbstractAsyncContextManager[Running], point: str, provoke: Callable[[Running], Awaitable[None]]
) -> list[BaseException]:
    """Have the node that ``live`` opens come to ``point``, which raises there. Returns the errors that end it."""
    with fails_once(point) as struck:
        try:
            async with live as running:
                await provoke(running)
                with trio.move_on_after(60):
                    await trio.sleep_forever()
        except BaseExceptionGroup as group:
            assert struck.is_set()
            return leaves(group)
    raise AssertionError(f"it has not ended; {point} was reached: {struck.is_set()}")


async def test_one_of_our_errors_ends_the_node_as_itself(autojump_clock: trio.testing.MockClock) -> None:
    """The command line makes one line of it: it must be this one, not what the end of the node makes of others."""
    error = StoreError("odd")
    async with trio.open_nursery() as nursery:
        handle: Handle | None = None

        async def live(task_status: trio.TaskStatus[Handle]) -> None:
            with pytest.raises(StoreError) as ended:
                await serve(jobs, store="memory:", roles="scheduler,worker", task_status=task_status)
            assert ended.value is error

        handle = await nursery.start(live)
        await handle.submit("slow")
        await trio.testing.wait_all_tasks_blocked()
        with fails_once("claim.after_pop", error) as struck:
            await handle.submit("quick")
            await struck.wait()


async def test_an_attempt_that_hangs_before_its_handler_does_not_keep_the_node_from_its_end(
    lines: list[Any], autojump_clock: trio.testing.MockClock
) -> None:
    goes_on = trio.Event()
    async with virtual_node() as handle:
        with armed("run.before_handler", goes_on.wait):
            job = await handle.submit("quick")
            await trio.testing.wait_all_tasks_blocked()
            handle.stop()
            await trio.sleep(30)  # virtual
        (left,) = [line["jobs"] for line in lines if line["event"] == "node.handlers_left_behind"]
        assert left == [job.id]
        goes_on.set()


# -- whoever asked hears of it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ANSWERED)
async def test_an_error_on_the_way_of_a_submission_is_its_answer(
    point: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with virtual_node() as handle:
        job_id = new_id()
        with fails_once(point), pytest.raises(FailpointError):
            await handle.submit("quick", id=job_id)
        stored = await handle.get(job_id)
        assert (stored is None) == (point == "intake.before_store")
        assert (await handle.submit("quick", id=job_id)).id == job_id
        await until_succeeded(handle, job_id)


async def until_succeeded(handle: Handle, job_id: str) -> None:
    async def look() -> bool:
        job = await handle.get(job_id)
        return job is not None and job.state == "succeeded"

    await eventually(look)


@pytest.mark.parametrize("point", ["store.before_commit", "store.after_commit"])
async def test_an_error_round_a_commit_is_the_answer_of_whoever_asked_for_it(point: str, mysql_url: str) -> None:
    async with node(jobs, store=mysql_url, roles="api") as client:
        await answered_500_and_then_201(client, point, stored=point == "store.after_commit")


async def test_an_answer_that_cannot_leave_is_a_500() -> None:
    async with node(jobs, store="memory:") as client:
        await answered_500_and_then_201(client, "api.before_answer", stored=True)


async def answered_500_and_then_201(client: Client, point: str, *, stored: bool) -> None:
    body = {"type": "quick", "id": new_id()}
    with fails_once(point):
        assert (await client.http.post("/jobs", json=body)).status_code == 500
    assert (await client.http.post("/jobs", json=body)).status_code == (200 if stored else 201)


async def test_a_cancellation_that_fails_half_way_can_be_asked_for_again() -> None:
    async with node(jobs, store="memory:") as client:
        job = await client.post(type="quick", delay=3600)
        with fails_once("intake.after_cancel"):
            assert (await client.http.post(f"/jobs/{job['id']}/cancel")).status_code == 500
        assert (await client.http.post(f"/jobs/{job['id']}/cancel")).status_code in (200, 409)
        assert (await client.get(job["id"]))["state"] == "cancelled"


@pytest.mark.parametrize("point", ["store.before_commit", "store.after_commit"])
async def test_an_error_round_a_commit_in_a_thread_leaves_the_file_usable(point: str, tmp_path: Any) -> None:
    async with node(jobs, store=f"sqlite:///{tmp_path}/tickr.db", roles="api") as client:
        body = {"type": "quick", "id": new_id()}
        failpoints.arm(failpoints.parse(f"{point}=raise"))
        try:
            assert (await client.http.post("/jobs", json=body)).status_code == 500
        finally:
            failpoints._armed.clear()
        again = await client.http.post("/jobs", json=body)
        assert again.status_code == (200 if point == "store.after_commit" else 201)
