"""What the tests of middleware share: some that only look, some that raise or swallow, and a job run inside of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import trio

from tests.worker.attempts import claimed, running_pool
from tickr.reports import Outcome
from tickr.worker.handlers import Jobs
from tickr.worker.middleware import Middleware
from tickr.worker.view import Job

Steps = list[str]


def noting(steps: Steps, name: str) -> Middleware:
    @contextlib.asynccontextmanager
    async def middleware(job: Job) -> AsyncIterator[None]:
        steps.append(f"{name} in")
        await trio.lowlevel.checkpoint()
        try:
            yield
        except BaseException as error:
            steps.append(f"{name} {type(error).__name__}")
            raise
        else:
            steps.append(f"{name} out")

    return middleware


async def outcome_within(
    middleware: Middleware | list[Middleware], function: Any, payload: Any = None, **fields: Any
) -> Outcome:
    """Run one job of ``function`` inside ``middleware``, the first outermost."""
    jobs = Jobs()
    for one in middleware if isinstance(middleware, list) else [middleware]:
        jobs.middleware(one)
    jobs.handler("t")(function)
    async with running_pool(jobs) as bench:
        return await bench.run(claimed("t", payload, **fields))


def kind_of(outcome: Outcome) -> str:
    assert outcome.failure is not None
    return outcome.failure.kind


async def a_coroutine() -> None: ...


async def raises() -> None:
    raise ValueError("the handler's")


def raising(error: BaseException, *, at_exit: bool = False) -> Middleware:
    @contextlib.asynccontextmanager
    async def raises_its_own(job: Job) -> AsyncIterator[None]:
        if not at_exit:
            raise error
        try:
            yield
        finally:
            raise error

    return raises_its_own


@contextlib.asynccontextmanager
async def swallows(job: Job) -> AsyncIterator[None]:
    with contextlib.suppress(Exception):
        yield


@contextlib.asynccontextmanager
async def swallows_everything(job: Job) -> AsyncIterator[None]:
    with contextlib.suppress(BaseException):
        yield


@contextlib.asynccontextmanager
async def swallows_nothing(job: Job) -> AsyncIterator[None]:
    yield
