"""What only the heap promises: how much memory it takes, and that nothing piles up in it."""

from __future__ import annotations

import tracemalloc
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tickr.index.contract import MAX_POP, Sizes
from tickr.index.open import open_index
from tickr.jobs import Entry

NOW = 1_795_287_896_000_000


@contextmanager
def grows_at_most(limit_bytes: float) -> Iterator[None]:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown <= limit_bytes


def some(count: int, *, first: int = 0, run_at: int = NOW) -> list[Entry]:
    ids = (str(uuid.UUID(int=first + n)) for n in range(count))
    return [Entry(job_id, "".join(["qu", "eue"]), 5, run_at + n) for n, job_id in enumerate(ids)]


@pytest.mark.parametrize("run_at", [0, 2 * NOW])
async def test_an_entry_takes_at_most_400_bytes(run_at: int) -> None:
    async with open_index("heap:") as index:
        with grows_at_most(20_000 * 400):
            await index.push(some(20_000, run_at=run_at), now=NOW)
        assert sum(await index.sizes()) == 20_000


async def test_what_is_removed_or_moved_leaves_no_garbage() -> None:
    async with open_index("heap:") as index:
        await index.push([Entry("stays", "queue", 9, 0), Entry("waits", "queue", 9, 2 * NOW)], now=NOW)
        with grows_at_most(200_000):
            for n in range(200):
                due, later = some(100, first=n * 1_000), some(100, first=n * 1_000 + 500, run_at=NOW + n)
                await index.push(due + later, now=NOW - 1)
                await index.park(due, until=3 * NOW + n)
                await index.remove(due + later)
            del due, later
        assert await index.sizes() == Sizes(1, 1)


async def test_queues_that_are_empty_again_are_forgotten() -> None:
    async with open_index("heap:") as index:
        with grows_at_most(200_000):
            for n in range(5_000):
                entry = Entry("a", f"queue-{n}", 5, NOW)
                await index.push([entry], now=NOW)
                if n % 2:
                    await index.pop([entry.queue], MAX_POP)
                else:
                    await index.remove([entry])
