"""``/metrics`` of real nodes: what they did, what the store knows; several processes, killed ones, and no store."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
import trio

from tests.children import free_port
from tests.processes import TickrProcess
from tests.scraped import Scrape, scrape
from tests.servers import MariaDB, Redis
from tests.waiting import eventually
from tickr.metrics.asked import WITHIN_S
from tickr.metrics.families import FAMILIES

pytestmark = pytest.mark.slow

APP = """
import pathlib
import trio
import tickr

jobs = tickr.Jobs()
STEP_S = 0.02

@jobs.handler("good")
async def good(job: tickr.Job) -> None:
    pass

@jobs.handler("bad", max_attempts=1)
async def bad(job: tickr.Job) -> None:
    raise ValueError("no")

@jobs.handler("again")
async def again(job: tickr.Job) -> None:
    raise tickr.RetryLater(3600, "not yet")

@jobs.handler("long")
async def long(job: tickr.Job) -> None:
    while not pathlib.Path("gate").exists():
        await trio.sleep(STEP_S)
"""
LEASE_S = 3
OF_MYSQL = {"jobs": 8, "nodes": 2}
OF_SQLITE = {"write": 1, "read": 2, "lists": 2}


@pytest.fixture
def app(tmp_path: Path) -> dict[str, Any]:
    """Arguments of a ``TickrProcess`` that runs ``APP``."""
    (tmp_path / "measured_app.py").write_text(APP)
    return {"app": "measured_app:jobs", "python_path": [tmp_path]}


@pytest.fixture(params=["sqlite", "mysql"])
def servers(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A laptop's store and index, and a fleet's."""
    if request.param == "sqlite":
        return {}
    return {"store": request.getfixturevalue("mysql_url"), "index": request.getfixturevalue("redis_url")}


@asynccontextmanager
async def client(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=url, timeout=20) as http:
        yield http


async def submit(http: httpx2.AsyncClient, type: str, times: int = 1, **more: Any) -> list[str]:
    """Submit jobs one by one and return their ids."""
    said = {"type": type, **more}
    return [(await http.post("/jobs", json=said)).raise_for_status().json()["id"] for _ in range(times)]


async def until(http: httpx2.AsyncClient, name: str, value: float, *, within_s: float = 20, **labels: str) -> Scrape:
    """Scrape until the samples of ``name`` with ``labels`` have this sum."""
    seen = None

    async def reached() -> Scrape | None:
        nonlocal seen
        found = await scrape(http)
        seen = found.sum(name, **labels)
        return found if seen == value else None

    try:
        return await eventually(reached, within_s=within_s)
    except trio.TooSlowError:
        raise AssertionError(f"{name} is {seen}, not {value}") from None


# -- one node ---------------------------------------------------------------------------------------------------------


async def test_a_scrape_tells_what_a_node_has_done_and_what_waits(app: dict[str, Any], servers: dict[str, Any]) -> None:
    with TickrProcess(**app, **servers, workers=4) as node:
        async with client(node.url) as http:
            await submit(http, "good", 5)
            await submit(http, "bad", 2, queue="q")
            await submit(http, "again")
            await submit(http, "long")
            (late,) = await submit(http, "good", delay=3600)
            await http.post(f"/jobs/{late}/cancel")
            await submit(http, "good", 2, delay=3600)
            found = await until(http, "tickr_jobs_finished_total", 9)

            def jobs(what: str, type: str, queue: str = "default", **more: str) -> float:
                return found.of(f"tickr_jobs_{what}_total", type=type, queue=queue, **more)

            assert (jobs("submitted", "good"), jobs("submitted", "bad", "q")) == (8, 2)
            assert (jobs("started", "good"), jobs("started", "bad", "q"), jobs("started", "long")) == (5, 2, 1)
            assert jobs("finished", "good", outcome="succeeded") == 5
            assert jobs("finished", "good", outcome="cancelled") == 1
            assert jobs("finished", "bad", "q", outcome="failed") == 2
            assert jobs("finished", "again", outcome="retrying") == 1
            for what, type, count in (("wait", "good", 5), ("run", "good", 5), ("wait", "long", 1), ("run", "long", 0)):
                assert found.of(f"tickr_job_{what}_seconds_count", type=type, queue="default") == count
            assert found.of("tickr_job_run_seconds_bucket", type="good", queue="default", le="+Inf") == 5

            async def lag_measured() -> bool:
                return (await scrape(http))["tickr_event_loop_lag_seconds_count"] > 0

            await eventually(lag_measured)
            found = await until(http, "tickr_queue_scheduled_jobs", 2)  # what is a second old may be told again
            assert found.of("tickr_queue_running_jobs", queue="default") == 1
            assert found.of("tickr_queue_retrying_jobs", queue="default") == 1
            assert found.of("tickr_queue_ready_jobs", queue="q") == 0
            assert [found.of("tickr_cluster_nodes", role=role) for role in ("api", "worker", "remote")] == [1, 1, 0]

            assert (found["tickr_store_up"], found["tickr_index_up"], found["tickr_index_rebuilds_total"]) == (1, 1, 1)
            assert (found["tickr_node_slots"], found["tickr_node_running_jobs"], found["tickr_node_processes"]) == (
                4,
                1,
                1,
            )
            assert 0 < found["tickr_node_lease_age_seconds"] < 15
            info = found.families["tickr_node_info"].samples[0].labels
            assert info["roles"] == "api,scheduler,worker"
            assert found.of("tickr_batch_items_sum", line="submissions") == 12
            assert found.of("tickr_batch_items_sum", line="outcomes") >= 8
            limits = OF_MYSQL if servers else OF_SQLITE
            assert {
                pool: found.of("tickr_store_connections_limit", pool=pool)
                for pool in found.values("tickr_store_connections_limit", "pool")
            } == limits
            assert found["process_resident_memory_bytes"] > 10_000_000
            assert found["process_open_fds"] > 5
            assert found.families.keys() == FAMILIES.keys() | {"python_info"}


async def test_a_backlog_shows_with_its_age(app: dict[str, Any], servers: dict[str, Any]) -> None:
    with TickrProcess(**app, **servers, workers=1) as node:
        async with client(node.url) as http:
            await submit(http, "long")
            await submit(http, "good", 7, queue="behind")
            found = await until(http, "tickr_queue_ready_jobs", 7, queue="behind")
            first = found.of("tickr_queue_oldest_due_seconds", queue="behind")

            async def grown() -> bool:
                return (await scrape(http)).of("tickr_queue_oldest_due_seconds", queue="behind") > first + 0.5

            await eventually(grown)
            assert (await scrape(http))["tickr_node_running_jobs"] == 1
            (node.folder / "gate").touch()
            found = await until(http, "tickr_jobs_finished_total", 8, outcome="succeeded")
            assert found.sum("tickr_claim_jobs_sum") >= 7
            assert found.sum("tickr_claim_duration_seconds_count") == found.sum("tickr_claim_jobs_count") >= 1
            waited = found.of("tickr_job_wait_seconds_sum", type="good", queue="behind")
            assert waited > 7 * 0.5
            found = await until(http, "tickr_queue_ready_jobs", 0)
            assert found.of("tickr_queue_oldest_due_seconds", queue="behind") == 0


# -- a store, or a Redis, that is away --------------------------------------------------------------------------------


@pytest.mark.parametrize("mysql_private_server", [{"tls": False}], indirect=True)
async def test_a_node_whose_store_is_away_is_scraped_all_the_same(
    app: dict[str, Any], mysql_private_server: MariaDB
) -> None:
    with TickrProcess(**app, store=mysql_private_server.url) as node:
        async with client(node.url) as http:
            await submit(http, "good", 3)
            found = await until(http, "tickr_jobs_finished_total", 3, outcome="succeeded")
            assert found["tickr_store_up"] == 1

            for away, back in (
                (mysql_private_server.stop, mysql_private_server.cont),
                (mysql_private_server.kill, mysql_private_server.start),
            ):
                await trio.to_thread.run_sync(away)
                try:
                    await until(http, "tickr_store_up", 0)
                    began = trio.current_time()
                    found = await scrape(http)
                    assert trio.current_time() - began < WITHIN_S + 2, "and not when the store answers again"
                    assert found["tickr_store_up"] == 0
                    assert found.of("tickr_jobs_submitted_total", type="good", queue="default") == 3
                    assert "tickr_queue_ready_jobs" not in found.families
                finally:
                    await trio.to_thread.run_sync(back)
                found = await until(http, "tickr_store_up", 1)
                assert found.of("tickr_queue_ready_jobs", queue="default") == 0


async def test_an_index_that_is_away_or_has_lost_its_entries_shows(
    app: dict[str, Any], mysql_url: str, redis_server: Redis
) -> None:
    with TickrProcess(**app, store=mysql_url, index=redis_server.url) as node:
        async with client(node.url) as http:
            await submit(http, "good", 3, delay=3600)
            found = await until(http, "tickr_index_rebuilds_total", 1)
            assert (found["tickr_index_up"], found["tickr_index_missing_jobs_total"]) == (1, 0)
            with redis.Redis.from_url(redis_server.url) as lost:
                (waiting,) = lost.scan_iter("*:waiting")
                assert lost.zcard(waiting) == 3
                lost.delete(waiting)
            await until(http, "tickr_index_missing_jobs_total", 3)
            await trio.to_thread.run_sync(redis_server.kill)
            found = await until(http, "tickr_index_up", 0)
            assert found["tickr_store_up"] == 1
            await trio.to_thread.run_sync(redis_server.start)
            await until(http, "tickr_index_up", 1)


# -- several nodes ----------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(app: dict[str, Any], mysql_url: str, redis_url: str) -> Iterator[list[TickrProcess]]:
    given = {**app, "store": mysql_url, "index": redis_url, "arguments": ["--lease", f"{LEASE_S}s"]}
    with ExitStack() as started:
        yield [started.enter_context(TickrProcess(**given)) for _ in range(2)]


async def test_each_node_tells_of_itself_and_all_of_them_of_the_store(pair: list[TickrProcess]) -> None:
    victim, other = pair
    async with client(victim.url) as of_victim, client(other.url) as of_other:
        await submit(of_victim, "good", 6)
        await submit(of_other, "good", 4)
        await submit(of_other, "good", 3, delay=3600)

        async def all_done() -> tuple[Scrape, Scrape] | None:
            both = await scrape(of_victim), await scrape(of_other)
            return (
                both if sum(one.sum("tickr_jobs_finished_total", outcome="succeeded") for one in both) == 10 else None
            )

        both = await eventually(all_done, within_s=20)
        assert [one.sum("tickr_jobs_submitted_total") for one in both] == [6, 7]
        for name, value in (("tickr_queue_scheduled_jobs", 3), ("tickr_cluster_nodes", 2)):
            labels = {"role": "worker"} if name == "tickr_cluster_nodes" else {}
            for http in (of_victim, of_other):
                await until(http, name, value, **labels)

        victim.kill()
        found = await until(of_other, "tickr_cluster_nodes", 1, within_s=LEASE_S * 3 + 10, role="worker")
        assert found.sum("tickr_jobs_submitted_total") == 7, "what the dead one has counted is gone with it"
        await trio.to_thread.run_sync(victim.start)
    async with client(victim.url) as http:
        found = await until(http, "tickr_cluster_nodes", 2, role="worker")
        assert found.sum("tickr_jobs_submitted_total") == 0
        assert found.sum("tickr_queue_scheduled_jobs") == 3


# -- several processes ------------------------------------------------------------------------------------------------


async def test_any_process_of_a_node_tells_of_all_of_them_and_of_the_dead(
    app: dict[str, Any], mysql_url: str, redis_url: str
) -> None:
    arguments = ["--processes", "3", "--lease", "60s"]
    with TickrProcess(**app, store=mysql_url, index=redis_url, workers=5, arguments=arguments) as node:
        async with client(node.url) as http:
            await until(http, "tickr_node_processes", 3, within_s=30)
        for _ in range(12):  # each by a connection of its own, so that all processes have some
            async with client(node.url) as http:
                await submit(http, "good", 5)
        async with client(node.url) as http:
            await until(http, "tickr_jobs_finished_total", 60, outcome="succeeded", within_s=30)

        answered = [await _scrape_apart(node.url) for _ in range(9)]
        for found in answered:
            assert found.sum("tickr_jobs_submitted_total") == found.sum("tickr_jobs_started_total") == 60
            assert found.of("tickr_http_requests_total", route="/jobs", method="POST", status="201") == 60
            assert found["tickr_node_slots"] == 15
        scrapes = [
            found.of("tickr_http_requests_total", route="/metrics", method="GET", status="200") for found in answered
        ]
        assert scrapes == sorted(scrapes), "no counter goes back, whoever answers"

        number, created = Counter(line["process"] for line in _logged(node, "job.created")).most_common(1)[0]
        assert created > 0
        (victim,) = [line["pid"] for line in _logged(node, "process.started") if line["process"] == number]
        os.kill(victim, signal.SIGKILL)

        async def replaced() -> bool:
            found = await _scrape_apart(node.url)
            assert found.sum("tickr_jobs_submitted_total") == 60, "what the dead one did was done"
            return len(_logged(node, "node.serving")) == 4 and found["tickr_node_processes"] == 3

        await eventually(replaced, within_s=60)
        found = await _scrape_apart(node.url)
        assert found.sum("tickr_jobs_submitted_total") == found.sum("tickr_jobs_started_total") == 60
        assert found["tickr_node_slots"] == 15
        assert found["process_resident_memory_bytes"] > 3 * 10_000_000
        async with client(node.url) as http:
            await submit(http, "good", 5)
            await until(http, "tickr_jobs_submitted_total", 65)


async def _scrape_apart(url: str) -> Scrape:
    """Scrape by a connection of its own, to whichever process takes it; again, if that one was just killed."""
    while True:
        async with client(url) as http:
            try:
                return await scrape(http)
            except httpx2.TransportError:
                continue


def _logged(node: TickrProcess, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in node.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


# -- a port of its own ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_node_without_an_api_is_scraped_at_a_port_of_its_own(
    app: dict[str, Any], mysql_url: str, redis_url: str, processes: int
) -> None:
    port = free_port()
    settings = {"store": mysql_url, "index": redis_url, "variables": {"TICKR_TOKEN": "secret"}}
    arguments = ["--metrics-port", str(port), "--processes", str(processes)]
    with TickrProcess(**settings, roles="api") as api:
        worker = TickrProcess(**app, **settings, roles="worker,scheduler", arguments=arguments)
        try:
            worker.start(wait=False)
            async with client(f"http://127.0.0.1:{port}") as http, client(api.url) as jobs:

                async def ready() -> bool:
                    try:
                        return (await http.get("/readyz")).status_code == 200
                    except httpx2.TransportError:
                        return False

                await eventually(ready, within_s=30)
                jobs.headers["authorization"] = "Bearer secret"
                await submit(jobs, "good", 6)
                assert (await http.get("/metrics")).status_code == 401
                http.headers["authorization"] = "Bearer secret"
                found = await until(http, "tickr_jobs_finished_total", 6, outcome="succeeded")
                assert found.sum("tickr_jobs_submitted_total") == 0, "that was another node"
                assert found.families["tickr_node_info"].samples[0].labels["roles"] in (
                    "worker,scheduler",
                    "scheduler,worker",
                )
                await until(http, "tickr_node_processes", processes)
                assert (await http.get("/livez")).status_code == 200
                for path in ("/", "/jobs", "/queues", "/events"):
                    assert (await http.get(path)).status_code == 404
                    assert (await http.get(path, headers={"accept": "text/event-stream"})).status_code == 404
                assert (await http.post("/jobs", json={"type": "good"})).status_code == 404
            worker.terminate()
            assert await trio.to_thread.run_sync(worker.wait, 20) == 0
        finally:
            worker.__exit__(None, None, None)
