"""What a user of Dramatiq would write: an actor, and a program that submits to it."""

from __future__ import annotations

import os
from typing import Self

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.peers.marks import mark

dramatiq.set_broker(RedisBroker(url=os.environ["PEERS_REDIS"]))


@dramatiq.actor
def noop(to: str, body: str) -> None:
    mark()


class Producer:
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def many(self, count: int) -> None:
        for _ in range(count):
            noop.send("a@b.c", "hello world")

    async def one(self) -> None:
        noop.send("a@b.c", "hello world")
