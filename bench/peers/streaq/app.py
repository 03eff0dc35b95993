"""What a user of streaQ would write: a worker, a task, and a program that submits it."""

from __future__ import annotations

import os
from typing import Self

from streaq import Worker

from bench.peers.marks import mark

CHUNK = int(os.environ["PEERS_CHUNK"])

worker = Worker(redis_url=os.environ["PEERS_REDIS"], concurrency=32)


@worker.task(ttl=0, silent=True)
async def noop(to: str, body: str) -> None:
    mark()


class Producer:
    async def __aenter__(self) -> Self:
        await worker.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await worker.__aexit__(*error)

    async def many(self, count: int) -> None:
        for done in range(0, count, CHUNK):
            await worker.enqueue_many([noop.enqueue("a@b.c", "hello world") for _ in range(min(CHUNK, count - done))])

    async def one(self) -> None:
        await noop.enqueue("a@b.c", "hello world")
