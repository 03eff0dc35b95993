"""Row 13, the event feed: listeners who are cut off 10,000 times while 2,000 jobs run hear everything, in order."""

from __future__ import annotations

import random
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx2
import pytest
import trio

from tests.features.rude_listeners import WAYS, Crowd, Heard
from tests.processes import TickrProcess
from tests.servers import Redis
from tests.waiting import eventually
from tickr import events
from tickr.events import AnyEvent, Event
from tickr.store.contract import Store
from tickr.store.open import open_store

pytestmark = [pytest.mark.slow, pytest.mark.long]

APP = "tests.features.feed_jobs:jobs"
JOBS = 2_000
DISCONNECTS = 10_000
LISTENERS = 120
SUBMITTERS = 8
FINAL_EVENTS = {"succeeded", "failed", "cancelled"}
FILTERS = (
    *("" for _ in range(6)),
    "&queue=one",
    "&queue=one&queue=two&type=talks",
    "&type=flaky&type=broken",
    "&event=succeeded&event=failed&event=cancelled",
    "&event=progress&event=log",
)
SHAPES: tuple[dict[str, Any], ...] = (
    *({"type": "quick"} for _ in range(5)),
    {"type": "talks", "payload": {"times": 2}},
    {"type": "flaky"},
    {"type": "broken"},
    {"type": "waits", "payload": {"seconds": 30}},  # cancelled while it runs
    {"type": "quick", "delay": 3600},  # cancelled before it is due
)


class Milestones:
    """Lets tasks wait until so many lines have been cut."""

    def __init__(self) -> None:
        self._reached = 0
        self._waiting: defaultdict[int, trio.Event] = defaultdict(trio.Event)

    def reach(self, count: int) -> None:
        self._reached = count
        for due in [due for due in self._waiting if due <= count]:
            self._waiting.pop(due).set()

    async def wait(self, count: int) -> None:
        if count > self._reached:
            await self._waiting[count].wait()


class Submitter:
    """Submits jobs to whichever node takes them, in step with the disconnects, and cancels and redrives some."""

    def __init__(self, ports: list[int], chance: random.Random) -> None:
        self.ids: list[str] = []
        self._clients = [httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) for port in ports]
        self._random = chance

    async def run(self, milestones: Milestones) -> None:
        numbers = iter(range(JOBS))
        async with trio.open_nursery() as nursery:
            for _ in range(SUBMITTERS):
                nursery.start_soon(self._submit, numbers, milestones)
        for client in self._clients:
            await client.aclose()

    async def _submit(self, numbers: Iterator[int], milestones: Milestones) -> None:
        for number in numbers:
            await milestones.wait(number * DISCONNECTS // JOBS)
            shape = SHAPES[number % len(SHAPES)]
            job = {**shape, "id": str(uuid.uuid4()), "queue": self._random.choice(("one", "two", "three"))}
            await self._ask("/jobs", job)
            self.ids.append(job["id"])
            if shape["type"] == "waits" or "delay" in shape:
                await self._ask(f"/jobs/{job['id']}/cancel")
            if "delay" in shape:
                await self._ask(f"/jobs/{job['id']}/retry")

    async def _ask(self, path: str, body: object = None) -> None:
        async def taken() -> bool:
            try:
                answer = await self._random.choice(self._clients).post(path, json=body)
            except httpx2.TransportError:
                return False
            # 409: it was done already, by a request whose answer was lost with its node.
            assert answer.status_code in (200, 201, 202, 409, 503), answer.text
            return answer.status_code != 503

        await eventually(taken, within_s=30)


async def misfortunes(first: TickrProcess, second: TickrProcess, redis: Redis, milestones: Milestones) -> None:
    """What befalls the nodes and Redis meanwhile."""

    async def at(share: float, *steps: Callable[[], object]) -> None:
        await milestones.wait(int(share * DISCONNECTS))
        for step in steps:
            await trio.to_thread.run_sync(step)

    await at(0.10, first.kill)
    await at(0.18, first.start)
    await at(0.30, redis.flush)
    await at(0.40, second.terminate, second.wait, second.start)
    await at(0.55, second.kill, second.start)
    await at(0.70, redis.flush)
    await at(0.75, first.terminate, first.wait, first.start)
    await at(0.90, first.kill, first.start)


class Log:
    """The store's own log, every event with the number of its row, as far as it has been read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.events: list[tuple[int, AnyEvent]] = []
        self._last: dict[str, Event] = {}

    async def read_on(self) -> None:
        while rows := await self._store.event_rows(self.head, 500, 4 * 1024 * 1024):
            for seq, body in rows:
                for event in events.decode(body):
                    self.events.append((seq, event))
                    if isinstance(event, Event) and not event.note:
                        self._count(event)

    def _count(self, event: Event) -> None:
        """Per job versions go 1, 2, 3 …"""
        before = self._last.get(event.job)
        assert event.version == (before.version + 1 if before else 1), event
        self._last[event.job] = event

    @property
    def head(self) -> int:
        return self.events[-1][0] if self.events else 0

    def has_ended(self, jobs: list[str]) -> bool:
        return all(job in self._last and self._last[job].what in FINAL_EVENTS for job in jobs)


def takes(query: str, event: AnyEvent) -> bool:
    """Whether a listener with this filter is due ``event``; reckoned here once more, apart from Tickr."""
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for pair in query.split("&")[1:]:
        name, _, value = pair.partition("=")
        wanted[name].add(value)
    if not isinstance(event, Event):  # of a node that takes long to stop: for those alone who want everything
        return not wanted
    has = {"queue": event.queue, "type": event.type, "event": event.what}
    return all(has[name] in values for name, values in wanted.items())


@pytest.mark.timeout(300)
async def test_event_feed_10_000_disconnects_while_2_000_jobs_run_and_nodes_and_redis_go_down(
    mysql_url: str, redis_server: Redis
) -> None:
    chance = random.Random(13)
    arguments = ("--lease", "3", "--grace", "1", "--log-level", "warning")
    node = partial(TickrProcess, store=mysql_url, index=redis_server.url, workers=20, app=APP, arguments=arguments)
    with node() as first, node() as second:
        ports = [first.port, second.port]
        milestones = Milestones()
        crowd = Crowd(ports, chance, on_hang_up=milestones.reach)
        start = httpx2.get(f"{first.url}/jobs").json()["feed_cursor"]
        listeners = [Heard(FILTERS[number % len(FILTERS)], [start]) for number in range(LISTENERS)]
        submitter = Submitter(ports, chance)
        crowd.has_time = lambda: crowd.hung_up * JOBS > (len(submitter.ids) + 2 * SUBMITTERS) * DISCONNECTS
        async with open_store(mysql_url) as store, trio.open_nursery() as listening:
            for number, heard in enumerate(listeners):
                listening.start_soon(crowd.listen, heard, WAYS[number % len(WAYS)])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(misfortunes, first, second, redis_server, milestones)
                nursery.start_soon(submitter.run, milestones)
            await milestones.wait(DISCONNECTS)
            log = Log(store)

            async def all_ended() -> bool:
                await log.read_on()
                return log.has_ended(submitter.ids)

            await eventually(all_ended, within_s=60)
            crowd.heard_to = log.head
    told = [event for _, event in log.events]
    assert {event.what for event in told} >= {"created", "started", "retrying", "redriven", "progress", "log"}
    assert {event.what for event in told} >= FINAL_EVENTS
    place_of = {event.id: place for place, event in enumerate(told)}
    assert len(place_of) == len(told)
    for heard in listeners:
        heard.check(place_of, [event.id for event in told if takes(heard.query, event)])
