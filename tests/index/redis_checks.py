"""What the tests of a faulty Redis share: an open index, what it must do, and what can be seen from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.ports import pop_ids
from tests.servers import Redis
from tests.waiting import eventually
from tickr.errors import IndexUnavailable
from tickr.index.contract import Index
from tickr.index.open import open_index
from tickr.jobs import Entry

NOW = 1_795_287_896_000_000
JOB = Entry("a", "default", 5, NOW)
Log = list[MutableMapping[str, Any]]


@asynccontextmanager
async def index_at(url: str) -> AsyncIterator[Index]:
    with trio.fail_after(30):
        async with open_index(url) as index:
            yield index


async def assert_works(index: Index) -> None:
    await index.push([JOB], now=NOW)
    assert await pop_ids(index, ["default"], 10) == ["a"]
    await index.set_epoch("works")
    assert await index.epoch() == "works"


async def assert_refuses_at_once(index: Index) -> None:
    started = trio.current_time()
    for call in (
        lambda: index.push([JOB], now=NOW),
        lambda: index.park([JOB], until=NOW),
        lambda: index.pop(["default"], 1),
        lambda: index.remove([JOB]),
        lambda: index.missing([JOB]),
        lambda: index.promote(NOW, 1),
        index.epoch,
        index.sizes,
    ):
        with pytest.raises(IndexUnavailable):
            await call()
    assert trio.current_time() - started < 0.5


async def assert_pop_breaks(index: Index) -> None:
    """Wait in a pop until it fails."""
    with pytest.raises(IndexUnavailable):
        await index.pop(["default"], 1)
    assert not index.available


async def pop_waits(server: Redis) -> None:
    """Return once a pop has reached the server and waits there."""

    async def blocked() -> bool:
        with server.client() as client:
            return bool(client.info("clients")["blocked_clients"])

    await eventually(blocked)


def events(log: Log) -> list[str]:
    return [line["event"] for line in log]
