"""A node that is alone looks rarely: every slow net is as many times slower as it is told to be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from tests.stages.conftest import NODE, Stage
from tests.stages.nodes import Slots
from tickr.scheduler.audit import PERIOD_S, Audit
from tickr.scheduler.promote import LONGEST_SLEEP_S, promote
from tickr.scheduler.reap import SWEEP_S, Reaper
from tickr.scheduler.retention import KEYS_PAUSE_S, LOOK_S, KeyRetention, Retention
from tickr.worker.gates import QUEUES_NET_S, Gates

STRETCH = 100.0
LOOKS = 5
Start = Callable[[Stage, float], Callable[[], Awaitable[Any]]]


def reap(stage: Stage, stretch: float) -> Callable[[], Awaitable[Any]]:
    return Reaper(stage.store, stage.announcer, stretch=stretch).run


def audit(stage: Stage, stretch: float) -> Callable[[], Awaitable[Any]]:
    return Audit(stage.store, stage.index, stage.bell, stretch=stretch).run


def retain(stage: Stage, stretch: float) -> Callable[[], Awaitable[Any]]:
    return Retention(stage.store, events_keep_s=1e6, stretch=stretch).run


def retain_keys(stage: Stage, stretch: float) -> Callable[[], Awaitable[Any]]:
    return KeyRetention(stage.store, stretch=stretch).run


def move(stage: Stage, stretch: float) -> Callable[[], Awaitable[Any]]:
    return lambda: promote(stage.store, stage.index, stage.bell, stretch)


def claim(stage: Stage, stretch: float) -> Callable[[], Awaitable[Any]]:
    pool = Slots(stage, trio.lowlevel.checkpoint).pool
    gates = Gates(stage.store, stage.index, stage.bell, stretch=stretch)
    claimer = stage.claimer(pool, {"noop"}, gates)
    return lambda: claimer.run(NODE)


@pytest.mark.parametrize("stretch", [1.0, STRETCH])
@pytest.mark.parametrize(
    ("start", "call", "usual_s"),
    [
        (reap, "nodes", SWEEP_S),
        (audit, "epoch", PERIOD_S),
        (retain, "number_events", LOOK_S),
        (retain_keys, "prune_keys", KEYS_PAUSE_S),
        (move, "promote", LONGEST_SLEEP_S),
        (claim, "queue_names", QUEUES_NET_S),
    ],
)
async def test_so_often_a_duty_looks(
    start: Start, call: str, usual_s: float, stretch: float, stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    with trio.move_on_after((LOOKS - 0.5) * usual_s * stretch):
        await start(stage, stretch)()
    looked_at = stage.store if call in ("nodes", "number_events", "prune_keys", "queue_names") else stage.index
    assert looked_at.calls[call] == LOOKS


async def test_what_a_duty_is_told_of_it_does_at_its_instant(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    """However slow its net is."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(move(stage, 1e6))
        await trio.testing.wait_all_tasks_blocked()
        await stage.submit(delay_us=7_000_000)
        await trio.sleep(6.9)  # virtual
        assert await stage.indexed() == (0, 1)
        await trio.sleep(0.1)  # virtual
        assert await stage.indexed() == (1, 0)
        nursery.cancel_scope.cancel()


async def test_the_end_of_a_lease_is_waited_for_to_the_instant(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    (job,) = await stage.submit()
    await stage.run_elsewhere(job, lease_s=15)
    with trio.move_on_after(15.1):
        await reap(stage, 1e6)()
    assert (await stage.get(job)).crashes == 1
