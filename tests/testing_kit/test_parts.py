"""The parts of ``tickr.testing`` that others' changes may leave behind: each is held to what it stands for."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.testing_kit.handlers import jobs
from tickr.errors import IllegalTransition
from tickr.jobs import FINAL, State
from tickr.store.contract import Store
from tickr.testing import App, run
from tickr.testing.truth import TRANSACTIONS

READS = {
    *("ping", "get", "attempts", "list_jobs", "queues", "queue_names", "due", "waiting_after", "still_waiting"),
    *(
        "nodes",
        "event_rows",
        "number_events",
        "feed_state",
        "diagnose",
        "standings",
        "newest_first",
        "ahead",
        "get_many",
        "holder",
    ),
    *("schedule", "schedules", "due_schedules", "tally", "operation", "operations", "due_operations"),
    *("node", "at_work", "open_links", "waits_of", "children", "checkpoint", "job_log", "last_beyond"),
    *("key_uses", "inbox_rows", "inbox_refused", "untallied", "tallied", "sums", "weights", "busiest", "marks"),
    *("tokens", "trail", "backlog"),
}
"""Methods of the store after which nothing is different. (The memory store numbers its events as it writes them.)"""


def test_every_method_of_the_store_is_known_to_write_or_not() -> None:
    """A new one: does a node that dies in it leave a transaction behind, or not?"""
    methods = {name for name, value in inspect.getmembers(Store) if inspect.iscoroutinefunction(value)}
    assert methods == TRANSACTIONS | READS
    assert not TRANSACTIONS & READS


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(0, 30), st.integers(0, 3)),
        st.tuples(st.just("advance"), st.integers(0, 40)),
        st.tuples(st.sampled_from(["cancel", "retry"]), st.integers(0, 9)),
        st.tuples(st.sampled_from(["idle", "crash", "restart"])),
    ),
    max_size=15,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_what_is_open_and_idle_is_what_the_store_says(steps: list[tuple[object, ...]]) -> None:
    async def scenario(app: App) -> None:
        for name, *what in steps:
            await take(app, str(name), what)
            compare(app)
            await app.advance(0)  # what has begun goes on until it waits
        await app.drained()
        compare(app)
        assert {job.state for job in app.jobs()} <= set(FINAL)
        assert [run.outcome for run in app.runs() if run.outcome == "running"] == []

    run(jobs, scenario, grace=5)


async def take(app: App, name: str, what: list[object]) -> None:
    match name, what:
        case "submit", [int(delay), int(times)]:
            await app.submit("fail", {"times": times}, delay=delay)
            await app.submit("rest", {"seconds": 7 * times}, delay=delay)
        case "advance", [int(seconds)]:
            await app.advance(seconds)
        case (("cancel" | "retry"), [int(number)]) if app.jobs():
            job = app.jobs()[number % len(app.jobs())]
            ended = job.state in FINAL
            if name == "cancel" and not ended:
                await app.cancel(job)
            elif name == "retry" and ended:
                await app.retry(job)
            elif name == "retry":
                with pytest.raises(IllegalTransition):
                    await app.retry(job)
        case (("idle" | "crash" | "restart"), []):
            await getattr(app, name)()


def compare(app: App) -> None:
    life = app._life
    stored, now_us = life.store.all_jobs, life.time.now_us()
    assert life.ledger.open.keys() == {job.id for job in stored if job.state not in FINAL}
    assert life.ledger.running == any(job.state is State.RUNNING for job in stored)
    due = [job for job in stored if job.state in (State.READY, State.RETRYING) and job.run_at <= now_us]
    assert life.ledger.is_idle(now_us) == (not due and not life.ledger.running)
    assert [event.job for event in app.events if event.what == "created"] == [job.id for job in stored]
