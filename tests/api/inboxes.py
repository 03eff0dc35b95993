"""A memory store into which others can put jobs, as they can into a database, and a node's inbox over it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from tests.api.site import context_on
from tests.ports import Observed
from tickr.api.context import Context
from tickr.api.inbox import Inbox
from tickr.bell import LocalBell
from tickr.index.heap import HeapIndex
from tickr.jobs import Job
from tickr.store.contract import Filter
from tickr.store.memory import MemoryStore

START_US = 1_700_000_000_000_000


class SharedStore(MemoryStore):
    """``insert_row`` does what the SQL of another program does."""

    name = "shared"

    def insert_row(self, job: str | bytes | None = None, *, id: str | None = None, **fields: Any) -> int:
        text = json.dumps(fields) if job is None else job
        return self.put_in_inbox(text.encode() if isinstance(text, str) else text, id)

    def ids(self) -> list[str]:
        return [row.id for row in self._inbox.values()]

    async def all_jobs(self) -> list[Job]:
        return (await self.list_jobs(Filter(), limit=100_000)).jobs

    async def reasons(self) -> list[str]:
        return [row.reason for row in await self.inbox_refused(1000)]


def virtual_clock() -> int:
    return START_US + round(trio.current_time() * 1_000_000)


@asynccontextmanager
async def open_inbox(store: Observed, **settings: Any) -> AsyncIterator[tuple[Inbox, Context]]:
    """Run an inbox, and the intake that it needs, without a socket; at the end it is stopped as a node does."""
    context = context_on(store, HeapIndex(), LocalBell(), **settings)
    inbox, ended = Inbox(context), trio.Event()

    async def run() -> None:
        await inbox.run()
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(context.intake.run)
        nursery.start_soon(run)
        yield inbox, context
        context.stopping.set()
        with trio.fail_after(20):
            await ended.wait()
        nursery.cancel_scope.cancel()


def virtual_store() -> Observed:
    return Observed(SharedStore(clock=virtual_clock))
