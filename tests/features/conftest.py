"""A whole node in the test's own process, on every store and index; a client that talks to it over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx2
import pytest
import trio

import tickr
from tests.waiting import eventually
from tickr.handle import Handle
from tickr.service import serve

STORES = ("memory", "sqlite", "mysql")
INDEXES = ("heap", "redis")
FINAL = {"succeeded", "failed", "cancelled"}


UNUSUAL = ({"memory", "redis"}, {"sqlite", "redis"}, {"mysql", "heap"})
"""A laptop has no Redis, a fleet MySQL and Redis; the other ways are for ``make long``."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leave what is tried on every store with every index to the long tests where few would run it so."""
    callspec = getattr(item, "callspec", None)
    ways = set() if callspec is None else set(map(str, callspec.params.values()))
    if any(pair <= ways for pair in UNUSUAL):
        item.add_marker(pytest.mark.long)


def _store_url(name: str, request: pytest.FixtureRequest) -> str:
    if name == "memory":
        return "memory:"
    if name == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path')}/tickr.db"
    return str(request.getfixturevalue("mysql_url"))


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest) -> str:
    return _store_url(request.param, request)


@pytest.fixture(params=STORES[1:])
def lasting_store_url(request: pytest.FixtureRequest) -> str:
    """A store that outlives its node and that several nodes can share."""
    return _store_url(request.param, request)


@pytest.fixture(params=INDEXES)
def index_url(request: pytest.FixtureRequest) -> str:
    return "heap:" if request.param == "heap" else str(request.getfixturevalue("redis_url"))


class Client:
    """What a user does with curl."""

    def __init__(self, http: httpx2.AsyncClient, handle: Handle) -> None:
        self.http = http
        self.handle = handle

    async def post(self, **job: Any) -> dict[str, Any]:
        answer = await self.http.post("/jobs", json=job)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def get(self, job_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def attempts(self, job_id: str) -> list[dict[str, Any]]:
        return list((await self.http.get(f"/jobs/{job_id}/attempts")).json()["items"])

    async def until(self, job_id: str, *states: str, within_s: float = 20) -> dict[str, Any]:
        """Return the job once it is in one of ``states``."""

        async def look() -> dict[str, Any] | None:
            job = await self.get(job_id)
            return job if job["state"] in states else None

        return await eventually(look, within_s=within_s)

    async def until_final(self, job_id: str, within_s: float = 20) -> dict[str, Any]:
        return await self.until(job_id, *FINAL, within_s=within_s)


@asynccontextmanager
async def node(jobs: tickr.Jobs | None = None, **settings: Any) -> AsyncIterator[Client]:
    """Run a node while the block lasts, and stop it gracefully at its end."""
    async with trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[Handle]) -> None:
            await serve(jobs, port=0, task_status=task_status, **settings)

        handle = await nursery.start(run)
        async with httpx2.AsyncClient(base_url=handle.url, timeout=10) as http:
            yield Client(http, handle)
        handle.stop()


StartNode = Callable[..., Any]


@pytest.fixture
def start_node(store_url: str, index_url: str) -> StartNode:
    """Start a node: ``async with start_node(jobs, workers=4) as client``."""
    return partial(node, store=store_url, index=index_url)


@pytest.fixture
def start_lasting(lasting_store_url: str, index_url: str) -> StartNode:
    """Start nodes, one after the other or several at once, that share a store and an index."""
    return partial(node, store=lasting_store_url, index=index_url)
