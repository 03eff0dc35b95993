"""Health, unknown paths and methods, access, pages of other sites, and the original's two calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from tests.api.site import Site, open_site
from tickr.errors import StoreUnavailable
from tickr.index.heap import HeapIndex
from tickr.jobs import Job, NewJob
from tickr.store.memory import MemoryStore
from tickr.values import is_loopback

# -- health ---------------------------------------------------------------------------------------------------------


async def test_alive_and_ready(site: Site) -> None:
    assert (await site.http.get("/livez")).json() == {"status": "alive"}
    answer = await site.http.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "store": "ok", "index": "ok"})


class AwayStore(MemoryStore):
    async def ping(self) -> None:
        raise StoreUnavailable("gone")


async def test_without_its_store_a_node_is_alive_but_not_ready() -> None:
    async with open_site(store=AwayStore()) as site:
        answer = await site.http.get("/readyz")
        assert (answer.status_code, answer.json()["status"], answer.json()["store"]) == (
            503,
            "unavailable",
            "unavailable",
        )
        assert (await site.http.get("/api/v2/health")).json()["success"] is False
        assert (await site.http.get("/livez")).status_code == 200


class FullStore(MemoryStore):
    async def ping(self) -> None:
        raise StoreUnavailable("/secret/place: the disk is full", reason="the disk is full")

    async def insert(self, new: Sequence[NewJob], **how: Any) -> list[tuple[Job, bool]]:
        await self.ping()
        raise AssertionError


async def test_what_is_wrong_with_the_store_is_told_and_logged() -> None:
    async with open_site(store=FullStore()) as site:
        ready = await site.http.get("/readyz")
        assert (ready.status_code, ready.json()["reason"]) == (503, "the disk is full")
        assert (await site.http.get("/api/v2/health")).json()["data"]["reason"] == "the disk is full"
        with structlog.testing.capture_logs() as logged:
            refused = await site.post(type="a")
            old = await site.send('{"jobtype":"a"}', "/api/v2/jobs")
        assert (refused.status_code, old.status_code) == (503, 503)
        assert (
            refused.json()["detail"] == "The store cannot be used just now (the disk is full): the job was not stored."
        )
        assert "(the disk is full)" in old.json()["message"]
        assert "/secret" not in ready.text + refused.text + old.text
        warnings = [entry for entry in logged if entry["event"] == "http.store_unavailable"]
        assert [entry["error"] for entry in warnings] == ["/secret/place: the disk is full"] * 2
        assert warnings[0]["job"] == refused.json()["job_id"]


class AwayIndex(HeapIndex):
    @property
    def available(self) -> bool:
        return False


async def test_without_its_index_a_node_is_degraded_but_ready() -> None:
    async with open_site(index=AwayIndex()) as site:
        answer = await site.http.get("/readyz")
        expected = {"status": "degraded", "store": "ok", "index": "unavailable"}
        assert (answer.status_code, answer.json()) == (200, expected)
        assert (await site.post(type="a")).status_code == 201


async def test_a_stopping_node_is_not_ready_but_still_answers(site: Site) -> None:
    site.context.stopping.set()
    answer = await site.http.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "stopping")
    assert (await site.post(type="a")).status_code == 201


# -- paths and methods ----------------------------------------------------------------------------------------------


async def test_the_root_says_where_to_go(site: Site) -> None:
    welcome = (await site.http.get("/")).json()
    assert welcome["name"] == "Tickr"
    for path in ("jobs", "queues", "events", "alive", "ready"):
        assert (await site.http.get(welcome["links"][path])).status_code == 200
    assert (await site.post(**welcome["example"])).status_code == 201


LATER = ["/jobs/batch"]


@pytest.mark.parametrize("path", ["/nope", "/jobs/", "/JOBS", "/jobs/a/b/c", "/%00", "/static/x", *LATER])
async def test_a_path_that_is_not_there_is_a_404_problem(site: Site, path: str) -> None:
    answer = await site.talk(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path.encode())
    status = b"400" if path == "/jobs/batch" else b"404"  # "batch" stands where an id would
    assert answer.startswith(b"HTTP/1.1 %s " % status)
    assert b"content-type: application/problem+json" in answer
    assert b"<" not in answer


async def test_a_method_that_is_not_there_is_a_405_with_what_is(site: Site) -> None:
    for method, path, allow in (
        ("DELETE", "/jobs", "GET, HEAD, OPTIONS, POST"),
        ("PUT", "/jobs/17", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("GET", "/jobs/17/cancel", "OPTIONS, POST"),
        ("BREW", "/livez", "GET, HEAD, OPTIONS"),
    ):
        answer = await site.http.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allow)
        assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["//jobs", "///", "//livez", "http://localhost//jobs"])
async def test_two_slashes_are_not_one(site: Site, path: str) -> None:
    answer = await site.talk(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path.encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"content-type: application/problem+json" in answer


@pytest.mark.parametrize("path", ["/jobs", "/", "/nope", "/jobs/17/cancel"])
async def test_there_is_no_websocket(site: Site, path: str) -> None:
    answer = await site.talk(
        b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" % path.encode()
    )
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"There is no websocket here" in answer
    assert b"allow:" not in answer.lower()


async def test_probes_may_add_parameters(site: Site) -> None:
    assert (await site.http.get("/livez?probe=1")).status_code == 200
    assert (await site.http.get("/readyz?verbose")).status_code == 200


async def test_head_and_options(site: Site) -> None:
    head, get = await site.http.head("/queues"), await site.http.get("/queues")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    options = await site.http.options("/jobs")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert "content-type" not in options.headers


@pytest.mark.parametrize("path", ["/", "/queues", "/api/v2/health", "/jobs/0197a2c4-0000-7000-8000-0000000000ff"])
async def test_unknown_parameters_are_refused(site: Site, path: str) -> None:
    assert (await site.http.get(f"{path}?pause=1")).status_code == 400


# -- access ---------------------------------------------------------------------------------------------------------


async def test_with_a_token_everything_but_health_needs_it() -> None:
    async with open_site(token="s3cret-ü") as site:
        for path in ("/livez", "/readyz"):
            assert (await site.http.get(path)).status_code == 200
        for path in ("/", "/jobs", "/queues", "/nope", "/api/v2/health", "/api/v2/nope"):
            answer = await site.http.get(path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Bearer realm="tickr"'
        for wrong in ("Bearer s3cret", "Bearer", "Basic s3cret-ü", "Bearer s3cret-ü x", "s3cret-ü"):
            answer = await site.http.get("/jobs", headers={"authorization": wrong.encode()})
            assert answer.status_code == 401, wrong
        assert (await site.post(type="a")).status_code == 401
        assert await site.rows() == []
        for right in ("Bearer s3cret-ü", "bearer  s3cret-ü"):
            answer = await site.http.get("/jobs", headers={"authorization": right.encode(), "host": "anywhere.example"})
            assert answer.status_code == 200, right


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:99", "[::1]:8080", "LOCALHOST:1"])
async def test_loopback_without_a_token_answers_to_loopback_names(site: Site, host: str) -> None:
    assert (await site.http.get("/jobs", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.", "a{b", "10.0.0.1", "::1"])
async def test_loopback_without_a_token_answers_to_no_other_name(site: Site, host: str) -> None:
    answer = await site.http.get("/jobs", headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "unknown_host")
    assert (await site.http.get("/livez", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("host", ["tickr.example", "a..b", "a" * 70, "é", "a{b", "-", "a:b:c", "", "a:99999"])
async def test_another_address_answers_to_any_name_however_odd(host: str) -> None:
    async with open_site(host="0.0.0.0", insecure=True) as site:
        assert (await site.http.get("/jobs", headers={"host": host.encode()})).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "http://localhost:1"}, 201),
        ({"sec-fetch-site": "none"}, 201),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:9999"}, 403),
        ({"origin": "http://localhost:1"}, 201),
        ({}, 201),
    ],
)
async def test_a_page_of_another_site_changes_nothing(site: Site, headers: dict[str, str], status: int) -> None:
    answer = await site.send('{"type":"a"}', host="localhost:1", **headers)
    assert answer.status_code == status
    assert len(await site.rows()) == (status == 201)
    assert (await site.http.get("/livez", headers={"host": "localhost:1", **headers})).status_code == 200


def test_what_is_loopback() -> None:
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "example.com", ""]))


# -- the original's calls -------------------------------------------------------------------------------------------

ORIGINAL = '{"jobtype":"email","payload":{"to":"john@example.com","from":"me@example.com","body":"Works"},"delay":5}'


@pytest.mark.parametrize("body", [ORIGINAL, ORIGINAL.replace("jobtype", "jobType")])
async def test_the_originals_submission_works(site: Site, body: str) -> None:
    answer = await site.send(body, "/api/v2/jobs")
    (job,) = await site.rows()
    assert answer.status_code == 201
    assert list(answer.json()) == ["status", "message", "data", "success"]
    assert (answer.json()["status"], answer.json()["success"]) == (201, True)
    data = answer.json()["data"]
    shown = (await site.http.get(f"/jobs/{job.id}")).json()
    assert data == {"jobID": job.id, "status": "scheduled", "scheduledAt": shown["run_at"]}
    assert job.run_at - job.created_at == 5_000_000
    assert shown["payload"] == {"to": "john@example.com", "from": "me@example.com", "body": "Works"}


async def test_the_originals_submission_without_a_delay_is_ready(site: Site) -> None:
    assert (await site.send('{"jobtype":"email"}', "/api/v2/jobs")).json()["data"]["status"] == "ready"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("{}", "/jobtype: is required"),
        ('{"jobtype":"a","jobType":"b"}', "/jobType: cannot be given together"),
        ('{"jobtype":""}', "/jobtype: must be"),
        ('{"jobtype":"a","delay":1.5}', "/delay: must be a whole number"),
        ('{"jobtype":"a","delay":-1}', "/delay: must be a whole number"),
        ('{"jobtype":"a","delay":"5"}', "/delay: must be a whole number"),
        ('{"jobtype":"a","priority":1}', "/priority: is not known here"),
    ],
)
async def test_the_originals_errors_come_in_its_envelope(site: Site, body: str, told: str) -> None:
    answer = await site.send(body, "/api/v2/jobs")
    assert answer.status_code == 422
    assert told in answer.json()["message"]
    assert (answer.json()["status"], answer.json()["data"], answer.json()["success"]) == (422, None, False)
    assert await site.rows() == []


async def test_all_under_api_v2_is_in_the_envelope(site: Site) -> None:
    for method, path, status in (
        ("GET", "/api/v2/nope", 404),
        ("DELETE", "/api/v2/jobs", 405),
        ("GET", "/api/v2", 404),
    ):
        answer = await site.http.request(method, path)
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert list(answer.json()) == ["status", "message", "data", "success"]
    health = (await site.http.get("/api/v2/health")).json()
    assert (health["status"], health["success"], health["data"]["status"]) == (200, True, "ready")
