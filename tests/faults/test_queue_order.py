"""Newest first with real nodes: the order outlives kills and an emptied Redis, and a change reaches everybody in time.

The witness is the store's own log of events: what was started, and what was due and waited at that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import httpx2
import pytest
import trio

from tests.faults.collect import StoredEvent
from tests.faults.fleet import Fleet, Place, fleet
from tests.waiting import eventually
from tickr.index.open import open_index
from tickr.index.redis import RedisIndex

pytestmark = pytest.mark.slow

LEASE_S = 2.0
CONVERGED_S = 10.0
"""In so many seconds after a change, and after it was emptied, the index has the order: two looks, on a machine that is
busy. To the second it is tested in virtual time (``tests/stages/test_queue_order.py``)."""
COUNT = 24
AT_ONCE = 4
"""Jobs that two nodes with two slots each take at once; among those there is no order."""
OUT_OF_TURN = COUNT // 3
"""How many may come late: what a node had taken when it was killed, or was not given the processor for. Of the other
order, or of a mixture, nearly all would."""


async def put_order(on: Fleet, order: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.put(f"{on.nodes[0].url}/queues/live/order", json={"order": order})
    assert answer.json()["order"] == order


async def ask(on: Fleet, path: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(on.nodes[0].url + path)
    assert answer.status_code == 200, answer.text


async def until_newest_first(redis_url: str, ids: Sequence[str], *, emptied: bool = False) -> None:
    """Return once the index has ``ids`` the newest first; ``emptied``: after all that it knew was taken from it."""
    async with open_index(redis_url) as index:
        assert isinstance(index, RedisIndex)
        line = index._ready + "live"
        if emptied:
            await index._link.send(("DEL", line, index._orders, index._epoch))

        async def is_newest_first() -> bool:
            [found] = await index._link.send(("ZRANGE", line, 0, -1))
            return [job_id.decode() for job_id in found] == ids[::-1]

        await eventually(is_newest_first, within_s=CONVERGED_S)


async def fill(on: Fleet) -> list[str]:
    """Submit jobs into the queue, which is paused, one after the other; none is due at the instant of another."""
    return [await on.submit("slow", options={"queue": "live"}, seconds=0.1) for _ in range(COUNT)]


def started(events: Iterable[StoredEvent], ids: Sequence[str]) -> list[int]:
    """Return which of ``ids`` were started, as their places among them, in the order of their first starts."""
    places = {job_id: at for at, job_id in enumerate(ids)}
    begun = [places[event.job] for event in events if event.what == "started" and event.job in places]
    return list(dict.fromkeys(begun))


def late(places: Sequence[int], *, by: int) -> list[int]:
    """Return those that came after one that was due by more than ``by`` places earlier."""
    return [place for at, place in enumerate(places) if place - min(places[:at], default=place) > by]


async def test_the_newest_start_first_on_two_nodes_also_after_a_kill(
    tmp_path: Path, mysql_url: str, redis_url: str
) -> None:
    async with fleet(tmp_path, Place(mysql_url, redis_url), nodes=2, lease_s=LEASE_S, workers=2) as on:
        await put_order(on, "newest")
        await ask(on, "/queues/live/pause")
        ids = await fill(on)
        on.kill(on.nodes[1])
        await on.restart(on.nodes[1])
        await until_newest_first(redis_url, ids)  # who was asked may have heard of the order a moment later
        await ask(on, "/queues/live/resume")
        await on.marked(ids[-6:], "start")
        on.kill(on.nodes[1])
        await on.restart(on.nodes[1])
        await on.all_final(within_s=40)
        _, events = await trio.to_thread.run_sync(on.stored)
        places = started(events, ids)
        assert sorted(places) == list(range(COUNT))
        assert places[0] >= COUNT - AT_ONCE
        assert len(late(places, by=AT_ONCE)) <= OUT_OF_TURN
        await on.verdict()


async def test_a_change_under_a_backlog_holds_for_all_nodes_in_time(
    tmp_path: Path, mysql_url: str, redis_url: str
) -> None:
    async with fleet(tmp_path, Place(mysql_url, redis_url), nodes=2, lease_s=LEASE_S, workers=2) as on:
        await ask(on, "/queues/live/pause")
        ids = await fill(on)
        on.kill(on.nodes[1])  # who comes back has heard of nothing
        await put_order(on, "newest")
        await on.restart(on.nodes[1])
        await until_newest_first(redis_url, ids, emptied=True)
        await ask(on, "/queues/live/resume")
        await on.all_final(within_s=40)
        _, events = await trio.to_thread.run_sync(on.stored)
        places = started(events, ids)
        assert places[0] >= COUNT - AT_ONCE
        assert len(late(places, by=AT_ONCE)) <= OUT_OF_TURN
        await on.verdict()
