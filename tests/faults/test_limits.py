"""Limits and pauses with real nodes: they hold over all of them, whoever is killed, and keep nobody waiting for ever.

Two witnesses: the store's own log of events, in which a job of a killed node runs until it is taken back, and the
handlers' ledger, in which what ran really is written down.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import httpx2
import pytest
import trio

from tests.faults.collect import StoredEvent
from tests.faults.fleet import Fleet, Place, fleet
from tests.waiting import eventually

pytestmark = pytest.mark.slow

LEASE_S = 2.0
LIMITED = {"max_running": 4, "max_running_per_key": 2}
BACKLOG = 20
RATED = {"rate": {"starts": 6, "period": 2}}
KEYS = ("acme", "acme", "acme", "zoo", None)


async def put(on: Fleet, queue: str, limits: dict[str, object]) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.put(f"{on.nodes[0].url}/queues/{queue}", json=limits)
    assert answer.status_code == 200, answer.text


async def ask(on: Fleet, path: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(on.nodes[0].url + path)
    assert answer.status_code == 200, answer.text


def most_at_once(events: Iterable[StoredEvent], groups: dict[str, str | None]) -> Counter[str | None]:
    """Return how many jobs of each group ran at once at most, as the store has it."""
    running: dict[str, str | None] = {}
    most: Counter[str | None] = Counter()
    for event in events:
        if event.what == "started":
            running[event.job] = groups[event.job]
            now = Counter(running.values())
            most |= now
        elif not event.note:
            running.pop(event.job, None)
    return most


def most_in(instants: list[int], period_us: int) -> int:
    """Return how many of ``instants`` lie in one period at most."""
    return max(sum(at - period_us < other <= at for other in instants) for at in instants)


async def runs_a_job(on: Fleet, pid: int) -> bool:
    last = {mark.job: mark.what for mark in on.marks(lambda mark: mark.pid == pid)}
    return "start" in last.values()


async def keep_busy(on: Fleet, groups: dict[str, str | None], enough: trio.Event) -> None:
    """Keep more jobs in the limited queue than may run, until it is ``enough``; fill ``groups`` with their keys."""
    ids: list[str] = []
    for key in itertools.takewhile(lambda _: not enough.is_set(), itertools.cycle(KEYS)):
        options = {"queue": "limited", **({"limit_key": key} if key else {})}
        ids.append(await on.submit("slow", options=options, seconds=0.3))
        groups[ids[-1]] = key
        await on.marked(ids[-BACKLOG - 1 : -BACKLOG], "done")


async def test_limits_hold_on_all_nodes_while_nodes_are_killed(tmp_path: Path, mysql_url: str, redis_url: str) -> None:
    async with fleet(tmp_path, Place(mysql_url, redis_url), nodes=2, lease_s=LEASE_S) as on:
        await put(on, "limited", LIMITED)
        await put(on, "rated", RATED)
        rated = [await on.submit("quick", options={"queue": "rated"}) for _ in range(14)]
        groups: dict[str, str | None] = {}
        async with trio.open_nursery() as nursery:
            enough = trio.Event()
            nursery.start_soon(keep_busy, on, groups, enough)
            for _ in range(2):
                victim = on.nodes[1]
                await eventually(partial(runs_a_job, on, victim.pid), within_s=30)
                on.kill(victim)
                await on.restart(victim)
            enough.set()
        await on.all_final(within_s=40)
        _, events = await trio.to_thread.run_sync(on.stored)
        limited = [event for event in events if event.job not in rated]
        assert most_at_once(limited, dict.fromkeys(groups)) == {None: 4}
        by_key = most_at_once(limited, groups)
        assert (by_key["acme"], by_key["zoo"] <= 2) == (2, True)
        starts = [event.at for event in events if event.what == "started" and event.job in rated]
        assert most_in(starts, 2_000_000) <= 6
        await on.verdict()


async def test_a_paused_queue_stays_paused_over_kill_and_restart(
    tmp_path: Path, mysql_url: str, redis_url: str
) -> None:
    async with fleet(tmp_path, Place(mysql_url, redis_url), nodes=2, lease_s=LEASE_S) as on:
        await ask(on, "/queues/rests/pause")
        resting = [await on.submit(options={"queue": "rests"}) for _ in range(5)]
        for node in on.nodes:
            on.kill(node)
            await on.restart(node)
        free = [await on.submit(options={"queue": "works"}) for _ in range(5)]
        await on.marked(free, "done")
        assert not on.marks(lambda mark: mark.job in resting)
        await ask(on, "/queues/rests/resume")
        await on.marked(resting, "done", within_s=5)
        await on.all_final()
        await on.verdict()


async def test_limits_hold_on_one_file(tmp_path: Path) -> None:
    async with fleet(tmp_path, nodes=2, lease_s=LEASE_S) as on:
        await put(on, "limited", {"max_running": 3})
        ids = [await on.submit("slow", options={"queue": "limited"}, seconds=0.1) for _ in range(15)]
        await on.marked(ids[:1], "start")
        on.kill(on.nodes[1])
        await on.restart(on.nodes[1])
        await on.all_final(within_s=30)
        _, events = await trio.to_thread.run_sync(on.stored)
        assert most_at_once(events, dict.fromkeys(ids))[None] == 3
        await on.verdict()


async def test_a_key_counts_over_queues_on_all_nodes_while_one_is_killed(
    tmp_path: Path, mysql_url: str, redis_url: str
) -> None:
    async with fleet(tmp_path, Place(mysql_url, redis_url), nodes=2, lease_s=LEASE_S) as on:
        groups: dict[str, str | None] = {}
        for queue in ("in", "out"):
            await put(on, queue, {"max_running_per_key": 1, "shared_keys": True})
        for n in range(24):
            options = {"queue": ("in", "out")[n % 2], "limit_key": KEYS[n % 4]}
            groups[await on.submit("slow", options=options, seconds=0.1)] = options["limit_key"]
        victim = on.nodes[1]
        await eventually(partial(runs_a_job, on, victim.pid), within_s=30)
        on.kill(victim)
        await on.restart(victim)
        await on.all_final(within_s=60)
        _, events = await trio.to_thread.run_sync(on.stored)
        assert most_at_once(events, groups) == {"acme": 1, "zoo": 1}
        await on.verdict()
