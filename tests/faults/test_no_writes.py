"""A store that answers and takes no changes: what a load balancer is told, and that all is well once it takes them."""

from __future__ import annotations

import json
import os
import resource
import urllib.error
import urllib.request

import pytest
import trio

from tests.features.conftest import node
from tests.processes import TickrProcess
from tests.servers import MariaDB
from tests.waiting import eventually

pytestmark = pytest.mark.slow


def post(node: TickrProcess) -> int:
    body = json.dumps({"type": "report", "payload": {"title": "x", "body": "y" * 2000, "time": 0}}).encode()
    request = urllib.request.Request(f"{node.url}/jobs", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


def test_a_disk_that_is_full_is_told_as_long_as_it_is() -> None:
    """The file's bounds stand in for the disk's: nothing may be written beyond what the log of SQLite has now."""
    with TickrProcess(roles="api") as node:
        for _ in range(60):
            assert post(node) == 201
        assert node.readiness() == 200
        _, hard = resource.prlimit(node.pid, resource.RLIMIT_FSIZE)
        full = os.stat(node.folder / "tickr.db-wal").st_size
        resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (full, hard))
        said = [(post(node), node.readiness()) for _ in range(20)]
        assert said[-1] == (503, 503)
        assert (503, 200) not in said, "ready to take what it then refuses"
        resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert node.readiness() == 200, "nobody else may be there to try"
        assert post(node) == 201


async def test_a_server_that_takes_no_changes_is_not_ready(small_server: MariaDB, ordinary_url: str) -> None:
    async with node(store=ordinary_url, roles=("api",)) as client:

        async def ready() -> bool:
            return bool((await client.http.get("/readyz")).status_code == 200)

        await client.post(type="report")
        await trio.to_thread.run_sync(small_server.execute, "SET GLOBAL read_only=1")
        assert (await client.http.post("/jobs", json={"type": "report"})).status_code == 503
        assert [await ready() for _ in range(2)] == [False, False]
        await trio.to_thread.run_sync(small_server.execute, "SET GLOBAL read_only=0")
        await eventually(ready)  # by its own try: nobody else may be there to do so
        await client.post(type="report")
