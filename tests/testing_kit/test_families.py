"""Jobs that wait for others and jobs that have children, in virtual time: who runs when, and how families end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import tickr
from tickr.errors import DuplicateJob, SpecRejected
from tickr.testing import App, NotSucceeded, running

jobs = tickr.Jobs()


@jobs.handler("part")
async def part(job: tickr.Job, number: int = 0, seconds: float = 1, fails: bool = False) -> int:
    await trio.sleep(seconds)
    if fails:
        raise tickr.GiveUp("as it was told")
    return 2 * number


@jobs.handler("sum")
async def total(job: tickr.Job, numbers: Sequence[int], seconds: float = 1) -> int:
    for number in numbers:
        await job.submit("part", {"number": number, "seconds": seconds})
    return sum(end.result for end in await job.children())


@jobs.handler("parent")
async def parent(
    job: tickr.Job, children: list[dict[str, Any]], wait: str | None = None, then: str = "done", rest: float = 0
) -> Any:
    for number, child in enumerate(children):
        await job.submit("part", child, name=f"c{number}")
    await trio.sleep(rest)
    if wait is not None:
        ends = await job.children(failed=wait)  # type: ignore[arg-type]
        return [[end.name, end.state] for end in ends]
    if then == "give up":
        raise tickr.GiveUp("it does not like them")
    return then


@jobs.handler("collect")
async def collect(job: tickr.Job) -> list[Any]:
    return [[end.state, end.result] for end in await job.dependencies()]


def states(app: App, type: str = "part") -> list[str]:
    return [job.state for job in app.jobs(type=type)]


def whats(app: App, job: Any) -> list[str]:
    return [event.what for event in app.job(job).events]


# -- dependencies -----------------------------------------------------------------------------------------------------


@running(jobs)
async def test_results_of_those_before_are_there(app: App) -> None:
    first, second = [await app.submit("part", {"number": n, "seconds": n}) for n in (3, 5)]
    after = await app.submit("collect", depends_on=[first.id, second.id])
    assert app.job(after).state == "blocked"
    assert await app.result(after) == [["succeeded", 6], ["succeeded", 10]]
    assert app.job(after).timeline == "created 00:00:00, unblocked 00:00:05, started 00:00:05, succeeded 00:00:05"
    assert await app.result(await app.submit("collect")) == []


@running(jobs)
async def test_who_runs_whatever_happened_is_told_what_did(app: App) -> None:
    bad = await app.submit("part", {"fails": True})
    after = await app.submit("collect", depends_on={"jobs": [bad.id], "on_failure": "run"})
    assert await app.result(after) == [["failed", None]]


# -- children ---------------------------------------------------------------------------------------------------------


@running(jobs, workers=1)
async def test_who_waits_for_children_gives_its_slot_back_and_has_their_results(app: App) -> None:
    job = await app.submit("sum", {"numbers": [1, 2, 3]})
    assert await app.result(job) == 12
    assert whats(app, job) == [
        "created", "started", "released", "unblocked", "started", "released", "succeeded"
    ]  # fmt: skip
    assert [(one.number, one.outcome) for one in app.job(job).attempts] == [(1, "released"), (1, "succeeded")]
    assert (app.job(job).attempt, len(app.jobs(type="part"))) == (1, 3)
    assert app.job(job).attempts[0].error.kind == "children"


@running(jobs)
async def test_a_parent_that_returns_has_ended_when_its_children_have(app: App) -> None:
    job = await app.submit("parent", {"children": [{"seconds": 60}, {"seconds": 5}]})
    await app.advance(30)
    assert (app.job(job).state, states(app)) == ("blocked", ["running", "succeeded"])
    assert await app.result(job) == "done"
    assert app.job(job).timeline.endswith("succeeded 00:01:00")


@running(jobs)
async def test_the_failure_of_a_child_goes_up_and_down_the_tree(app: App) -> None:
    job = await app.submit(
        "parent", {"children": [{"seconds": 5, "fails": True}, {"seconds": 3600}], "wait": "raise"}, max_attempts=5
    )
    with pytest.raises(NotSucceeded, match="c0"):
        await app.result(job)
    assert (app.job(job).error.kind, app.job(job).attempt) == ("child_failed", 1)
    assert states(app) == ["failed", "cancelled"]
    assert app.job(job).timeline.endswith("failed 00:00:05 (child_failed: " + app.job(job).error.message + ")")


@running(jobs)
async def test_a_parent_that_has_returned_fails_with_its_child(app: App) -> None:
    job = await app.submit("parent", {"children": [{"seconds": 5, "fails": True}, {"seconds": 3600}]})
    await app.drained()
    ended = app.job(job)
    assert (ended.state, ended.error.kind, ended.result, states(app)) == (
        "failed", "child_failed", None, ["failed", "cancelled"]
    )  # fmt: skip
    assert app.jobs(type="part")[0].id in ended.error.message


@running(jobs)
async def test_a_handler_may_deal_with_failures_itself(app: App) -> None:
    children = [{"seconds": 5, "fails": True}, {"seconds": 60}]
    job = await app.submit("parent", {"children": children, "wait": "return"})
    assert await app.result(job) == [["c0", "failed"], ["c1", "succeeded"]]
    assert app.job(job).timeline.endswith("succeeded 00:01:00")


async def test_a_handler_that_catches_the_exception_has_dealt_with_it(autojump_clock: MockClock) -> None:
    made = tickr.Jobs()
    made.include(jobs)

    @made.handler("stubborn")
    async def stubborn(job: tickr.Job) -> str:
        await job.submit("part", {"fails": True})
        await job.submit("part", {"seconds": 60})
        try:
            await job.children()
        except tickr.ChildrenFailed as error:
            return ", ".join(end.state for end in error.failed)
        return "no failure"

    async with running(made) as app:
        job = await app.submit("stubborn")
        assert await app.result(job) == "failed"
        assert app.job(job).timeline.endswith("succeeded 00:01:00"), "the other child was not cancelled"


@running(jobs)
async def test_a_parent_that_fails_takes_its_children_along_and_waits_for_their_end(app: App) -> None:
    job = await app.submit("parent", {"children": [{"seconds": 3600}], "then": "give up", "rest": 10})
    await app.drained()
    assert (app.job(job).state, app.job(job).error.kind, states(app)) == ("failed", "give_up", ["cancelled"])
    assert "parent" in app.jobs(type="part")[0].error.message
    assert [one.outcome for one in app.job(job).attempts] == ["failed"]


@pytest.mark.parametrize("wait", [None, "raise"])
@pytest.mark.parametrize("at", [5, 20])
async def test_a_cancellation_goes_down_the_tree(wait: str | None, at: int, autojump_clock: MockClock) -> None:
    made = tickr.Jobs()
    made.include(jobs)

    @made.handler("grandparent")
    async def grandparent(job: tickr.Job) -> None:
        await job.submit("parent", {"children": [{"seconds": 3600}, {"seconds": 1}], "wait": wait, "rest": 10})
        await job.submit("part", {"seconds": 3600}, delay=1800)
        await job.children()

    async with running(made) as app:
        job = await app.submit("grandparent")
        await app.advance(at)
        await app.cancel(job)
        await app.drained()
        assert app.now.minute == 0
        assert [one.state for one in app.jobs()] == ["cancelled"] * 3 + ["cancelled", "succeeded"][
            : len(app.jobs()) - 3
        ]
        assert app.job(job).error.kind == "cancelled"
        order = [event.type for event in app.events if event.what == "cancelled"]
        assert order[-2:] == ["parent", "grandparent"]


async def test_a_child_that_is_tried_again_has_not_failed(autojump_clock: MockClock) -> None:
    made = tickr.Jobs()

    @made.handler("flaky")
    async def flaky(job: tickr.Job) -> int:
        if job.attempt < 3:
            raise ValueError("not yet")
        return job.attempt

    @made.handler("patient")
    async def patient(job: tickr.Job) -> list[Any]:
        await job.submit("flaky")
        return [end.result for end in await job.children()]

    async with running(made) as app:
        job = await app.submit("patient")
        assert await app.result(job) == [3]
        assert [len(app.runs(type)) for type in ("patient", "flaky")] == [2, 3]


async def test_a_child_of_a_former_attempt_that_failed_wakes_nobody_again_and_again(autojump_clock: MockClock) -> None:
    made = tickr.Jobs()
    made.include(jobs)

    @made.handler("stubborn", max_attempts=3)
    async def stubborn(job: tickr.Job) -> None:
        await job.submit("part", {"fails": job.attempt == 1, "seconds": 60}, name=f"try {job.attempt}")
        await job.children()

    async with running(made) as app:
        job = await app.submit("stubborn", backoff={"kind": "constant", "base": 1})
        await app.drained()
        assert app.job(job).state == "failed"
        assert len(app.runs("stubborn")) <= 6


async def test_a_job_that_submits_itself_ends_some_time(autojump_clock: MockClock) -> None:
    made = tickr.Jobs()

    @made.handler("self")
    async def again(job: tickr.Job) -> None:
        await job.submit("self")
        await job.children()

    async with running(made) as app:
        job = await app.submit("self", max_attempts=1)
        await app.drained()
        assert app.job(job).state == "failed"
        assert len(app.jobs()) == 21
        youngest = app.jobs()[-1]
        assert "20 generations" in youngest.error.message


async def test_a_child_has_no_key_of_its_handlers(autojump_clock: MockClock) -> None:
    made = tickr.Jobs()

    @made.handler("one", unique=tickr.Unique(by=()))
    async def one() -> int:
        return 1

    @made.handler("two")
    async def two(job: tickr.Job) -> int:
        await job.submit("one")
        await job.submit("one")
        return len(await job.children())

    async with running(made) as app:
        assert await app.result(await app.submit("two")) == 2


# -- again ------------------------------------------------------------------------------------------------------------


async def test_an_attempt_that_comes_again_submits_nothing_twice(autojump_clock: MockClock) -> None:
    made = tickr.Jobs()
    made.include(jobs)

    @made.handler("flaky")
    async def flaky(job: tickr.Job) -> int:
        ids = [await job.submit("part", {"number": n}) for n in range(3)]
        last = await job.submit("collect", name="last", depends_on=ids)
        if job.attempt < 3:
            raise ValueError("not yet")
        ends = await job.children()
        assert [end.id for end in ends] == [*ids, last]
        return len(ends[-1].result)

    async with running(made) as app:
        job = await app.submit("flaky")
        assert await app.result(job) == 3
        assert len(app.jobs()) == 5
        assert [len(app.runs(type)) for type in ("flaky", "part", "collect")] == [3, 3, 1]


async def test_who_is_started_over_keeps_what_has_succeeded(autojump_clock: MockClock) -> None:
    made, healed = tickr.Jobs(), False
    made.include(jobs)

    @made.handler("ill")
    async def ill() -> str:
        if not healed:
            raise tickr.GiveUp("ill")
        return "well"

    @made.handler("family")
    async def family(job: tickr.Job) -> list[Any]:
        await job.submit("part", {"number": 1, "seconds": 0})
        await job.submit("ill", delay=10)
        return [end.result for end in await job.children()]

    async with running(made) as app:
        job = await app.submit("family")
        await app.drained()
        assert [one.state for one in app.jobs()] == ["failed", "succeeded", "failed"]
        healed = True
        await app.retry(job)
        assert await app.result(job) == [2, "well"]
        assert [len(app.runs(type)) for type in ("part", "ill")] == [1, 2]


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("point", ["children.after_commit", "links.after_commit", "outcomes.after_commit"])
@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_a_family_outlives_its_nodes(point: str, nth: int, elsewhere: bool, autojump_clock: MockClock) -> None:
    async with running(jobs, lease="1m") as app:
        app.crash_at(point, nth, elsewhere=elsewhere)
        job = await app.submit("sum", {"numbers": [1, 2, 3]})
        more = await app.submit("sum", {"numbers": [4]})
        assert await app.result(job) == 12
        assert await app.result(more) == 8
        assert len(app.jobs(type="part")) == 4


# -- what is refused --------------------------------------------------------------------------------------------------


async def test_what_cannot_be_a_child(autojump_clock: MockClock) -> None:
    made, said = tickr.Jobs(), list[str]()
    made.include(jobs)

    @made.handler("wrong")
    async def wrong(job: tickr.Job, other: str) -> None:
        for fields in (
            {"priority": 99}, {"id": other}, {"unique": "x"}, {"depends_on": [other]}, {"depends_on": [job.id]}
        ):  # fmt: skip
            with pytest.raises(SpecRejected) as refused:
                await job.submit("part", name="x", **fields)
            said.append(refused.value.pointer)
        await job.submit("part", {"number": 1}, name="same")
        await job.submit("part", {"number": 1}, name="same")
        with pytest.raises(DuplicateJob):
            await job.submit("part", {"number": 2}, name="same")
        with pytest.raises(ValueError, match="failed is"):
            job.children(failed="ignore")  # type: ignore[arg-type]
        with pytest.raises(RuntimeError, match="async handlers"):
            await trio.to_thread.run_sync(lambda: job.submit("part"))

    async with running(made) as app:
        other = await app.submit("part")
        await app.result(await app.submit("wrong", {"other": other.id}))
        assert said == ["/priority", "/id", "/unique", "/depends_on", "/depends_on"]
        assert len(app.jobs(type="part")) == 2
