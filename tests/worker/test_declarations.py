"""What an application may declare of schedules, and what is said where it cannot; and the tick that handlers see."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

import tickr
from tickr import jobs as records
from tickr.worker import declarations
from tickr.worker.view import Job


def app() -> tickr.Jobs:
    made = tickr.Jobs()

    @made.handler("report")
    async def report(title: str = "") -> None: ...

    return made


def next_day(after: datetime) -> datetime:
    return after + timedelta(days=1)


def bodies(jobs: tickr.Jobs) -> dict[str, Any]:
    return {one.name: msgspec.json.decode(one.body) for one in jobs.schedules}


def test_a_schedule_is_declared_above_its_handler() -> None:
    jobs = tickr.Jobs()

    @jobs.schedule("nightly", {"title": "Night"}, cron="@daily", timezone="Europe/Berlin", overlap="skip", queue="q")
    @jobs.schedule("often", every=timedelta(minutes=5), start="now", times=3, timeout=timedelta(seconds=9))
    @jobs.handler("report")
    async def report(title: str = "") -> str:
        return title

    assert callable(report)
    assert bodies(jobs) == {
        "often": {
            "every": 300.0,
            "start": "now",
            "times": 3,
            "job": {"type": "report", "payload": {}, "timeout": 9.0},
        },
        "nightly": {
            "cron": "@daily",
            "timezone": "Europe/Berlin",
            "overlap": "skip",
            "job": {"type": "report", "payload": {"title": "Night"}, "queue": "q"},
        },
    }


def test_one_for_a_type_that_is_handled_elsewhere_is_added() -> None:
    jobs = app()
    end = datetime(2031, 1, 1, tzinfo=UTC)
    jobs.schedules.add("poll", "http", {"url": "https://example.com"}, every=30, end_at=end)
    assert bodies(jobs)["poll"] == {
        "every": 30,
        "end_at": "2031-01-01T00:00:00Z",
        "job": {"type": "http", "payload": {"url": "https://example.com"}},
    }


def test_a_function_may_give_the_ticks() -> None:
    jobs = tickr.Jobs()

    @jobs.schedule("daily", {"title": "Day"}, next_tick=next_day, timezone="Europe/Berlin", times=3)
    @jobs.handler("report")
    async def report(title: str = "") -> None: ...

    (one,) = jobs.schedules
    assert one.next_tick is next_day
    assert bodies(jobs) == {
        "daily": {"timezone": "Europe/Berlin", "times": 3, "job": {"type": "report", "payload": {"title": "Day"}}}
    }
    (copied,) = jobs.copy().schedules
    assert copied == one


async def as_a_task(after: datetime) -> datetime:
    return after


class AsATask:
    async def __call__(self, after: datetime) -> datetime:
        return after


def one_by_one(after: datetime) -> Any:
    yield after


@pytest.mark.parametrize("function", [as_a_task, AsATask(), one_by_one, "next_day", None])
def test_what_cannot_be_asked_for_a_tick_is_refused(function: Any) -> None:
    jobs = app()
    with pytest.raises(TypeError, match="next_tick is a plain function from an instant to the next tick, not"):
        jobs.schedules.add("a", "report", next_tick=function)
    assert len(jobs.schedules) == 0


def test_so_many_may_be_by_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declarations, "MAX_FUNCTIONS", 1)
    jobs = app()
    jobs.schedules.add("a", "report", next_tick=next_day)
    jobs.schedules.add("b", "report", every=60)
    with pytest.raises(ValueError, match="there may be 1 schedules with a next_tick"):
        jobs.schedules.add("c", "report", next_tick=next_day)


def test_they_go_along_with_the_handlers() -> None:
    one, other = app(), tickr.Jobs()
    one.schedules.add("a", "report", every=60)
    other.include(one)
    copied = other.copy()
    copied.schedules.add("b", "report", every=60)
    assert (list(bodies(other)), list(bodies(copied))) == (["a"], ["a", "b"])
    third = tickr.Jobs()
    third.schedules.add("a", "report", every=1)
    with pytest.raises(ValueError, match="schedule 'a' is declared already"):
        third.include(one)
    assert not len(third), "nothing was taken over"


@pytest.mark.parametrize(
    ("name", "wish", "told"),
    [
        ("a b", {"every": 60}, "'a b' is not the name of a schedule"),
        ("a", {}, "give either cron or every or next_tick"),
        ("a", {"next_tick": next_day, "every": 60}, "give either cron or every or next_tick"),
        ("a", {"every": 60, "cron": "@daily"}, "give either cron or every"),
        ("a", {"cron": "61 * * * *"}, "schedule 'a': cron has the minute \"61\""),
        ("a", {"cron": "@reboot"}, "knows the words @hourly"),
        ("a", {"cron": "@daily", "timezone": "Berlin"}, "timezone must be the IANA name"),
        ("a", {"every": 60, "end_at": datetime(2031, 1, 1)}, "end_at has no time zone"),
        ("a", {"every": float("nan")}, "/every is nan"),
    ],
)
def test_what_cannot_be_is_said_where_it_is_declared(name: str, wish: dict[str, Any], told: str) -> None:
    jobs = app()
    with pytest.raises(ValueError, match=told):
        jobs.schedules.add(name, "report", **wish)
    assert len(jobs.schedules) == 0


def test_misuse_is_said_with_what_would_be_right(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = app()
    with pytest.raises(TypeError, match="delay is not known here"):
        jobs.schedules.add("a", "report", every=60, delay=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="cron is an expression"):
        jobs.schedules.add("a", "report", cron=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'re port' is not the name of a job type"):
        jobs.schedules.add("a", "re port", every=60)
    with pytest.raises(TypeError, match=r"is no handler here yet; @jobs\.schedule stands above @jobs\.handler"):

        @jobs.handler("other")
        @jobs.schedule("a", every=60)
        async def other() -> None: ...

    async def twice() -> None: ...

    jobs.handler("one")(twice)
    jobs.handler("two")(twice)
    with pytest.raises(TypeError, match=r"runs one, two; use jobs\.schedules\.add"):
        jobs.schedule("a", every=60)(twice)
    monkeypatch.setattr(declarations, "MAX_DECLARED", 1)
    jobs.schedules.add("a", "report", every=60)
    with pytest.raises(ValueError, match="there may be 1 schedules"):
        jobs.schedules.add("b", "report", every=60)


# -- the tick ---------------------------------------------------------------------------------------------------------


def view(**extras: Any) -> Job:
    return Job(records.Job(id="j", type="t", run_at=5, created_at=5, extras=records.Extras(**extras)))


def test_a_handler_sees_the_tick_that_its_job_was_made_for() -> None:
    at = datetime(2026, 3, 29, 1, tzinfo=UTC)
    job = view(schedule="nightly", tick=int(at.timestamp()) * 1_000_000)
    assert job.tick == tickr.Tick("nightly", at)
    assert pickle.loads(pickle.dumps(job)).tick == job.tick
    assert view(schedule="nightly").tick == tickr.Tick("nightly", None)
    assert view().tick is None
