"""What a user of arq would write: a function, the worker's settings, and a program that submits it."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Self

from arq import create_pool
from arq.connections import RedisSettings

from bench.peers.marks import mark

UNDER_WAY = 32
"""How many submissions wait for Redis at once."""

QUIET = {"version": 1, "disable_existing_loggers": False, "loggers": {"arq": {"level": "WARNING"}}}


async def noop(context: dict[str, Any], to: str, body: str) -> None:
    mark()


class WorkerSettings:
    functions = [noop]  # noqa: RUF012
    redis_settings = RedisSettings.from_dsn(os.environ["PEERS_REDIS"])
    max_jobs = 100
    queue_read_limit = 1000
    poll_delay = 0.01
    keep_result = 0
    log_results = False


class Producer:
    async def __aenter__(self) -> Self:
        self._redis = await create_pool(WorkerSettings.redis_settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._redis.aclose()

    async def many(self, count: int) -> None:
        waiting = iter(range(count))

        async def submit() -> None:
            for _ in waiting:
                await self.one()

        await asyncio.gather(*(submit() for _ in range(UNDER_WAY)))

    async def one(self) -> None:
        await self._redis.enqueue_job("noop", "a@b.c", "hello world")
