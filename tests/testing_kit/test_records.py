"""What tests look at: values to compare, texts that tell what happened, and no silence where a name is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import trio
from trio.testing import MockClock

import tickr
from tests.testing_kit.handlers import jobs
from tickr.errors import JobNotFound
from tickr.testing import App, running
from tickr.testing.records import since

SECOND = 1_000_000


@running(jobs)
async def test_a_job_is_plain_values(app: App) -> None:
    submitted = await app.submit(
        "fail", {"times": 1, "why": "ø"}, labels={"shop": "7"}, queue="slow", priority=2, max_attempts=4
    )
    await app.drained()
    job = app.job(submitted.id)
    assert (job.id, job.type, job.queue, job.priority, job.state) == (submitted.id, "fail", "slow", 2, "succeeded")
    assert (job.payload, job.result, job.labels) == ({"times": 1, "why": "ø"}, "done at attempt 2", {"shop": "7"})
    assert (job.attempt, job.max_attempts, job.crashes, job.error, job.progress) == (2, 4, 0, None, None)
    assert job.created_at == datetime(2030, 1, 1, tzinfo=UTC)
    assert job.started_at == job.run_at == job.finished_at == job.created_at + timedelta(seconds=10)
    assert [(one.number, one.outcome) for one in job.attempts] == [(1, "retrying"), (2, "succeeded")]
    assert job.attempts[0].error.message == "ValueError: ø"
    assert "in fail" in job.attempts[0].error.traceback


@running(jobs)
async def test_events_are_plain_values(app: App) -> None:
    job = await app.submit("fail", {"times": 1})
    await app.submit("rest")
    await app.drained()
    events = app.job(job).events
    assert [event.what for event in events] == ["created", "started", "retrying", "started", "succeeded"]
    assert [event.version for event in events] == [1, 2, 3, 4, 5]
    assert [event.id for event in events] == [f"{job.id}.{version}" for version in range(1, 6)]
    retrying = events[2]
    assert (retrying.state, retrying.previous_state, retrying.attempt) == ("retrying", "running", 1)
    assert (retrying.type, retrying.queue, retrying.job) == ("fail", "default", job.id)
    assert retrying.run_at - retrying.time == timedelta(seconds=10)
    assert (retrying.error.kind, retrying.error.message) == ("exception", "ValueError: no")
    assert events[-1].result == "done at attempt 2"
    assert {event.job for event in app.events} == {job.id, app.jobs(type="rest")[0].id}
    app.events.clear()
    assert len(app.events) == 8, "what is given out is the test's own"


async def test_runs_hold_the_arguments_as_they_were(autojump_clock: MockClock) -> None:
    own = tickr.Jobs()

    @own.handler("eat")
    async def eat(
        job: tickr.Job, apples: list[int], pears: list[int] | None = None, from_: str = "", **rest: int
    ) -> None:
        apples.clear()
        await trio.sleep(1)  # virtual

    async with running(own) as app:
        await app.submit("eat", {"apples": [1, 2], "from": "a tree", "plums": 3})
        await app.submit("eat", {"apples": [], "pears": [4]})
        await app.submit("eat", {"apples": "many"})
        await app.advance(0.5)
        first, second = app.runs("eat")
        assert first.arguments == {"apples": [1, 2], "from_": "a tree", "plums": 3}
        assert second.arguments == {"apples": [], "pears": [4]}
        assert (first.outcome, first.error) == ("running", None)
        assert repr(first) == "<Run eat(apples=[1, 2], from_='a tree', plums=3) 00:00:00 still runs>"
        await app.drained()
        assert (first.outcome, first.attempt, first.fence) == ("succeeded", 1, 1)
        assert repr(second) == "<Run eat(apples=[], pears=[4]) 00:00:00 succeeded 00:00:01>"
        assert len(app.runs()) == 2, "the third did not fit"


@running(jobs)
async def test_built_in_handlers_are_recorded_as_well(app: App) -> None:
    await app.submit("report", {"title": "Q1", "body": "two words"})
    await app.drained()
    assert [run.arguments["title"] for run in app.runs("report")] == ["Q1"]


@running(jobs)
async def test_jobs_are_found_by_state_and_type(app: App) -> None:
    await app.submit("double", {"number": 1})
    await app.submit("double", {"number": 2}, delay=60)
    await app.submit("rest")
    await app.submit("fail", max_attempts=1)
    await app.submit("mystery", delay=60)
    await app.advance(10)
    assert [job.payload.get("number") for job in app.jobs(type="double")] == [1, 2]
    assert [job.type for job in app.jobs(state="scheduled")] == ["double", "mystery"]
    assert [job.type for job in app.jobs(state="running")] == ["rest"]
    assert [job.payload for job in app.jobs(state="succeeded", type="double")] == [{"number": 1}]
    assert app.jobs(state="cancelled") == []
    assert len(app.jobs(type="mystery")) == 1


@running(jobs)
async def test_a_wrong_name_is_no_empty_list(app: App) -> None:
    with pytest.raises(ValueError, match="'done' is no state of a job; there are scheduled, ready"):
        app.jobs(state="done")
    with pytest.raises(ValueError, match="'dubble' has no handler and no job; did you mean 'double'"):
        app.jobs(type="dubble")
    with pytest.raises(ValueError, match=r"'x' has no handler and no job$"):
        app.runs("x")
    with pytest.raises(JobNotFound):
        app.job("x")


# -- texts ------------------------------------------------------------------------------------------------------------


@running(jobs)
async def test_texts_tell_the_story(app: App) -> None:
    job = await app.submit("fail", {"times": 1}, delay=90.25)
    assert repr(app.job(job)) == "<Job fail …000001 scheduled: created 00:00:00 for 00:01:30.25>"
    await app.drained()
    await app.retry(job)
    await app.cancel(job)
    assert repr(app) == "<App 00:01:40.25, 1 jobs>"
    story = [
        "created 00:00:00 for 00:01:30.25",
        "started 00:01:30.25",
        "retrying 00:01:30.25 in 10 s (ValueError: no)",
        "started 00:01:40.25",
        "succeeded 00:01:40.25",
        "redriven 00:01:40.25",
        "started 00:01:40.25",
        "cancelled 00:01:40.25 (cancelled: Cancelled on request.)",
    ]
    assert app.job(job).timeline == ", ".join(story)
    assert str(app.job(job)).splitlines() == [f"fail {job.id} cancelled", *(f"  {line}" for line in story)]
    assert [repr(event) for event in app.events] == [f"<Event fail …000001 {line}>" for line in story]


async def test_texts_tell_what_a_handler_says(autojump_clock: MockClock) -> None:
    own = tickr.Jobs()

    @own.handler("talk")
    async def talk(job: tickr.Job) -> None:
        await job.log("hello")
        await job.progress(0.25)

    async with running(own) as app:
        job = await app.submit("talk")
        await app.drained()
        assert str(app.job(job)).splitlines()[3:5] == ["  log 00:00:00 (hello)", "  progress 00:00:00 25%"]
        assert app.job(job).timeline == "created 00:00:00, started 00:00:00, succeeded 00:00:00"


@running(jobs)
async def test_a_long_story_is_cut_in_the_middle(app: App) -> None:
    job = await app.submit("fail", max_attempts=50, backoff={"kind": "constant", "base": 1})
    await app.drained()
    told = app.job(job).timeline.split(", ")
    assert len(told) == 13
    assert told[2].startswith("retrying 00:00:00 in 1 s")
    assert told[3] == "… 89 more …"
    assert told[4].startswith("retrying 00:00:45 in 1 s")
    assert len(app.job(job).events) == 101


@pytest.mark.parametrize(
    ("passed_us", "text"),
    [
        (0, "00:00:00"),
        (1, "00:00:00.000001"),
        (59 * SECOND + 250_000, "00:00:59.25"),
        (86_399 * SECOND, "23:59:59"),
        (86_400 * SECOND, "1d 00:00:00"),
        ((400 * 86_400 + 3_661) * SECOND, "400d 01:01:01"),
    ],
)
def test_what_has_passed(passed_us: int, text: str) -> None:
    assert since(passed_us) == text
