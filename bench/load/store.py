"""Jobs straight into a store and its index, as a node does that has taken them: for backlogs, and beside a node.

Comes in: a ``Fill``. Goes out: its ``Filled``. The index gets the store's epoch, so that a node which starts finds
everything in order and does not fill it again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import trio
import uuid_utils

from bench.stage.remote import orders
from tickr.announce import Announcer
from tickr.bell import open_bell
from tickr.index.contract import Index
from tickr.index.open import open_index
from tickr.jobs import NewJob
from tickr.store.contract import MAX_BATCH, Store
from tickr.store.open import open_store

CLOCKS_US = 10_000
"""How far the store's clock may be behind what is known of it here."""


@dataclass(frozen=True)
class Fill:
    """``count`` jobs in batches of ``size``, with ``fields`` of ``NewJob`` and ``spread_us`` more delay for each."""

    count: int
    fields: dict[str, Any] = field(default_factory=lambda: {"type": "noop"})
    size: int = MAX_BATCH
    spread_us: int = 0


@dataclass(frozen=True)
class Filled:
    """When it began and ended (CLOCK_MONOTONIC), and the store's clock before the first."""

    stored: int
    began_ns: int
    ended_ns: int
    since_us: int

    @property
    def seconds(self) -> float:
        return max(self.ended_ns - self.began_ns, 1) / 1e9


def fill(pipe: Connection) -> None:
    """The process: for each ``(store, index, Fill)`` on ``pipe`` put the jobs there and send a ``Filled``."""
    for order in orders(pipe):
        pipe.send(trio.run(partial(_fill, *order)))


async def _fill(store_url: str, index_url: str, order: Fill) -> Filled:
    async with open_store(store_url) as store, open_index(index_url) as index, open_bell(index_url) as bell:
        if index.shared:
            await _introduce(store, index)
        announcer = Announcer(store, index if index.shared else None, bell)
        since_us, began, done = store.now_us() - CLOCKS_US, time.monotonic_ns(), 0
        for batch in _batches(order):
            jobs = [job for job, _ in await store.insert(batch)]
            await announcer.announce([job.entry() for job in jobs], at=jobs[0].created_at)
            done += len(jobs)
        return Filled(done, began, time.monotonic_ns(), since_us)


async def _introduce(store: Store, index: Index) -> None:
    await index.wait_available()
    epoch = await store.epoch(str(uuid_utils.uuid7()))
    if await index.epoch() != epoch:
        await index.set_epoch(epoch)


def _batches(order: Fill) -> Iterator[list[NewJob]]:
    delay_us = order.fields.get("delay_us", 0)
    for done in range(0, order.count, order.size):
        numbers = range(done, min(done + order.size, order.count))
        yield [
            NewJob(id=str(uuid_utils.uuid7()), **{**order.fields, "delay_us": delay_us + number * order.spread_us})
            for number in numbers
        ]
