"""Schedules in a simulation: they tick through all its faults, and every tick must have been dealt with once.

They are put before the run begins and paused when everything has healed and they have caught up; what nodes do in
between is theirs. Where the store's clock is stepped by an hour, what is missed is not made up for: that would be too
many jobs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from tickr.events import Event
from tickr.jobs import NewJob
from tickr.schedule_moves import Pause, Put
from tickr.schedules import Missed, Overlap, Schedule
from tickr.store.memory import MemoryStore
from tickr.ticks import SECOND_US, Timing

NUMBER = 1_000
"""The number in the payload of their jobs; no submitter has it."""


class SchedulePlan(NamedTuple):
    every_s: float
    missed: Missed
    overlap: Overlap
    times: int | None = None


def draw(dice: random.Random, families: tuple[str, ...]) -> tuple[SchedulePlan, ...]:
    missed: Missed = "once" if "steps" in families else "all"
    count = dice.choice((0, 0, 0, 1, 2))
    return tuple(
        SchedulePlan(
            dice.choice((1.0, 1.75, 4.0)), missed, dice.choice(("allow", "skip")), dice.choice((None, None, 3))
        )
        for _ in range(count)
    )


async def put(store: MemoryStore, plans: tuple[SchedulePlan, ...]) -> None:
    for number, plan in enumerate(plans):
        job = NewJob(id="", type="quick", payload=f'{{"number": {NUMBER + number}}}')
        timing = Timing(every_us=int(plan.every_s * SECOND_US))
        wish = Put(name=f"s{number}", timing=timing, job=job, given="{}", missed=plan.missed, overlap=plan.overlap)
        await store.move_schedules([msgspec.structs.replace(wish, times=plan.times)])


def caught_up(store: MemoryStore) -> bool:
    """Whether nothing is due that nobody has dealt with."""
    return all(one.ended if one.next_at is None else one.next_at > store.now_us() for one in store._schedules.values())


async def pause(store: MemoryStore) -> None:
    for name in list(store._schedules):
        await store.move_schedules([Pause(name=name)])


def wrong(store: MemoryStore, told: list[Event], *, stepped: bool) -> Iterator[str]:
    """Yield what is wrong with what they have done in the end.

    Args:
      stepped: the clock is set now and then. If it is set back after a tick, the tick's job is created before it.
    """
    created = {event.job: event.time for event in told if event.what == "created"}
    ticks: dict[str, list[int]] = {name: [] for name in store._schedules}
    for job in store._jobs.values():
        if job.extras.schedule is not None:
            tick = job.extras.tick or 0
            ticks[job.extras.schedule].append(tick)
            if created[job.id] < tick and not stepped:
                yield f"a job of {job.extras.schedule} was made before its tick"
    for name, schedule in store._schedules.items():
        yield from _wrong(schedule, ticks[name])


def _wrong(schedule: Schedule, made: list[int]) -> Iterator[str]:
    every = schedule.timing.every_us or 0
    if schedule.fired != len(made):
        yield f"{schedule.name} has made {len(made)} jobs and counted {schedule.fired}"
    if schedule.times is not None and len(made) > schedule.times:
        yield f"{schedule.name} has made {len(made)} jobs, more than {schedule.times}"
    if schedule.ended and schedule.fired != schedule.times:
        yield f"{schedule.name} has ended after {schedule.fired} jobs"
    if len(set(made)) != len(made):
        yield f"{schedule.name} has made two jobs for one tick: {sorted(made)}"
    if any((tick - schedule.anchor_at) % every for tick in made):
        yield f"{schedule.name} has made a job for what is no tick"
    last = schedule.last_tick or schedule.anchor_at
    passed = (last - schedule.anchor_at) // every
    if schedule.missed == "all" and len(made) + schedule.overlapped + schedule.missed_ticks != passed:
        yield f"{schedule.name} has made {len(made)} jobs and left out {schedule.overlapped} of {passed} ticks"
    if schedule.overlap == "allow" and schedule.overlapped:
        yield f"{schedule.name} has left out a tick that it must not"
