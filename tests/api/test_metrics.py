"""``GET /metrics`` on a real socket: who may scrape, in which format, what of HTTP is counted; a store that is away."""

from __future__ import annotations

import gzip
import json

import httpx2
import pytest
import trio
from websockets.sync.client import connect

from tests.api.site import Site, open_site
from tests.scraped import OPENMETRICS, Scrape, scrape
from tests.waiting import eventually
from tickr.errors import StoreUnavailable
from tickr.metrics import asked
from tickr.metrics.families import FAMILIES
from tickr.store.answers import QueueDepth
from tickr.store.memory import MemoryStore

NOBODYS = "0190a5c3-0000-7000-8000-0000000000ff"
OF_A_WORKER = {
    "tickr_claim_jobs",
    "tickr_claim_duration_seconds",
    "tickr_node_running_jobs",
    "tickr_node_stuck_handlers",
}
OF_AN_AUDIT = {"tickr_index_missing_jobs_total", "tickr_index_rebuilds_total"}
OF_CONNECTIONS = {name for name in FAMILIES if name.startswith("tickr_store_connections")}
NOT_HERE = OF_A_WORKER | OF_AN_AUDIT | OF_CONNECTIONS
"""A site has no worker, no audit, and the memory store no connections."""


# -- who, and how -----------------------------------------------------------------------------------------------------


async def test_both_formats_say_the_same(site: Site) -> None:
    await site.post(type="a")
    plain = await site.http.get("/metrics", headers={"accept": "*/*"})
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    open_metrics = await site.http.get("/metrics", headers={"accept": f"{OPENMETRICS},*/*;q=0.1"})
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert open_metrics.text.endswith("# EOF\n")
    one, other = Scrape(plain.text), Scrape(open_metrics.text, openmetrics=True)
    assert one.families.keys() == other.families.keys() == (FAMILIES.keys() - NOT_HERE) | {"python_info"}
    assert {name: family.type for name, family in one.families.items()} == {
        name: family.type for name, family in other.families.items()
    }
    assert plain.headers["vary"] == "Accept"
    assert plain.headers["cache-control"] == "no-store"


async def test_metrics_need_the_token_if_there_is_one() -> None:
    async with open_site(token="secret") as site:
        for headers in ({}, {"authorization": "Bearer wrong"}):
            refused = await site.http.get("/metrics", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
        found = await scrape(site.http, token="secret")
        assert found.of("tickr_http_requests_total", route="/metrics", method="GET", status="401") == 2


async def test_a_parameter_that_there_is_none_of_is_told(site: Site) -> None:
    refused = await site.http.get("/metrics", params={"format": "prometheus"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")


# -- what is counted --------------------------------------------------------------------------------------------------


async def test_requests_are_counted_by_route_whichever_way_they_are_answered(site: Site) -> None:
    job = (await site.post(type="a")).json()  # beside Quart
    await site.send(b"{", "/jobs")
    await site.http.post("/jobs", content=b"x", headers={"content-encoding": "br"})  # refused before
    packed = gzip.compress(json.dumps({"type": "a"}).encode())
    await site.send(packed, "/jobs", **{"content-encoding": "gzip"})
    await site.http.get(f"/jobs/{job['id']}")
    await site.http.get(f"/jobs/{NOBODYS}")
    await site.http.get(f"/jobs/{NOBODYS}")
    found = await scrape(site.http)

    def of(route: str, method: str, status: int) -> float:
        return found.of("tickr_http_requests_total", route=route, method=method, status=str(status))

    assert (of("/jobs", "POST", 201), of("/jobs", "POST", 400), of("/jobs", "POST", 415)) == (2, 1, 1)
    assert (of("/jobs/<job_id>", "GET", 200), of("/jobs/<job_id>", "GET", 404)) == (1, 2)
    assert found.of("tickr_http_request_duration_seconds_count", route="/jobs", method="POST") == 4
    assert found.of("tickr_http_request_duration_seconds_count", route="/jobs/<job_id>", method="GET") == 3
    assert found.sum("tickr_http_requests_total") == 7, "the scrape itself is counted once it is answered"


async def test_what_clients_make_up_has_no_series_of_its_own(site: Site) -> None:
    before = await scrape(site.http)
    await site.http.get("/nothing")
    await site.http.request("BREW", "/jobs")
    met = await scrape(site.http)
    for number in range(40):
        await site.http.get(f"/nothing/{number}")
        await site.http.request(f"BREW{number}", "/jobs")
        await site.talk(b"GET / HTTP/%d.0\r\n\r\n" % (number + 2))
    after = await scrape(site.http)
    assert before.series < met.series
    assert after.series <= met.series + 2, "one for requests that are none, one for the scrapes"
    assert after.sum("tickr_http_requests_total", route="other") == 122


async def test_listeners_are_counted_when_they_are_let_in(site: Site) -> None:
    async with site.http.stream("GET", "/events", headers={"accept": "text/event-stream"}) as stream:
        assert stream.status_code == 200

        async def listens() -> bool:
            return (await scrape(site.http))["tickr_feed_subscribers"] == 1

        await eventually(listens)

        def listen() -> None:
            with connect(f"ws://127.0.0.1:{site.port}/events") as socket:
                socket.recv()

        await trio.to_thread.run_sync(listen)
        await site.post(type="a")

        async def told() -> bool:
            return (await scrape(site.http))["tickr_feed_events_sent_total"] == 1

        await eventually(told)
    found = await scrape(site.http)
    assert found.of("tickr_http_requests_total", route="/events", method="GET", status="101") == 1
    assert found.of("tickr_http_requests_total", route="/events", method="GET", status="200") == 1
    assert found.of("tickr_http_request_duration_seconds_count", route="/events", method="GET") == 1


async def test_jobs_and_their_batches_are_counted(site: Site) -> None:
    await site.post(type="a", queue="q")
    await site.post("/jobs/batch", jobs=[{"type": "b"}, {"type": "b"}, {"type": "b", "unique": {"key": "k"}}])
    job = (await site.post(type="b", delay=3600)).json()
    await site.http.post(f"/jobs/{job['id']}/cancel")
    found = await scrape(site.http)
    assert found.of("tickr_jobs_submitted_total", type="a", queue="q") == 1
    assert found.of("tickr_jobs_submitted_total", type="b", queue="default") == 4
    assert found.of("tickr_jobs_finished_total", type="b", queue="default", outcome="cancelled") == 1
    assert found.of("tickr_batch_items_sum", line="submissions") == 4
    assert found.of("tickr_batch_items_sum", line="keyed_submissions") == 1
    assert found.of("tickr_batch_duration_seconds_count", line="keyed_submissions") == 1
    assert found.of("tickr_queue_ready_jobs", queue="q") == 1
    assert found.of("tickr_queue_ready_jobs", queue="default") == 3
    assert found.of("tickr_queue_oldest_due_seconds", queue="q") > 0


# -- the store --------------------------------------------------------------------------------------------------------


class Moody(MemoryStore):
    """A memory store that can be away, or not answer, and counts how often it is asked for its queues."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.hangs = trio.Event()
        self.hangs.set()
        self.asked = 0

    async def queues(self, *, count_to: int = 1) -> list[QueueDepth]:
        self.asked += 1
        await self.hangs.wait()
        if self.away:
            raise StoreUnavailable("away")
        return await super().queues(count_to=count_to)


async def test_a_store_that_is_away_takes_nothing_else_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "FRESH_S", 0.0)
    store = Moody()
    async with open_site(store=store) as site:
        await site.post(type="a")
        store.away = True
        found = await scrape(site.http)
        assert found["tickr_store_up"] == 0
        assert found.of("tickr_jobs_submitted_total", type="a", queue="default") == 1
        assert "tickr_queue_ready_jobs" not in found.families, "what is not known is not told"
        store.away = False
        found = await scrape(site.http)
        assert (found["tickr_store_up"], found.of("tickr_queue_ready_jobs", queue="default")) == (1, 1)


async def test_a_store_that_hangs_holds_up_no_scrape_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "FRESH_S", 0.0)
    monkeypatch.setattr(asked, "WITHIN_S", 0.1)
    store = Moody()
    async with open_site(store=store) as site:
        store.hangs = trio.Event()
        for _ in range(3):
            assert (await scrape(site.http))["tickr_store_up"] == 0
        assert store.asked == 1, "nobody asks again while an answer is awaited"
        store.hangs.set()

        async def up() -> bool:
            return (await scrape(site.http))["tickr_store_up"] == 1

        await eventually(up)


async def test_many_scrapes_ask_the_store_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "FRESH_S", 3600.0)
    store = Moody()
    async with open_site(store=store) as site, httpx2.AsyncClient(base_url=str(site.http.base_url)) as http:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(scrape, http)
        await scrape(http)
        assert store.asked == 1


async def test_queues_beyond_the_bound_share_a_label() -> None:
    async with open_site() as site:
        jobs = [{"type": "a", "queue": f"q{number:03}"} for number in range(asked.MAX_QUEUES + 7)]
        await site.post("/jobs/batch", jobs=jobs)
        found = await scrape(site.http)
        queues = found.values("tickr_queue_ready_jobs", "queue")
        assert len(queues) == asked.MAX_QUEUES + 1
        assert found.of("tickr_queue_ready_jobs", queue="other") == 7
        assert found.sum("tickr_queue_ready_jobs") == asked.MAX_QUEUES + 7
        assert found.of("tickr_queue_oldest_due_seconds", queue="other") > 0


async def test_a_queue_of_the_name_that_the_others_share_is_counted_with_them() -> None:
    async with open_site() as site:
        queues = ["other", *(f"q{number:03}" for number in range(asked.MAX_QUEUES + 7))]
        await site.post("/jobs/batch", jobs=[{"type": "a", "queue": queue} for queue in queues])
        found = await scrape(site.http)
        assert found.of("tickr_queue_ready_jobs", queue="other") == 1 + 8
        assert found.sum("tickr_queue_ready_jobs") == asked.MAX_QUEUES + 8
