"""Bodies that come compressed: taken by every call, within the same bounds, and never unpacked beyond them."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib

import httpx2
import pytest

from tests.api.site import Site, open_site, read_all
from tests.faults.raw_http import BYE, chunked, head, statuses
from tests.waiting import eventually
from tickr.api.content import unpacking
from tickr.api.problems import Problem

JOB = b'{"type":"a","payload":{"text":"%b"}}' % (b"x" * 5000)
BOMB_BYTES = 64 * 1024 * 1024


async def send(site: Site, body: bytes, coding: str, path: str = "/jobs") -> httpx2.Response:
    return await site.send(body, path, **{"content-encoding": coding})


async def is_quiet(site: Site) -> bool:
    return not (site.app.in_flight or site.app.arriving or site.app.body_bytes)


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(JOB)),
        ("GZIP", gzip.compress(JOB)),
        ("x-gzip", gzip.compress(JOB)),
        ("gzip", gzip.compress(JOB[:100]) + gzip.compress(JOB[100:])),
        ("deflate", zlib.compress(JOB)),
        ("identity", JOB),
    ],
    ids=["gzip", "in capitals", "x-gzip", "in two parts", "deflate", "identity"],
)
async def test_a_compressed_job_is_the_job(site: Site, coding: str, packed: bytes) -> None:
    for path in ("/jobs", "/%6aobs"):  # beside Quart, and through it
        answer = await send(site, packed, coding, path)
        assert answer.status_code == 201, answer.text
        assert answer.json()["payload"] == {"text": "x" * 5000}
    assert [row.payload for row in await site.rows()] == ['{"text":"%s"}' % ("x" * 5000)] * 2


async def test_other_calls_take_compressed_bodies_as_well(site: Site) -> None:
    batch = gzip.compress(json.dumps({"jobs": [{"type": "a"}, {"type": "b"}]}).encode())
    answer = await send(site, batch, "gzip", "/jobs/batch")
    assert [one["status"] for one in answer.json()["results"]] == [201, 201]
    schedule = gzip.compress(json.dumps({"every": 60, "job": {"type": "a"}}).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert (await site.http.put("/schedules/s", content=schedule, headers=headers)).status_code == 201
    reason = gzip.compress(b'{"reason":"no more"}')
    (job, _) = await site.rows()
    assert (await send(site, reason, "gzip", f"/jobs/{job.id}/cancel")).status_code == 200
    again = gzip.compress(b'{"payload":{"n":1}}')
    assert (await send(site, again, "gzip", f"/jobs/{job.id}/retry")).json()["payload"] == {"n": 1}


@pytest.mark.parametrize("path", ["/jobs", "/%6aobs"])
@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "nonsense"])
async def test_what_is_not_taken_is_refused_with_a_list_of_what_is(site: Site, path: str, coding: str) -> None:
    answer = await send(site, gzip.compress(JOB), coding, path)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_encoding")
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert "gzip, deflate" in answer.json()["detail"]
    assert await site.rows() == []


@pytest.mark.parametrize("path", ["/jobs", "/%6aobs"])
@pytest.mark.parametrize(
    "body",
    [JOB, gzip.compress(JOB)[:-1], gzip.compress(JOB)[:40], gzip.compress(JOB) + b"more", zlib.compress(JOB)],
    ids=["plain", "no end", "cut", "rest", "deflate"],
)
async def test_a_broken_body_is_a_400(site: Site, path: str, body: bytes) -> None:
    answer = await send(site, body, "gzip", path)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_encoding")
    assert await site.rows() == []
    await eventually(lambda: is_quiet(site))


@pytest.mark.parametrize("path", ["/jobs", "/%6aobs"])
async def test_the_limit_is_of_the_body_unpacked(path: str) -> None:
    async with open_site(max_body=10_000) as site:
        whole = b'{"type":"a","payload":"%b"}' % (b"x" * (10_000 - 25))
        assert len(whole) == 10_000
        assert (await send(site, gzip.compress(whole), "gzip", path)).status_code == 201
        refused = await send(site, gzip.compress(whole + b" "), "gzip", path)
        assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
        assert "10000 bytes" in refused.json()["detail"]
        endless = chunked(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\0\0\0\xff\xff" * 2000, path)  # blocks of nothing
        said = endless.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1)
        assert statuses(await site.talk(said + BYE))[0] == 413
        assert len(await site.rows()) == 1
        await eventually(lambda: is_quiet(site))


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b" " * BOMB_BYTES)
    packed = unpacking({"content-encoding": "gzip"})
    assert packed is not None
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(Problem) as refused:
            packed.feed(bomb, 1024 * 1024)
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert refused.value.code == "body_too_large"


async def test_what_is_unpacked_counts_among_all_bodies(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickr.api.connection.MAX_BODY_BYTES", len(JOB) - 1)
    for path in ("/jobs", "/%6aobs"):
        assert (await send(site, gzip.compress(JOB), "gzip", path)).status_code == 429


async def test_it_may_come_in_pieces(site: Site) -> None:
    packed = gzip.compress(JOB)
    more = b"Content-Length: %d\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n\r\n" % len(packed)
    async with await site.connect() as stream:
        await stream.send_all(head("/jobs", more))
        for at in range(0, len(packed), 7):
            await stream.send_all(packed[at : at + 7])
        await stream.send_all(BYE)
        assert statuses(await read_all(stream)) == [201, 200]
