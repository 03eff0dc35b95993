"""Keys in the simulation: clients that repeat their requests, and that want one job for one thing, whatever strikes.

The plans are those of every seed; beside their jobs there are some with keys. What the plans' own jobs must do is
judged elsewhere (``test_seeds.py``); here the log of events tells whether two jobs with one key were ever alive at
once, and the clients whether they were ever told of two.
"""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Iterator
from typing import Any

import outcome
import pytest
import structlog
import trio
from trio.testing import MockClock

from tests.simulation.chance import logged, seeded
from tests.simulation.clients import PAUSE_S
from tests.simulation.plan import LEASE_S, TROUBLE_S, draw
from tests.simulation.verdict import _rows
from tests.simulation.world import World
from tests.store.keyed import request, unique_of
from tickr.events import Event
from tickr.jobs import FINAL, Extras, Job, NewJob
from tickr.keys import OnConflict, Wish
from tickr.store import keys
from tickr.store.keys import Key

SEEDS, CHUNK = 300, 50
REQUESTS, UNIQUE, NAMES = 4, 8, ("a", "b")


class Client:
    """Who submits something with keys. What a ``World`` wants of its submitters is here, too: it told nobody anything.

    Attributes:
      told: the jobs of all answers.
    """

    heard = cancelled_version = None
    cancelled = False

    def __init__(self, world: World, dice: random.Random, number: int) -> None:
        self._world = world
        self._at = dice.uniform(0.0, TROUBLE_S)
        self._patience_s = dice.choice((1.0, 10.0))
        self._again_s = dice.uniform(0.1, 3.0)
        self.number = number
        self.told: list[Job] = []
        self.done = False
        self.dice = dice

    async def run(self) -> None:
        await trio.sleep_until(self._at)
        await self._submit()
        await trio.sleep(self._again_s)
        await self.afterwards()
        self.done = True

    def new(self) -> NewJob:
        raise NotImplementedError

    async def afterwards(self) -> None:
        raise NotImplementedError

    async def _submit(self) -> None:
        while True:
            if await self._ask("submit", self.new()):
                return
            await trio.sleep(PAUSE_S)

    async def _ask(self, what: str, about: Any) -> bool:
        """Ask some node; return whether there was an answer that settles it."""
        process = await self._world.somebody()
        assert process.handle is not None
        intake = process.handle._context.intake
        given = await process.ask(getattr(intake, what), about, within_s=self._patience_s)
        self._world.weather.say(f"client {self.number} asked {process} to {what}")
        if not isinstance(given, outcome.Value):
            return given is not None and given.error.code in ("unique_conflict", "illegal_transition", "job_not_found")
        if what == "submit":
            self.told.append(given.value[0])
        return True


class Repeating(Client):
    """Repeats its request until it is answered, and then once more. Its key outlasts every step of the clock."""

    def new(self) -> NewJob:
        payload = f'{{"number":{self.number}}}'
        wish = Wish(idempotency=request(f"r{self.number}", keep_s=1_000_000))
        return NewJob(id=str(uuid.UUID(int=self.dice.getrandbits(128))), type="quick", payload=payload, wish=wish)

    async def afterwards(self) -> None:
        await self._submit()


class Unique(Client):
    """Wants one job for its key, and has what it was told of run again."""

    def new(self) -> NewJob:
        unique = unique_of(self.dice.choice(NAMES))
        seconds = self.dice.choice((0.0, 0.5, LEASE_S))
        return NewJob(
            id=str(uuid.UUID(int=self.dice.getrandbits(128))),
            type="slow",
            payload=f'{{"number":{self.number},"seconds":{seconds}}}',
            delay_us=self.dice.choice((0, 500_000)),
            extras=Extras(unique=unique),
            wish=Wish(unique=unique, on_conflict=self.dice.choice(list(OnConflict))),
        )

    async def afterwards(self) -> None:
        if self.told and self.dice.random() < 0.5:
            await self._ask("retry", self.told[-1].id)


def run(seed: int) -> tuple[list[str], World]:
    """Run the plan of ``seed`` with clients of keys, and return what is wrong with these."""
    world, dice = World(draw(seed), None), random.Random(seed)
    kinds: list[type[Client]] = [Repeating] * REQUESTS + [Unique] * UNIQUE
    clients = [kind(world, dice, 1000 + number) for number, kind in enumerate(kinds)]
    world.submitters += clients  # type: ignore[arg-type]
    with seeded(seed), logged(dropped, logging.ERROR):
        trio.run(world.run, clock=MockClock(autojump_threshold=0))
    return [*world.wrong, *twice_alive(world), *told_of_two(world, clients)], world


def dropped(*_: object) -> str:
    raise structlog.DropEvent


def of_jobs(world: World) -> list[list[Event]]:
    """Return the events of jobs, by commit."""
    return [row for told in _rows(world) if (row := [event for event in told if isinstance(event, Event)])]


def twice_alive(world: World) -> Iterator[str]:
    """Yield where two jobs with one key were not final at once, as the log has it, commit by commit."""
    jobs = world.weather.store._jobs
    alive: dict[str, set[str]] = {name: set() for name in NAMES}
    for row in of_jobs(world):
        for event in row:
            unique = jobs[event.job].extras.unique
            if unique is not None:
                (alive[unique.key].discard if event.state in FINAL else alive[unique.key].add)(event.job)
        for name, ids in alive.items():
            if len(ids) > 1:
                yield f"{len(ids)} jobs with the key {name} are alive after {row[-1]}"


def told_of_two(world: World, clients: list[Client]) -> Iterator[str]:
    jobs = world.weather.store._jobs.values()
    for client in clients:
        if isinstance(client, Repeating):
            stored = [job.id for job in jobs if f'"number":{client.number}}}' in job.payload]
            if [job.id for job in client.told] != stored * len(client.told) or len(stored) != 1:
                yield f"client {client.number} was told of {client.told}; {stored} are stored"


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_a_key_is_one_job_whatever_strikes(first: int) -> None:
    for seed in range(first, first + CHUNK):
        wrong, _ = run(seed)
        assert not wrong, f"seed {seed}: " + "\n".join(wrong)


def test_there_is_something_to_be_seen() -> None:
    """Conflicts, replacements and repetitions happen, and jobs are run again."""
    seen = {"replaced": 0, "redriven": 0, "held": 0, "again": 0}
    for seed in range(20):
        _, world = run(seed)
        told = [event for row in of_jobs(world) for event in row]
        seen["replaced"] += sum(bool(event.error and event.error.kind == "replaced") for event in told)
        seen["redriven"] += sum(event.what == "redriven" for event in told)
        clients = [one for one in world.submitters if isinstance(one, Client)]
        seen["again"] += sum(len(one.told) > 1 for one in clients if isinstance(one, Repeating))
        ids = [job.id for one in clients if isinstance(one, Unique) for job in one.told]
        seen["held"] += len(ids) - len(set(ids))
    assert min(seen.values()) > 10, seen


@pytest.mark.parametrize("broken", ["nobody holds a key", "no request is known again", "who runs again needs no key"])
def test_what_is_broken_is_found(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    match broken:
        case "nobody holds a key":
            monkeypatch.setattr(keys, "holder", lambda *_: None)
        case "no request is known again":
            monkeypatch.setattr(keys._Admission, "_live", lambda *_: None)
        case _:
            monkeypatch.setattr(keys, "needs_key", lambda _job: None)
    assert any(run(seed)[0] for seed in range(CHUNK))


def test_a_row_that_is_written_is_kept_until_its_end() -> None:
    assert Key("n", "j", 1, None).look_at > 1
    assert Key("n", "j", 1, 5).look_at == 5
