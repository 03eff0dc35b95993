"""What a user of taskiq would write: a broker, a task, and a program that submits it."""

from __future__ import annotations

import asyncio
import os
from typing import Self

from taskiq.serializers import ORJSONSerializer
from taskiq_redis import RedisStreamBroker

from bench.peers.marks import mark

UNDER_WAY = 32
"""How many submissions wait for Redis at once."""

broker = RedisStreamBroker(os.environ["PEERS_REDIS"]).with_serializer(ORJSONSerializer())


@broker.task
async def noop(to: str, body: str) -> None:
    mark()


class Producer:
    async def __aenter__(self) -> Self:
        await broker.startup()
        return self

    async def __aexit__(self, *_: object) -> None:
        await broker.shutdown()

    async def many(self, count: int) -> None:
        waiting = iter(range(count))

        async def submit() -> None:
            for _ in waiting:
                await self.one()

        await asyncio.gather(*(submit() for _ in range(UNDER_WAY)))

    async def one(self) -> None:
        await noop.kiq("a@b.c", "hello world")
