"""One seed from beginning to end: ``run(seed)`` says what is wrong with it, in a few milliseconds."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple

import structlog
import trio
from trio.testing import MockClock

from tests.simulation.chance import logged, seeded
from tests.simulation.plan import Plan, draw
from tests.simulation.verdict import judge
from tests.simulation.world import World

ALARMING = frozenset(
    {"job.outcome_refused", "job.notes_refused", "job.left_behind", "feed.not_understood", "feed.rows_lost"}
    | {"feed.another_history", "worker.slots_lost"}
)
"""What the product must never have to log here."""


class Run(NamedTuple):
    """``wrong``: one line for each thing that is; ``trace``: what happened, line by line, if that was asked for."""

    plan: Plan
    wrong: list[str]
    trace: list[str]
    virtual_s: float
    calls: int


def command(seed: int) -> str:
    """Return what repeats the run of ``seed``."""
    return f"python -m tests.simulation --seed {seed} --trace"


def run(seed: int, *, trace: bool = False) -> Run:
    """Run the plan of ``seed`` and judge it. Not inside trio."""
    plan = draw(seed)
    lines: list[str] = []
    take: Callable[[str], None] | None = lines.append if trace else None
    world = World(plan, take)
    log = _Log(world)
    clock = MockClock(autojump_threshold=0)
    with seeded(seed), logged(log.take, logging.DEBUG if trace else logging.ERROR):
        try:
            trio.run(world.run, clock=clock)
        except Exception as error:
            world.wrong.append(f"a node crashed: {_told(error)}")
        wrong = [*log.alarms, *judge(world)]
    return Run(plan, wrong, lines, clock.current_time(), world.weather.calls)


class _Log:
    """What the product logs: into the trace, and the worst of it is wrong in any case."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.alarms: list[str] = []

    def take(self, _logger: object, _level: str, said: MutableMapping[str, Any]) -> str:
        event = said.pop("event")
        if event in ALARMING:
            self.alarms.append(f"the log says {event}: {dict(said)}")
        self._world.weather.say(f"    log: {event} " + " ".join(f"{key}={value}" for key, value in said.items()))
        raise structlog.DropEvent


def _told(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return " and ".join(map(_told, error.exceptions))
    return f"{type(error).__name__}: {error}"
