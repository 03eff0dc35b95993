"""What handlers share, in a whole node: there before the first of them, and until after the last."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

import tickr
from tickr.errors import LifespanFailed
from tickr.testing import App, run
from tickr.worker.living import LEAVES_WITHIN_S


class Diary:
    """Handlers whose lifespan, and all that they do, is written down."""

    def __init__(self, takes: float = 0.0) -> None:
        self.lines: list[str] = []
        self.jobs = tickr.Jobs()
        self.jobs.handler("work")(self.work)
        self.jobs.handler("in_thread")(self.in_thread)

        @self.jobs.lifespan
        @contextlib.asynccontextmanager
        async def lifespan() -> AsyncIterator[Diary]:
            await trio.sleep(takes)
            self.lines.append("entered")
            yield self
            await trio.sleep(takes)
            self.lines.append("left")

    async def work(self, job: tickr.Job, seconds: float = 0) -> bool:
        self.lines.append("begins")
        try:
            await trio.sleep(seconds)
        finally:
            self.lines.append("ends")
        return job.shared is self

    def in_thread(self, job: tickr.Job) -> bool:
        return job.shared is self


def test_it_is_entered_before_the_first_claim_and_left_after_the_last_attempt() -> None:
    diary = Diary(takes=3)

    async def scenario(app: App) -> None:
        first = await app.submit("work", {"seconds": 100})
        in_thread = await app.submit("in_thread")
        await app.advance(10)
        await app.restart()
        assert diary.lines == ["entered", "begins", "ends", "left", "entered", "begins"]
        assert [await app.result(job) for job in (first, in_thread)] == [True, True]
        await app.restart()
        assert diary.lines[5:] == ["begins", "ends", "left", "entered"]

    run(diary.jobs, scenario, grace=5)


def test_each_node_has_its_own() -> None:
    jobs, made = tickr.Jobs(), list[object]()

    @jobs.lifespan
    @contextlib.asynccontextmanager
    async def lifespan() -> AsyncIterator[object]:
        made.append(object())
        yield made[-1]

    @jobs.handler("which")
    async def which(job: tickr.Job) -> int:
        return made.index(job.shared)

    async def scenario(app: App) -> None:
        assert await app.result(await app.submit("which")) == 0
        await app.crash()
        assert await app.result(await app.submit("which")) == 1

    run(jobs, scenario)


def test_jobs_that_are_included_keep_theirs_and_others_have_none() -> None:
    inner, outer = Diary(), tickr.Jobs()
    outer.include(inner.jobs)
    seen = []

    @outer.handler("plain")
    async def plain(job: tickr.Job) -> bool:
        return job.shared is None

    @outer.middleware
    @contextlib.asynccontextmanager
    async def round_all(job: tickr.Job) -> AsyncIterator[None]:
        seen.append(job.shared)
        yield

    async def scenario(app: App) -> None:
        assert [await app.result(await app.submit(type)) for type in ("work", "plain")] == [True, True]

    run(outer, scenario)
    assert seen == [inner, None]
    assert inner.lines == ["entered", "begins", "ends"]


def test_several_are_left_in_reverse() -> None:
    lines: list[str] = []
    outer = tickr.Jobs()
    for name in ("a", "b"):
        outer.include(one_that_writes(name, lines))

    async def scenario(app: App) -> None:
        assert await app.result(await app.submit("b")) == "b"
        await app.restart()

    run(outer, scenario)
    assert lines[:4] == ["a entered", "b entered", "b left", "a left"]


def one_that_writes(name: str, lines: list[str]) -> tickr.Jobs:
    jobs = tickr.Jobs()

    @jobs.lifespan
    @contextlib.asynccontextmanager
    async def lifespan() -> AsyncIterator[str]:
        lines.append(f"{name} entered")
        yield name
        lines.append(f"{name} left")

    @jobs.handler(name)
    async def handler(job: tickr.Job) -> Any:
        return job.shared

    return jobs


# -- when it fails ----------------------------------------------------------------------------------------------------


def failing(at: str) -> tickr.Jobs:
    jobs = tickr.Jobs()

    async def fail_soon() -> None:
        await trio.sleep(30)  # virtual
        raise ConnectionError("the database is gone")

    @jobs.lifespan
    @contextlib.asynccontextmanager
    async def pool() -> AsyncIterator[None]:
        if at == "as it was entered":
            raise ConnectionError("the database is gone")
        async with trio.open_nursery() as nursery:
            if at == "meanwhile":
                nursery.start_soon(fail_soon)
            yield
        if at == "as it was left":
            raise ConnectionError("the database is gone")

    @jobs.handler("work")
    async def work(seconds: float) -> str:
        await trio.sleep(seconds)
        return "done"

    return jobs


def the(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup) and len(group.exceptions) == 1:
        group = group.exceptions[0]
    return group


@pytest.mark.parametrize("at", ["as it was entered", "as it was left", "meanwhile"])
def test_a_node_whose_lifespan_fails_ends_and_says_why(at: str) -> None:
    async def scenario(app: App) -> None:
        job = await app.submit("work", {"seconds": 32})
        await app.advance(31)
        await app.drained()
        assert app.job(job).state == "succeeded"  # also where it broke meanwhile: the node stops as it is asked to
        await app.restart()

    with pytest.raises((LifespanFailed, BaseExceptionGroup)) as raised:
        run(failing(at), scenario, grace=5)
    error = the(raised.value)
    assert isinstance(error, LifespanFailed)
    assert str(error).endswith(f".pool failed {at}: ConnectionError: the database is gone")


def test_one_that_does_not_end_is_cut_off() -> None:
    jobs = tickr.Jobs()
    ended: list[float] = []

    @jobs.lifespan
    @contextlib.asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        yield
        began = trio.current_time()
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time() - began)

    @jobs.handler("work")
    async def work() -> None: ...

    async def scenario(app: App) -> None:
        await app.restart()

    run(jobs, scenario)
    assert ended[0] == LEAVES_WITHIN_S


# -- what is none -----------------------------------------------------------------------------------------------------


async def bare() -> AsyncIterator[None]:
    yield


async def coroutine() -> None: ...


@contextlib.asynccontextmanager
async def of_a_job(job: object) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (bare, "with @contextlib.asynccontextmanager right above it"),
        (coroutine, "a lifespan yields, below @contextlib.asynccontextmanager"),
        (of_a_job, "it can not be called without arguments"),
        (5, "5 is no lifespan: it can not be called"),
    ],
)
def test_what_is_no_lifespan_is_refused(given: Any, why: str) -> None:
    with pytest.raises(TypeError, match=why):
        tickr.Jobs().lifespan(given)


def test_a_second_one_is_refused() -> None:
    diary = Diary()
    with pytest.raises(ValueError, match="there is a lifespan already"):
        diary.jobs.lifespan(contextlib.asynccontextmanager(bare))
