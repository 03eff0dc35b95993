"""What every node is told: a handler that says which process it ran in, and one that holds all its workers."""

from __future__ import annotations

import os

import trio

import tickr

jobs = tickr.Jobs()


@jobs.handler("tell")
async def tell() -> int:
    return os.getpid()


@jobs.handler("hold")
async def hold() -> None:
    await trio.sleep_forever()
