"""What running attempts say reaches the store in order, before their end and not too often; nobody waits for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stages.conftest import SECOND_US, START_US, Stage
from tests.waiting import eventually
from tests.worker.attempts import claimed
from tickr import events
from tickr.errors import StoreError, StoreUnavailable
from tickr.events import Event
from tickr.jobs import Job, Progress, State
from tickr.reports import Note, Outcome
from tickr.worker import handlers, outcomes
from tickr.worker.attempt import StopReason
from tickr.worker.handlers import Jobs
from tickr.worker.notes import KEPT_A_SECOND, MAX_IN_LINE, MAX_LINES, Notes
from tickr.worker.outcomes import MAX_PENDING, Outcomes
from tickr.worker.pool import Pool

Handler = Callable[[handlers.Job], Awaitable[Any]]
SLOTS = 10


class Node:
    """A pool and its outcomes; jobs run ``handler``."""

    def __init__(self, stage: Stage, handler: Handler) -> None:
        self.stage = stage
        jobs = Jobs()
        jobs.handler("noop")(handler)
        self.outcomes = Outcomes(stage.store, stage.announcer, stage.family, in_flight=SLOTS)
        self.pool = Pool(jobs, self.outcomes, slots=SLOTS, max_result_bytes=100)

    async def start(self, nursery: trio.Nursery, jobs: int = 1) -> list[Job]:
        nursery.start_soon(self.outcomes.run)
        nursery.start_soon(self.pool.run, nursery)
        running = [await self.stage.run_elsewhere(job, lease_s=10_000) for job in await self.stage.insert(jobs)]
        self.pool.start(running)
        return running

    async def run(self, nursery: trio.Nursery) -> list[Event]:
        """Run one job to its end and return its events from its start on."""
        (job,) = await self.start(nursery)

        async def ended() -> bool:
            return (await self.stage.get(job)).state is not State.RUNNING

        await eventually(ended, within_s=100)
        nursery.cancel_scope.cancel()
        return [event for event in await told(self.stage) if event.job == job.id][1:]


async def told(stage: Stage) -> list[Event]:
    with trio.CancelScope(shield=True):
        rows = await stage.store.event_rows(0, 10_000, 100_000_000)
    return [event for _, body in rows for event in events.decode(body)]


def whats(events: Sequence[Event]) -> list[str]:
    return [event.what for event in events]


def busiest(instants: Sequence[int]) -> int:
    """Return how many of ``instants`` (microseconds) there are in any one second at most."""
    return max(sum(1 for other in instants if 0 <= other - one < SECOND_US) for one in instants)


async def test_what_a_handler_says_is_told_between_its_start_and_its_end(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def handler(job: handlers.Job) -> str:
        await job.progress(0.1)
        await job.log("one")
        await trio.sleep(5)  # virtual
        await job.progress(0.5, "half")
        await job.log("two")
        return "done"

    found = await Node(stage, handler).run(nursery)
    assert whats(found) == ["started", "progress", "log", "progress", "log", "succeeded"]
    assert [(event.note, event.fraction, event.message, event.dropped) for event in found[1:-1]] == [
        *((1, 0.1, None, 0), (2, None, "one", 0), (3, 0.5, "half", 0), (4, None, "two", 0)),
    ]
    assert [event.time - START_US for event in found[1:-1]] == [0, 0, 5 * SECOND_US, 5 * SECOND_US]
    assert len({event.id for event in found}) == len(found)


async def test_what_is_said_is_stored_while_the_handler_goes_on(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def handler(job: handlers.Job) -> None:
        for number in range(1, 101):
            await job.progress(number / 100)
            await job.log(str(number))
        await trio.sleep_forever()

    node = Node(stage, handler)
    (job,) = await node.start(nursery)
    await wait_all_tasks_blocked()
    assert (await stage.get(job)).progress is not None, "the first is told at once"
    await trio.sleep(1.2)  # virtual
    found = (await told(stage))[2:]
    assert (await stage.get(job)).progress == Progress(1.0)
    assert [event.message for event in found if event.what == "log"][-1] == "100"
    assert len(found) <= KEPT_A_SECOND
    calls = stage.store.calls["note"]
    await trio.sleep(60)  # virtual
    assert stage.store.calls["note"] == calls, "there is nothing more to say"


async def test_one_who_reports_all_the_time_is_kept_evenly_and_to_the_last(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def handler(job: handlers.Job) -> None:
        for number in range(3_001):
            await job.progress(number / 3_000)
            await trio.sleep(0.001)  # virtual

    found = [event for event in await Node(stage, handler).run(nursery) if event.what == "progress"]
    assert 3 * 7 <= len(found) <= 3 * 8 + 2
    assert found[-1].fraction == 1.0
    assert busiest([event.time for event in found]) <= KEPT_A_SECOND
    gaps = [later.time - earlier.time for earlier, later in pairwise(found[:-1])]
    assert max(gaps) < SECOND_US // 5


async def test_a_few_lines_at_once_are_all_kept_of_a_flood_the_first_and_the_last(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def handler(job: handlers.Job) -> None:
        for number in range(8):
            await job.log(f"few {number}")
        await trio.sleep(10)  # virtual
        for number in range(1_000):
            await job.log(f"flood {number}")

    lines = [event for event in await Node(stage, handler).run(nursery) if event.what == "log"]
    assert [line.message for line in lines[:8]] == [f"few {number}" for number in range(8)]
    assert sum(line.dropped for line in lines[:8]) == 0
    flood = lines[8:]
    assert flood[-1].message == "flood 999"
    assert len(flood) + sum(line.dropped for line in flood) == 1_000
    assert busiest([line.time for line in flood]) <= KEPT_A_SECOND


async def test_a_slow_store_holds_up_no_handler(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away for a minute: the handlers go on, little is kept for them, and all of it comes in order when it is back."""
    monkeypatch.setattr(outcomes, "MAX_PENDING", 0)  # so that the line has room for what they may put, and no more
    took = list[float]()

    async def handler(job: handlers.Job) -> None:
        began = trio.current_time()
        for number in range(1_200):
            await job.log(str(number))
            await job.progress(number / 1_200)
            await trio.sleep(0.05)  # virtual
        took.append(trio.current_time() - began)

    node = Node(stage, handler)
    stage.store.failing |= {"note": StoreUnavailable("away"), "finish": StoreUnavailable("away")}
    running = await node.start(nursery, SLOTS)
    await trio.sleep(120)  # virtual
    assert took == pytest.approx([60] * SLOTS)
    assert len(node.outcomes._line) <= SLOTS * (MAX_IN_LINE + 1)
    stage.store.failing.clear()
    await trio.sleep(5)  # virtual
    assert all(node.outcomes.holds(job.id, job.fence) is False for job in running)
    found = await told(stage)
    for job in running:
        own = [event for event in found if event.job == job.id][2:]
        assert whats(own)[-1] == "succeeded"
        assert (own[-2].fraction, own[-3].message) == (1_199 / 1_200, "1199")
        notes = own[:-1]
        assert len(notes) <= MAX_IN_LINE
        assert [event.note for event in notes] == list(range(1, len(notes) + 1))
        assert sum(event.what == "log" for event in notes) + sum(event.dropped for event in notes) == 1_200


async def test_an_end_waits_behind_what_was_said_before_it(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def handler(job: handlers.Job) -> None:
        await job.progress(1)

    node = Node(stage, handler)
    stage.store.failing["note"] = StoreUnavailable("away")
    (job,) = await node.start(nursery)
    await trio.sleep(10)  # virtual
    assert (await stage.get(job)).state is State.RUNNING
    stage.store.failing.clear()
    await trio.sleep(1)  # virtual
    assert whats(await told(stage))[-2:] == ["progress", "succeeded"]


@pytest.mark.parametrize("error", [StoreError("the row is too long"), ValueError("too long, says a bug")])
async def test_notes_that_the_store_refuses_take_no_outcome_along(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, error: Exception
) -> None:
    async def handler(job: handlers.Job) -> str:
        await job.progress(0.5)
        await job.log("a")
        return "done"

    stage.store.failing["note"] = error
    with capture_logs() as lines:
        found = await Node(stage, handler).run(nursery)
    assert whats(found) == ["started", "succeeded"]
    refused = [line for line in lines if line["event"] == "job.notes_refused"]
    assert sum(line["notes"] for line in refused) == 2
    assert {(line["error"], line["log_level"]) for line in refused} == {(str(error), "error")}


@pytest.mark.parametrize("before", [0, 1])
async def test_after_its_end_an_attempt_says_nothing_any_more(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, before: int
) -> None:
    views, left_behind = list[handlers.Job](), trio.Event()

    async def handler(job: handlers.Job) -> None:
        views.append(job)
        for _ in range(before):
            await job.log("while it runs")
        with trio.CancelScope(shield=True):
            await left_behind.wait()
            await job.progress(0.9)
            await job.log("too late")

    node = Node(stage, handler)
    (job,) = await node.start(nursery)
    await wait_all_tasks_blocked()
    node.pool.stop(job.id, StopReason.CANCELLED)
    await trio.sleep(30)  # virtual
    assert (await stage.get(job)).state is State.CANCELLED
    left_behind.set()
    await trio.sleep(30)  # virtual
    assert [zombie.job_id for zombie in node.pool.zombies] == []
    await views[0].progress(1)
    await trio.sleep(30)  # virtual
    assert whats(await told(stage))[1:] == ["started", *["log"] * before, "cancelled"]
    assert stage.store.calls["note"] == before


async def test_a_clock_that_is_set_back_silences_nobody(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def handler(job: handlers.Job) -> None:
        for number in range(20):
            await job.log(str(number))
        stage.step_us = -3_600 * SECOND_US
        for number in range(8):
            await trio.sleep(0.2)  # virtual
            await job.log(f"after {number}")
        await trio.sleep_forever()

    node = Node(stage, handler)
    await node.start(nursery)
    await trio.sleep(5)  # virtual
    lines = [event.message for event in await told(stage) if event.what == "log"]
    assert lines[-8:] == [f"after {number}" for number in range(8)]


async def test_claims_have_no_room_while_too_many_notes_wait(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    line = Outcomes(stage.store, stage.announcer, stage.family, in_flight=MAX_PENDING, kept_lines=0)
    for _ in range(MAX_PENDING // 5):
        pad = line.open_notepad(claimed("noop"))
        for number in range(5):
            pad.say(None, str(number))
        await line.wait_room()
        pad.close()
    with trio.move_on_after(5) as waited:
        await line.wait_room()
    assert waited.cancelled_caught
    nursery.start_soon(line.run)
    with trio.fail_after(5):
        await line.wait_room()
    line.close()


async def test_a_node_that_stops_stores_what_was_said_last(stage: Stage, autojump_clock: MockClock) -> None:
    line = Outcomes(stage.store, stage.announcer, stage.family, in_flight=1)
    (job,) = [await stage.run_elsewhere(job) for job in await stage.insert()]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.run)
        pad = line.open_notepad(job)
        for number in range(100):
            pad.say(number / 100, None)
            pad.say(None, str(number))
        pad.close()
        line.put(Outcome(job=job, kind="succeeded"))
        line.close()
    found = await told(stage)
    assert found[-1].what == "succeeded"
    assert [(event.fraction, event.message) for event in found[-3:-1]] == [(0.99, None), (None, "99")]


# -- any handler -----------------------------------------------------------------------------------------------------

TALK = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.0, 0.0001, 0.001, 0.01, 0.05, 0.1, 0.125, 0.3, 0.9, 1.0, 3.0]),
        st.sampled_from(["progress", "log", "log"]),
    ),
    min_size=1,
    max_size=120,
)


@given(talk=TALK, store_s=st.sampled_from([0.0, 0.001, 0.2, 5.0]))
@settings(max_examples=150, deadline=None)
def test_however_a_handler_talks(talk: list[tuple[float, str]], store_s: float) -> None:
    """It keeps the limit in every second, the last of each kind, the order, and count of what it leaves out."""
    kept, in_line = list[Note](), list[int]()

    async def main() -> None:
        def put(notes: Sequence[Note]) -> trio.Event:
            stored = trio.Event()
            kept.extend(notes)
            in_line.append(len(notes))
            storing.start_soon(store, stored)
            return stored

        async def store(stored: trio.Event) -> None:
            await trio.sleep(store_s)
            stored.set()

        notes = Notes(lambda: round(trio.current_time() * SECOND_US), put)
        async with trio.open_nursery() as storing, trio.open_nursery() as nursery:
            nursery.start_soon(notes.run)
            pad = notes.open(claimed("t"))
            for number, (pause, kind) in enumerate(talk):
                await trio.sleep(pause)
                pad.say(number / len(talk) if kind == "progress" else None, str(number))
            pad.close()
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    said = [int(note.message or "") for note in kept]
    assert said == sorted(set(said)), "in the order in which it was said, and once"
    assert [note.number for note in kept] == list(range(1, len(kept) + 1))
    assert busiest([note.at for note in kept]) <= KEPT_A_SECOND
    assert max(in_line) <= MAX_LINES + 3
    for kind in {kind for _, kind in talk}:
        spoken = [number for number, (_, one) in enumerate(talk) if one == kind]
        own = [note for note in kept if note.kind == kind]
        assert int(own[-1].message or "") == spoken[-1], "the last is always kept"
        if kind == "log":
            assert len(own) + sum(note.dropped for note in own) == len(spoken)
    if len(talk) <= KEPT_A_SECOND - 2 and not any(kind == "progress" for _, kind in talk):
        assert len(kept) == len(talk)
