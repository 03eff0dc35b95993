"""Nodes with functions that give schedules their ticks, for the tests of both sides of them, in virtual time."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import tickr
from tests.stages.conftest import SECOND_US, START_US, Stage
from tests.store.backends import new_id
from tickr import declared
from tickr.next_ticks import NextTick
from tickr.scheduler.foretell import Foretell
from tickr.schedules import Schedule
from tickr.store.contract import Node
from tickr.timetable import Timetable


class Patience:
    """Holds the virtual clock while a function is in its thread, as long as none of them hangs for good."""

    def __init__(self, clock: MockClock) -> None:
        self._clock, self._at_work, self._given_up = clock, 0, 0

    def move(self, by: int) -> None:
        self._at_work += by
        self._clock.autojump_threshold = math.inf if self._at_work > self._given_up else 0

    def give_up(self) -> None:
        """From within a function: it will not come back by itself."""
        self._given_up += 1
        self.move(0)


@pytest.fixture(autouse=True)
def patience(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> Patience:
    held, real = Patience(autojump_clock), trio.to_thread.run_sync

    async def run_sync(work: Any, *, limiter: trio.CapacityLimiter, **more: Any) -> Any:
        if limiter.borrowed_tokens:  # by one that hangs
            return await real(work, limiter=limiter, **more)
        held.move(1)
        try:
            return await real(work, limiter=limiter, **more)
        finally:
            held.move(-1)
            held._given_up = 0

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)
    return held


def every(seconds: float) -> NextTick:
    return lambda after: after + timedelta(seconds=seconds)


def program(function: Callable[[Any], Any], name: str = "s", **wish: Any) -> tickr.Jobs:
    jobs = tickr.Jobs()
    jobs.schedules.add(name, "noop", next_tick=function, **wish)
    return jobs


@asynccontextmanager
async def node(stage: Stage, *programs: tickr.Jobs) -> AsyncIterator[Foretell]:
    """A block in which a node with those declarations lives, as far as those go."""
    found = [one for jobs in programs for one in declared.read(jobs, stage.store.now_us())]
    about = Node(id=new_id(), host="h", pid=1, version="1", declared=tuple(one.mark for one in found))
    await stage.store.register(about, lease_s=1e6)
    foretold = Foretell(declared.told(found), stage.store, stage.bell)
    async with trio.open_nursery() as nursery:
        timetable = Timetable(stage.store, stage.bell, stage.announcer)
        await nursery.start(declared.keep, found, stage.store, timetable)
        nursery.start_soon(foretold.run)
        yield foretold
        nursery.cancel_scope.cancel()
    await stage.store.deregister(about.id)


async def look(stage: Stage, name: str = "s") -> Schedule:
    found = await stage.store.schedule(name)
    assert isinstance(found, Schedule)
    return found


async def known(stage: Stage, name: str = "s") -> list[float]:
    """Return the ticks that are known, in seconds since the beginning."""
    foreseen = (await look(stage, name)).foreseen
    return [(tick - START_US) / SECOND_US for tick in foreseen.ticks] if foreseen else []


async def fault(stage: Stage, name: str = "s") -> str | None:
    foreseen = (await look(stage, name)).foreseen
    return foreseen.fault if foreseen else None


async def until(holds: Callable[[], Any]) -> None:
    """Wait until the awaitable that ``holds`` gives says yes; in virtual time, so nothing is lost by looking often."""
    with trio.fail_after(1000):
        while not await holds():  # noqa: ASYNC110
            await trio.sleep(0.01)  # virtual
