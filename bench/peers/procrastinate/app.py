"""What a user of procrastinate would write: an app, a task, and a program that submits it."""

from __future__ import annotations

import os
from typing import Self

from procrastinate import App, PsycopgConnector

from bench.peers.marks import mark

CHUNK = int(os.environ["PEERS_CHUNK"])

# A connection for each job that runs at once: …/howto/basics/connector.html
app = App(connector=PsycopgConnector(conninfo=os.environ["PEERS_POSTGRES"], min_size=4, max_size=32))


@app.task(name="noop")
async def noop(to: str, body: str) -> None:
    mark()


class Producer:
    async def __aenter__(self) -> Self:
        await app.open_async()
        return self

    async def __aexit__(self, *_: object) -> None:
        await app.close_async()

    async def many(self, count: int) -> None:
        for done in range(0, count, CHUNK):
            jobs = [{"to": "a@b.c", "body": "hello world"} for _ in range(min(CHUNK, count - done))]
            await noop.batch_defer_async(*jobs)

    async def one(self) -> None:
        await noop.defer_async(to="a@b.c", body="hello world")
