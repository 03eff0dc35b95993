"""What remote workers report and hear, on every store: the fence decides, and a report that is repeated is harmless."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.store.backends import SteppedClock, put_one
from tickr.announce import Announcer
from tickr.bell import LocalBell
from tickr.errors import LeaseLost
from tickr.events import Event, decode
from tickr.index.contract import Lane
from tickr.index.heap import open_heap
from tickr.jobs import Failure, Job, State
from tickr.remote.beats import PATIENCE_US, Beats, Held, Stop
from tickr.remote.leases import ROLE
from tickr.remote.settle import Report, Settled, Settler
from tickr.retry import Backoff
from tickr.store.contract import Node, Store

LEASE, OTHER = "0197a2c4-5b7e-7c3a-9f00-00000000000a", "0197a2c4-5b7e-7c3a-9f00-00000000000b"
OOPS = Failure("exception", "It did not work.")
SECOND = 1_000_000


class Desk:
    """The parts of ``tickr.remote`` without polls, on one store."""

    def __init__(self, store: Store, index: Any) -> None:
        self.store = store
        self.index = index
        bell = LocalBell()
        announcer = Announcer(store, index, bell)
        self.settler = Settler(store, index, bell, announcer, max_result_bytes=100, chance=lambda: 0.5)
        self.beats = Beats(store, self.settler, lease_s=15)

    async def claimed(self, lease: str = LEASE, **fields: Any) -> Job:
        """Return a new job that ``lease`` has claimed."""
        job = await put_one(self.store, **fields)
        return await self.claim(job, lease)

    async def claim(self, job: Job, lease: str = LEASE) -> Job:
        await self.store.register(
            Node(id=lease, host="far", pid=0, version="0", roles=(ROLE,), types=("mail",)), lease_s=15
        )
        (claimed,) = await self.store.claim([job.id], node=lease, types=["mail"])
        return claimed

    async def settle(
        self, job: Job, how: Any, result: str | None = None, *, lease: str = LEASE, **more: Any
    ) -> tuple[str, str | None]:
        (settled,) = await self.settler.settle(lease, [report(job, how, result, **more)])
        assert settled[:2] == (job.id, job.fence)
        return settled.status, settled.outcome

    async def get(self, job: Job) -> Job:
        found = await self.store.get(job.id)
        assert found is not None
        return found


def report(job: Job, how: Any, result: str | None = None, **more: Any) -> Report:
    if how in ("retry", "give_up"):
        more.setdefault("failure", OOPS)
    return Report(job.id, job.fence, how, result, **more)


@pytest.fixture
async def desk(store: Store) -> AsyncIterator[Desk]:
    async with open_heap() as index:
        yield Desk(store, index)


async def test_a_success_is_stored_with_its_result_as_it_was_given(desk: Desk) -> None:
    job = await desk.claimed()
    assert await desk.settle(job, "succeeded", '{"a": 1.00}') == ("done", "succeeded")
    after = await desk.get(job)
    assert (after.state, after.result, after.version) == (State.SUCCEEDED, '{"a": 1.00}', 3)


async def test_a_failure_is_tried_again_by_its_back_off_or_when_its_worker_says(
    desk: Desk, clock: SteppedClock
) -> None:
    backoff = Backoff(kind="constant", base=10, jitter=0)
    by_itself, asked = [await desk.claimed(backoff=backoff) for _ in range(2)]
    assert await desk.settle(by_itself, "retry") == ("done", "retrying")
    assert await desk.settle(asked, "retry", delay_s=2.5) == ("done", "retrying")
    assert (await desk.get(by_itself)).run_at == clock() + 10 * SECOND
    assert (await desk.get(asked)).run_at == clock() + 2.5 * SECOND
    assert (await desk.get(asked)).error == OOPS
    assert await desk.index.missing([(await desk.get(asked)).entry()]) == []


async def test_the_last_failure_and_a_give_up_are_final(desk: Desk) -> None:
    last, given_up = await desk.claimed(max_attempts=1), await desk.claimed()
    assert await desk.settle(last, "retry") == ("done", "failed")
    assert await desk.settle(given_up, "give_up") == ("done", "failed")
    assert [(await desk.get(job)).state for job in (last, given_up)] == [State.FAILED] * 2


async def test_a_hand_back_costs_nothing(desk: Desk) -> None:
    job = await desk.claimed()
    assert await desk.settle(job, "hand_back") == ("done", "released")
    back = await desk.get(job)
    assert (back.state, back.attempt, back.crashes) == (State.READY, 0, 0)


@pytest.mark.parametrize(
    ("how", "more", "outcome"),
    [
        ("succeeded", {"result": "1"}, "succeeded"),
        ("succeeded", {"result": '"' + 100 * "x" + '"'}, "failed"),  # too long to be kept
        ("retry", {}, "retrying"),
        ("give_up", {}, "failed"),
        ("hand_back", {}, "released"),
        ("drop", {}, "cancelled"),
        ("snooze", {"delay_s": 60.0}, "released"),
    ],
)
@pytest.mark.parametrize("then", ["at once", "run again", "redriven"])
async def test_a_report_that_is_repeated_is_answered_as_the_first_time(
    desk: Desk, clock: SteppedClock, how: str, more: dict[str, Any], outcome: str, then: str
) -> None:
    job = await desk.claimed()
    assert await desk.settle(job, how, **more) == ("done", outcome)
    if then == "redriven" and outcome in ("succeeded", "failed"):
        await desk.store.redrive(job.id)
    if then == "run again" and outcome in ("retrying", "released"):
        clock.advance(100)
        await desk.claim(job, OTHER)
    before = await desk.get(job)
    assert await desk.settle(job, how, **more) == ("done", outcome)
    assert await desk.get(job) == before


async def test_an_old_fence_changes_nothing(desk: Desk) -> None:
    job = await desk.claimed()
    await desk.store.deregister(LEASE)
    assert [one.id for one in await desk.store.reap(10)] == [job.id]
    for how in ("succeeded", "retry", "give_up", "hand_back", "cancelled"):
        assert await desk.settle(job, how) == ("stale", "released")
    newer = await desk.claim(job, OTHER)
    assert newer.fence == 2
    for how in ("succeeded", "retry", "hand_back"):
        assert await desk.settle(job, how) == ("stale", "released")
    assert await desk.get(job) == newer
    assert await desk.settle(newer, "succeeded", lease=OTHER) == ("done", "succeeded")
    assert await desk.settle(job, "succeeded") == ("stale", "released")


async def test_of_two_ends_the_first_counts(desk: Desk) -> None:
    job = await desk.claimed()
    assert await desk.settle(job, "succeeded", "1") == ("done", "succeeded")
    assert await desk.settle(job, "retry") == ("stale", "succeeded")
    other = await desk.claimed()
    assert await desk.settle(other, "retry") == ("done", "retrying")
    assert await desk.settle(other, "succeeded") == ("stale", "retrying")
    assert (await desk.get(other)).state is State.RETRYING


async def test_a_report_of_another_end_is_no_repetition(desk: Desk) -> None:
    for first, second, why in (
        ("retry", "give_up", OOPS),
        ("retry", "retry", Failure("timeout", "Not in time.")),
        ("give_up", "hand_back", OOPS),
        ("hand_back", "retry", OOPS),
    ):
        job = await desk.claimed()
        _, outcome = await desk.settle(job, first)
        assert await desk.settle(job, second, failure=why) == ("stale", outcome), (first, second)


async def test_a_job_is_put_off_for_as_long_as_its_worker_says(desk: Desk, clock: SteppedClock) -> None:
    job = await desk.claimed()
    assert await desk.settle(job, "snooze", delay_s=90.0) == ("done", "released")
    after = await desk.get(job)
    assert (after.state, after.attempt, after.run_at) == (State.READY, 0, clock() + 90 * SECOND)
    assert await desk.index.missing([after.entry()]) == []


async def test_nobody_settles_the_jobs_of_another_lease(desk: Desk) -> None:
    job = await desk.claimed()
    assert await desk.settle(job, "succeeded", lease=OTHER) == ("stale", None)
    assert (await desk.get(job)).state is State.RUNNING
    unknown = Report("00000000-0000-7000-8000-000000000000", 1, "succeeded")
    assert await desk.settler.settle(LEASE, [unknown]) == [Settled(unknown.id, 1, "stale", None)]


async def test_a_batch_has_an_answer_for_each_in_order(desk: Desk) -> None:
    good, bad, gone = [await desk.claimed() for _ in range(3)]
    await desk.settle(gone, "succeeded")
    reports = [report(bad, "retry"), report(gone, "retry"), report(good, "succeeded"), report(good, "succeeded")]
    settled = await desk.settler.settle(LEASE, reports)
    assert [(one.id, one.status, one.outcome) for one in settled] == [
        (bad.id, "done", "retrying"),
        (gone.id, "stale", "succeeded"),
        (good.id, "done", "succeeded"),
        (good.id, "done", "succeeded"),
    ]


async def test_a_job_is_cancelled_only_once_its_worker_says_so(desk: Desk) -> None:
    job = await desk.claimed()
    assert await desk.settle(job, "cancelled") == ("refused", None)
    await desk.store.cancel(job.id, reason="no need")
    beat = await desk.beats.beat(LEASE, [Held(job.id, job.fence)])
    assert beat.stop == [Stop(job.id, job.fence, "cancelled")]
    assert (await desk.get(job)).state is State.RUNNING
    assert await desk.settle(job, "cancelled") == ("done", "cancelled")
    assert await desk.settle(job, "cancelled") == ("done", "cancelled")
    after = await desk.get(job)
    assert after.state is State.CANCELLED
    assert after.error is not None
    assert after.error.message == "Cancelled on request: no need"


async def test_a_success_wins_over_a_cancellation_that_did_not_take(desk: Desk) -> None:
    job = await desk.claimed()
    await desk.store.cancel(job.id)
    assert await desk.settle(job, "succeeded", "1") == ("done", "succeeded")


async def test_what_would_run_again_is_cancelled_if_that_was_asked_for(desk: Desk) -> None:
    job = await desk.claimed()
    await desk.store.cancel(job.id)
    assert await desk.settle(job, "retry") == ("done", "cancelled")
    assert await desk.settle(job, "retry") == ("done", "cancelled")


async def test_a_deaf_worker_is_told_of_its_time_out_and_then_loses_the_job(desk: Desk, clock: SteppedClock) -> None:
    job = await desk.claimed(timeout_us=10 * SECOND)
    held = [Held(job.id, job.fence)]
    clock.advance(9)
    assert (await desk.beats.beat(LEASE, held)).stop == []
    clock.advance(2)
    assert (await desk.beats.beat(LEASE, held)).stop == [Stop(job.id, job.fence, "timeout")]
    assert (await desk.get(job)).state is State.RUNNING
    clock.advance(PATIENCE_US / SECOND)
    assert (await desk.beats.beat(LEASE, held)).stop == [Stop(job.id, job.fence, "timeout")]
    after = await desk.get(job)
    assert (after.state, after.attempt) == (State.RETRYING, 1)
    assert after.error == Failure("timeout", "Not done within 10 s.")
    assert (await desk.beats.beat(LEASE, held)).stop == [Stop(job.id, job.fence, "lost")]
    for how in ("succeeded", "retry"):
        assert await desk.settle(job, how) == ("stale", "retrying")


async def test_a_beat_lists_what_is_not_named_and_stops_what_is_not_its_own(desk: Desk, clock: SteppedClock) -> None:
    known, lost = await desk.claimed(), await desk.claimed(priority=1)
    other = await desk.claimed(OTHER)
    held = [Held(known.id, known.fence), Held(other.id, other.fence), Held(known.id, known.fence + 1)]
    beat = await desk.beats.beat(LEASE, held, at_once=True)
    assert beat.jobs == [lost]
    assert sorted(beat.stop) == sorted([Stop(other.id, 1, "lost"), Stop(known.id, 2, "lost")])
    assert (await desk.beats.beat(LEASE, held)).jobs == []  # claimed this very moment
    clock.advance(3)
    assert (await desk.beats.beat(LEASE, held)).jobs == [lost]


async def test_a_lease_without_a_row_is_lost(desk: Desk) -> None:
    await desk.claimed()
    await desk.store.deregister(LEASE)
    with pytest.raises(LeaseLost):
        await desk.beats.beat(LEASE, [])


async def test_what_attempts_say_is_kept_while_they_run(desk: Desk, clock: SteppedClock) -> None:
    job, over = await desk.claimed(), await desk.claimed()
    await desk.settle(over, "succeeded")
    clock.advance(1.5)
    said = [
        Held(job.id, job.fence, 0.5, "half", ("one", "two")),
        Held(over.id, over.fence, 0.9, None, ("late",)),
    ]
    await desk.beats.note(said, (await desk.beats.beat(LEASE, said)).running)
    clock.advance(1)
    said = [Held(job.id, job.fence, 0.75)]
    await desk.beats.note(said, (await desk.beats.beat(LEASE, said)).running)
    progress = (await desk.get(job)).progress
    assert progress is not None
    assert (progress.fraction, progress.message) == (0.75, None)
    head = await desk.store.number_events()
    told = [event for _, body in await desk.store.event_rows(0, head, 10**6) for event in decode(body)]
    notes = [event for event in told if isinstance(event, Event) and event.what in ("log", "progress")]
    assert [(event.job, event.what, event.message) for event in notes] == [
        (job.id, "log", "one"),
        (job.id, "log", "two"),
        (job.id, "progress", "half"),
        (job.id, "progress", None),
    ]
    assert len({event.id for event in notes}) == 4


async def test_the_end_of_a_job_frees_its_lane(desk: Desk) -> None:
    job = await desk.claimed(limit_key="a customer")
    waiting = await put_one(desk.store, limit_key="a customer")
    await desk.index.push([waiting.entry()], now=desk.store.now_us())
    await desk.index.hold([Lane("default", "a customer")], until=desk.store.now_us() + 10**12)
    await desk.settle(job, "succeeded")
    assert [hint.id for hint in await desk.index.pop(["default"], 1)] == [waiting.id]


@pytest.mark.parametrize("how", ["retry", "snooze"])
async def test_a_worker_holds_up_the_queue_of_its_job(desk: Desk, how: str) -> None:
    job = await desk.claimed()
    await desk.settle(job, how, delay_s=30, hold_queue=True)
    (standing,) = await desk.store.standings()
    after = await desk.get(job)
    assert (standing.name, standing.controls.paused_until) == ("default", after.run_at)


@pytest.mark.parametrize("how", ["retry", "snooze"])
async def test_a_worker_puts_its_job_elsewhere_and_the_place_it_had_is_free(desk: Desk, how: str) -> None:
    job = await desk.claimed(limit_key="a customer")
    waiting = await put_one(desk.store, limit_key="a customer")
    await desk.index.push([waiting.entry()], now=desk.store.now_us())
    await desk.index.hold([Lane("default", "a customer")], until=desk.store.now_us() + 10**12)
    await desk.settle(job, how, delay_s=0.1, queue="slow", priority=1)
    after = await desk.get(job)
    assert (after.queue, after.priority) == ("slow", 1)
    assert [hint.id for hint in await desk.index.pop(["default"], 1)] == [waiting.id]
