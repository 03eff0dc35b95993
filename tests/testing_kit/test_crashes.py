"""Nodes that die, as by kill -9, or stop: what was submitted is done all the same, and recorded once."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
import trio
from trio.testing import MockClock

import tickr
from tests.testing_kit.handlers import jobs
from tickr.failpoints import POINTS
from tickr.feed.feed import EARLIEST
from tickr.feed.selection import EVERYTHING
from tickr.testing import App, run, running
from tickr.testing.crashes import NOT_HERE

# -- at each failpoint ------------------------------------------------------------------------------------------------

work = tickr.Jobs()


@work.handler("work")
async def do_work(job: tickr.Job, seconds: float, fails: bool = False) -> str:
    await job.log("at it")
    await trio.sleep(seconds)
    if fails and job.attempt == 1:
        raise ValueError("not the first time")
    return "done"


async def live_through_everything(app: App) -> None:
    """Do all that leads past a failpoint."""
    await app.submit("work", {"seconds": 3, "fails": True}, delay=5)
    await app.cancel(await app.submit("work", {"seconds": 1}, delay=3600))
    await app.drained()
    for elsewhere in (False, True):
        await app.submit("work", {"seconds": 60})
        await app.advance(10)
        await app.crash(elsewhere=elsewhere)
        await app.drained()
    await app.submit("work", {"seconds": 60})
    await app.advance(10)
    await app.restart()
    await app.drained()
    await app.advance(timedelta(days=6))  # the events are too old by then


OTHERS = {
    *("feed.before_tell", "expire.after_commit", "schedule.before_fire", "schedule.after_fire"),
    *("operation.before_step", "operation.after_step"),
    *("children.after_commit", "links.after_commit"),
}
"""Reached by who listens, by jobs that expire, by schedules, operations and families: not in the life above."""


@pytest.mark.parametrize("point", sorted(POINTS.keys() - NOT_HERE.keys() - OTHERS))
async def test_a_crash_at_a_failpoint_loses_nothing(point: str, autojump_clock: MockClock) -> None:
    async with running(work, lease="1h", grace=5, events_keep="1d") as app:
        app.crash_at(point)
        await live_through_everything(app)
        assert [job.state for job in app.jobs()] == ["succeeded", "cancelled", "succeeded", "succeeded", "succeeded"]
        for job in app.jobs():
            ends = Counter(event.what for event in job.events)
            assert ends["succeeded"] + ends["cancelled"] == 1
            changes = [event for event in job.events if event.what not in ("progress", "log")]
            assert [event.version for event in changes] == list(range(1, len(changes) + 1))


async def test_a_crash_while_events_are_told_loses_nothing(autojump_clock: MockClock) -> None:
    async with running(work) as app, trio.open_nursery() as nursery:
        nursery.start_soon(listen, app)
        app.crash_at("feed.before_tell")
        job = await app.submit("work", {"seconds": 3, "fails": True}, delay=5)
        assert await app.result(job) == "done"
        nursery.cancel_scope.cancel()


async def test_a_crash_while_a_job_expires_loses_nothing(autojump_clock: MockClock) -> None:
    async with running(work, lease="1h", workers=1) as app:
        app.crash_at("expire.after_commit")
        first = await app.submit("work", {"seconds": 60})
        late = await app.submit("work", {"seconds": 1}, expires_in=30)
        await app.drained()
        assert (app.job(first).state, app.job(late).state) == ("succeeded", "cancelled")
        assert app.job(late).events[-1].time < app.job(first).events[-1].time


@pytest.mark.parametrize("point", ["operation.before_step", "operation.after_step"])
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_crash_in_an_operation_loses_and_doubles_nothing(
    point: str, elsewhere: bool, autojump_clock: MockClock
) -> None:
    async with running(work, lease="1h", workers=5) as app:
        for _ in range(30):
            await app.submit("work", {"seconds": "many"}, max_attempts=1)
        await app.drained()
        app.crash_at(point, 3, elsewhere=elsewhere)
        done = await app.operate("retry", filter={"type": "work"}, changes={"payload": {"seconds": 1}}, rate=20)
        assert (done.state, done.done, done.skipped, done.total) == ("done", 30, 0, 30)
        await app.drained()
        assert {job.state for job in app.jobs()} == {"succeeded"}
        for job in app.jobs():
            assert Counter(event.what for event in job.events)["redriven"] == 1


async def listen(app: App) -> None:
    """Follow the feed of the node that there is."""
    async with app.handle.feed.subscribe(EVERYTHING, after=EARLIEST) as subscription:
        while True:
            await subscription.receive()


# -- which one --------------------------------------------------------------------------------------------------------


@running(jobs)
async def test_a_handler_that_ended_runs_again_if_nobody_heard_of_it(app: App) -> None:
    app.crash_at("run.after_handler")
    job = await app.submit("double", {"number": 4})
    assert await app.result(job) == 8
    assert [(run.attempt, run.fence, run.outcome) for run in app.runs("double")] == [
        (1, 1, "released"),
        (1, 2, "succeeded"),
    ]
    assert app.job(job).crashes == 1
    assert app.job(job).timeline == (
        "created 00:00:00, started 00:00:00, released 00:00:01 (lease_lost: The node that ran it was lost.), "
        "started 00:00:01, succeeded 00:00:01"
    )


@running(jobs)
async def test_what_was_claimed_and_not_begun_was_no_run(app: App) -> None:
    app.crash_at("claim.after_commit")
    await app.submit("double", {"number": 4}, delay=1)
    await app.drained()
    assert [event.what for event in app.events].count("started") == 2
    assert len(app.runs("double")) == 1


@running(jobs)
async def test_the_nth_time_counts_from_now(app: App) -> None:
    await app.submit("double", {"number": 0})
    await app.idle()
    app.crash_at("run.before_handler", 2)
    app.crash_at("run.before_handler", nth=4)
    for number in range(1, 5):
        await app.submit("double", {"number": number})
        await app.idle()
    assert [job.crashes for job in app.jobs()] == [0, 0, 1, 1, 0], "the second start, and the fourth of all since"


@running(jobs)
async def test_a_job_that_kills_its_node_three_times_is_set_aside(app: App) -> None:
    for nth in (1, 2, 3):
        app.crash_at("run.before_handler", nth)
    job = await app.submit("double", {"number": 1})
    await app.drained()
    assert app.job(job).state == "failed"
    assert app.job(job).error.kind == "crashed"


@running(jobs, lease=15)
async def test_a_node_elsewhere_has_to_wait_for_the_lease(app: App) -> None:
    app.crash_at("run.before_handler", elsewhere=True)
    job = await app.submit("double", {"number": 1}, delay=2)
    await app.drained()
    started = [event.time - app.job(job).run_at for event in app.job(job).events if event.what == "started"]
    assert started[0] == timedelta(0)
    assert timedelta(seconds=10) <= started[1] <= timedelta(seconds=17)


@pytest.mark.parametrize(
    ("point", "told"),
    [
        ("run.afterhandler", 'There is no failpoint "run.afterhandler". Did you mean "run.after_handler"?'),
        ("", 'There is no failpoint "".'),
        ("api.before_answer", "api.before_answer is not reached here: there is no HTTP"),
    ],
)
@running(jobs)
async def test_names_that_are_none(point: str, told: str, app: App) -> None:
    with pytest.raises(ValueError) as refused:
        app.crash_at(point)
    assert str(refused.value).startswith(told)
    with pytest.raises(ValueError, match="at the nth time, 1 or more, not at 0"):
        app.crash_at("run.after_handler", 0)


def test_a_crash_that_does_not_come_fails_the_test() -> None:
    async def scenario(app: App) -> None:
        app.crash_at("run.after_handler", 2)
        app.crash_at("reap.after_expire")
        await app.submit("double", {"number": 1})
        await app.drained()

    with pytest.raises(AssertionError) as failed:
        run(jobs, scenario)
    assert str(failed.value) == (
        'No node died where the test wanted it: crash_at("run.after_handler", 2) was reached once; '
        'crash_at("reap.after_expire") was never reached.'
    )


# -- dead is dead -----------------------------------------------------------------------------------------------------


async def test_nothing_of_a_dead_node_is_recorded(autojump_clock: MockClock) -> None:
    """A handler that comes back with a success when it is cancelled has succeeded; from the dead it has not."""
    own = tickr.Jobs()
    app: App

    @own.handler("haunt")
    async def haunt(job: tickr.Job) -> str:
        try:
            await trio.sleep(100 if job.fence == 1 else 1)  # virtual
        finally:
            with trio.move_on_after(50, shield=True):
                await job.progress(0.5, "from the dead" if job.fence == 1 else "from the living")
                await trio.sleep(2)  # virtual
        return "done"

    @own.handler("return")
    async def come_back(job: tickr.Job) -> str:
        try:
            await trio.sleep(100 if job.fence == 1 else 1)  # virtual
        except trio.Cancelled:
            return "from the dead"
        return "from the living"

    async with running(own) as app:
        submitted = [await app.submit("haunt"), await app.submit("return")]
        await app.advance(10)
        before = len(app.events)
        await app.crash()
        assert [event.what for event in app.events[before:]] == ["released", "released", "started", "started"]
        assert await app.result(submitted[1]) == "from the living"
        assert await app.result(submitted[0]) == "done"
        said = {event.message for event in app.events if event.what == "progress"}
        assert said == {"from the living"}


async def test_what_a_dead_node_asks_of_the_store_does_not_get_there(autojump_clock: MockClock) -> None:
    """Its handlers may go on for a while, in a shield, and hold on to its handle."""
    own = tickr.Jobs()

    @own.handler("meddle")
    async def meddle(job: tickr.Job, victim: str) -> None:
        handle = app.handle
        try:
            await trio.sleep(100)  # virtual
        finally:
            with trio.move_on_after(50, shield=True):
                await handle.cancel(victim)

    async with running(own) as app:
        victim = await app.submit("nobody", delay=3600)
        meddler = await app.submit("meddle", {"victim": victim.id})
        await app.advance(10)
        await app.crash()
        assert app.now - app.events[0].time == timedelta(seconds=10 + 50 + 1)
        assert app.job(victim).state == "scheduled"
        await app.result(meddler)
        assert app.job(victim).state == "cancelled", "the living one does it"


async def test_the_next_node_begins_when_the_threads_of_the_dead_one_have_ended(autojump_clock: MockClock) -> None:
    """A thread cannot be killed: it is as if it had got so far before the kill, and never runs beside its successor."""
    own = tickr.Jobs()
    inside: list[int] = []
    most: list[int] = []

    @own.handler("write")
    def write(job: tickr.Job) -> None:
        inside.append(job.fence)
        most.append(len(inside))
        trio.from_thread.run_sync(began.set)
        for _ in range(200):
            trio.from_thread.run_sync(lambda: None)
        inside.pop()

    async with running(own) as app:
        began = trio.Event()
        job = await app.submit("write")
        await began.wait()
        began = trio.Event()
        await app.crash()
        await app.drained()
        assert most == [1, 1]
        assert [run.outcome for run in app.runs()] == ["released", "succeeded"]
        assert app.job(job).crashes == 1


@running(jobs)
async def test_what_a_test_asks_while_no_node_lives_waits_for_the_next(app: App) -> None:
    first = app.handle
    app.crash_at("intake.before_store")
    job = await app.submit("rest")
    assert app.job(job).timeline == "created 00:00:01, started 00:00:01"
    assert app.handle is not first
    app.crash_at("intake.after_commit")
    again = await app.submit("double", {"number": 1})
    assert len(app.jobs(type="double")) == 1, "it was stored; the client asked again, by the same id"
    assert await app.result(again) == 2


@running(jobs)
async def test_there_is_no_handle_while_no_node_lives(app: App) -> None:
    app.crash_at("run.before_handler")
    await app.submit("double", {"number": 1}, delay=1)
    await trio.sleep(1.5)  # virtual
    with pytest.raises(RuntimeError, match="No node serves at the moment"):
        _ = app.handle
    await app.idle()
    assert app.handle.node_id


# -- a stop in peace --------------------------------------------------------------------------------------------------


@running(jobs, grace=30)
async def test_a_node_that_stops_lets_jobs_finish_or_hands_them_back(app: App) -> None:
    quick, slow = await app.submit("rest", {"seconds": 20}), await app.submit("rest", {"seconds": 3000})
    await app.advance(10)
    before, node = app.now, app.handle.node_id
    await app.restart()
    assert app.now - before == timedelta(seconds=31)
    assert app.handle.node_id != node
    assert app.job(quick).state == "succeeded"
    assert app.job(slow).state == "running"
    await app.drained()
    assert app.job(slow).crashes == 0
    assert [(run.attempt, run.outcome) for run in app.runs() if run.job == slow.id] == [
        (1, "released"),
        (1, "succeeded"),
    ]
    assert app.job(slow).attempts[0].error.kind == "shutdown"


@running(jobs, grace=5)
async def test_a_node_may_die_while_it_stops(app: App) -> None:
    app.crash_at("stop.before_hand_back")
    job = await app.submit("rest", {"seconds": 60})
    await app.advance(10)
    await app.restart()
    assert await app.result(job) == "rested at attempt 1"
    assert app.job(job).crashes == 1
