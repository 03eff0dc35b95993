"""Requests that mean harm, over real sockets: refused with 4xx or closed, never a 500, and nobody else notices.

What a body may not be is in ``tests/api/test_bodies.py``, single odd requests are in ``tests/api/test_server.py``; here
they meet every call that takes a body, requests that were spoiled at random, and clients that go away at any byte.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
import trio
import trio.testing

from tests.api.site import LONG_S, Site, open_site, read_all, read_answer
from tests.api.test_bodies import JOB, NOT_STRICT
from tests.api.test_server import GatedStore
from tests.faults.http_mutations import pieces, spoiled
from tests.faults.raw_http import ALIVE, BYE, GOOD, chunked, head, statuses, whole
from tests.waiting import eventually
from tickr import failpoints


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    with structlog.testing.capture_logs():  # thousands of lines that nobody reads
        async with open_site() as opened:
            yield opened


async def all_quiet(site: Site) -> None:
    """Return once no request is at work and no connection is open but the site's own client's."""

    async def quiet() -> bool:
        return not (site.app.in_flight or site.app.arriving or len(site.app.links) > 1)

    await eventually(quiet)


# -- bodies on every call that takes one ----------------------------------------------------------------------------

WRONG = [
    *(b"[]", b'"a"', b"5", b"null", b"true", b'[{"type":"a"}]', b'{"type":{}}', b'{"type":"a","x":1}', b'{"TYPE":"a"}'),
    *(
        b'{"type":"a","%s":%s}' % (name, value)
        for name in (b"delay", b"timeout")
        for value in (b"-1", b"1e308", b'"5"')
    ),
    *(b'{"type":"a","priority":%s}' % value for value in (b"-1", b"10", b"1.5", b"1e1000000000", b"9" * 4000)),
    *(b'{"type":"a","run_at":"%s"}' % at for at in (b"0000-00-00", b"9999-12-31T23:59:59Z", b"2030-01-01T00:00:00")),
    *(b'{"type":"a","id":%s}' % value for value in (b"1", b'"1"', b'"%s"' % (b"f" * 36), b'"../../etc/passwd"')),
    *(b'{"type":"%s"}' % value for value in (b"", b" ", b"a\\n", b"a" * 129, b"\\u200b", b"'; DROP TABLE jobs;--")),
    *(b'{"type":"a","labels":%s}' % value for value in (b"[]", b'{"":""}', b'{"a":1}', b'{"a":"%s"}' % (b"x" * 257))),
    *(b'{"type":"a","backoff":%s}' % value for value in (b'"none"', b'{"base":-1}', b'{"factor":1e300}', b"[]")),
    b'{"type":"a","payload":' + b'{"a":[' * 40 + b"1" + b"]}" * 40 + b"}",
    b'{"type":"a",' + b",".join(b'"k%d":1' % n for n in range(20_000)) + b"}",
]
"""JSON, but nothing that can be done."""


async def test_every_call_that_takes_a_body_refuses_a_bad_one() -> None:
    async with open_site() as site, await site.connect() as stream:
        job = (await site.post(type="a", delay=1000)).json()
        calls = ("/jobs", "/api/v2/jobs", f"/jobs/{job['id']}/cancel", f"/jobs/{job['id']}/retry")
        bodies = [body for body, _ in NOT_STRICT if body.strip()] + WRONG + [b"x" * (1024 * 1024 + 1)]
        for number, body in enumerate(bodies):
            for target in calls:
                encode = whole if number % 2 else chunked
                await stream.send_all(encode(body, target) if len(body) < 10_000 else whole(body, target))
                answer = await read_answer(stream)
                assert statuses(answer)[0] in (400, 413, 422), (target, body[:200], answer)
                envelope = json.loads(answer.partition(b"\r\n\r\n")[2])
                assert envelope["message" if target == "/api/v2/jobs" else "detail"]
        assert [row.version for row in await site.rows()] == [1]
        await stream.send_all(whole(GOOD) + whole(b"{}", calls[2]) + BYE)
        assert statuses(await read_all(stream)) == [201, 200, 200]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "PUT", "BREW"])
@pytest.mark.parametrize("target", ["/jobs", "/api/v2/jobs", "/livez", "/nope"])
async def test_a_body_where_none_belongs_does_no_harm(site: Site, method: str, target: str) -> None:
    body = b'{"type":"a"}' * 50
    got = await site.talk(head(target, b"Content-Length: %d\r\n\r\n" % len(body), method) + body + BYE)
    first, last = statuses(got)
    assert first < 500
    assert last == 200
    assert await site.rows() == []


# -- where a request ends -------------------------------------------------------------------------------------------

AT_ONCE = head("/jobs", b"Transfer-Encoding: chunked\r\n\r\n")
SMUGGLED = b"0\r\n\r\n" + whole(GOOD)
ENDS: list[tuple[bytes, int]] = [
    (head("/jobs", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n") + SMUGGLED, 400),
    (head("/jobs", b"Transfer-Encoding: chunked\r\nContent-Length: 12\r\n\r\nc\r\n") + GOOD + b"\r\n" + SMUGGLED, 400),
    (head("/jobs", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD") + SMUGGLED, 400),
    (head("/jobs", b"Content-Length: 12\r\nContent-Length: 13\r\n\r\n") + GOOD, 400),
    (head("/jobs", b"Content-Length: 12, 13\r\n\r\n") + GOOD, 400),
    (head("/jobs", b"Content-Length: +12\r\n\r\n") + GOOD, 400),
    (head("/jobs", b"Content-Length: 1_2\r\n\r\n") + GOOD, 400),
    (head("/jobs", b"Content-Length: 0xc\r\n\r\n") + GOOD, 400),
    (head("/jobs", b"Content-Length : 12\r\n\r\n") + GOOD, 400),
    (head("/jobs", b"Content-Length: %s\r\n\r\n" % (b"9" * 5000)) + GOOD, 400),
    (head("/jobs", b"Content-Length: \r\n\r\n") + GOOD, 400),
    (head("/jobs", b"Transfer-Encoding: identity\r\n\r\n") + GOOD, 501),
    (head("/jobs", b"Transfer-Encoding: chunked, identity\r\n\r\n") + SMUGGLED, 501),
    (head("/jobs", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n") + SMUGGLED, 501),
    (head("/jobs", b"Transfer-Encoding: \x0bchunked\r\n\r\n") + SMUGGLED, 400),
    (head("/jobs", b"Transfer-Encoding : chunked\r\n\r\n") + SMUGGLED, 400),
    (head("/jobs", b"X: a\rTransfer-Encoding: chunked\r\n\r\n") + SMUGGLED, 400),
    (AT_ONCE + b"c;x\r\n" + GOOD + b"XX0\r\n\r\n", 400),
    (AT_ONCE + b"-c\r\n" + GOOD + b"\r\n0\r\n\r\n", 400),
    (AT_ONCE + b"0xc\r\n" + GOOD + b"\r\n0\r\n\r\n", 400),
    (AT_ONCE + b"f" * 21 + b"\r\n" + GOOD, 400),
    (AT_ONCE + b"c;" + b"x" * 70_000, 431),
    (AT_ONCE + b"c\r\n" + GOOD + b"\r\n0\r\n" + b"A: b\r\n" * 20_000, 431),
    (whole(GOOD).replace(b"HTTP/1.1", b"HTTP/9.1") + ALIVE, 505),
]


@pytest.mark.parametrize(("request_bytes", "status"), ENDS, ids=range(len(ENDS)))
async def test_a_request_whose_end_is_open_to_doubt_ends_its_connection(
    site: Site, request_bytes: bytes, status: int
) -> None:
    with structlog.testing.capture_logs() as logged:
        assert statuses(await site.talk(request_bytes)) == [status]
    assert await site.rows() == [], "what was smuggled behind it came through"
    assert [entry for entry in logged if entry["log_level"] in ("warning", "error")] == []


async def test_however_a_good_body_is_cut_it_is_one_body(site: Site) -> None:
    body = JOB % (b'"%s"' % (b"x" * 1000))
    async with await site.connect() as stream:
        for size in (1, 2, 7, 500, 5000):
            await stream.send_all(chunked(body, size=size))
            assert (await read_answer(stream)).startswith(b"HTTP/1.1 201 ")
    assert {job.payload for job in await site.rows()} == {f'"{"x" * 1000}"'}


# -- who goes away --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encode", [whole, chunked])
async def test_of_a_request_that_breaks_off_nothing_is_done(site: Site, encode: Any) -> None:
    """Cut at every byte, closed in order or reset, and the last byte is what makes it one."""
    request = encode(GOOD)
    for end in range(len(request)):
        stream = await site.connect()
        await stream.send_all(request[:end])
        if end % 2:
            await stream.send_eof()
            assert statuses(await read_all(stream)) in ([], [400])
        await stream.aclose()
    await all_quiet(site)
    assert await site.rows() == []
    assert statuses(await site.talk(request + BYE)) == [201, 200]


async def test_a_submission_that_was_whole_is_stored_whoever_waits_for_its_answer() -> None:
    async with open_site(store=(store := GatedStore())) as site:
        for number in range(20):
            stream = await site.connect()
            await stream.send_all(whole(GOOD))
            if number % 2:
                await stream.send_eof()

            async def at_work(most: int = number + 1) -> bool:
                return site.app.in_flight == most and not site.app.arriving

            await eventually(at_work)
            await stream.aclose()
        store.gate.set()
        await all_quiet(site)
        assert len(await site.rows()) == 20


# -- one connection, many requests ----------------------------------------------------------------------------------


async def test_a_connection_carries_many_requests_in_order(site: Site) -> None:
    others = [head("/jobs", b"\r\n", "HEAD"), head("/jobs", b"\r\n", "OPTIONS"), head("/jobs", b"\r\n", "PUT")]
    expected: list[int] = []
    answers = b""
    async with await site.connect() as stream, trio.open_nursery() as nursery:

        async def ask() -> None:
            for number in range(100):
                await stream.send_all(whole(GOOD) + others[number % 3] + chunked(GOOD) + whole(b"{}", "/jobs/1/cancel"))
                expected.extend([201, [200, 204, 405][number % 3], 201, 400])
            await stream.send_all(BYE)
            expected.append(200)

        nursery.start_soon(ask)
        with trio.fail_after(LONG_S):
            async for part in stream:
                answers += part
    assert statuses(answers) == expected
    assert site.app.in_flight == 0


# -- errors inside --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("nobody foresaw"), ExceptionGroup("some", [KeyError("a")])])
async def test_an_error_inside_a_call_is_a_500_that_shows_nothing_and_the_connection_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as broken, structlog.testing.capture_logs() as logged:
        broken.setattr(site.context.intake, "submit", fail)
        answers = await site.talk(whole(GOOD) + whole(b'{"jobtype":"a"}', "/api/v2/jobs") + BYE)
    assert statuses(answers) == [500, 500, 200]
    assert b"foresaw" in answers  # "that nobody foresaw" is our own word for it
    assert b"nobody foresaw'" not in answers
    assert len([entry for entry in logged if entry["event"] == "http.failed"]) == 2
    await all_quiet(site)
    assert statuses(await site.talk(whole(GOOD) + BYE)) == [201, 200]


async def test_an_error_on_the_way_out_ends_that_connection_alone(site: Site) -> None:
    async def fail() -> None:
        raise failpoints.FailpointError("api.before_answer")

    with failpoints.armed("api.before_answer", fail):
        assert statuses(await site.talk(whole(GOOD) + ALIVE)) == [500]
    await all_quiet(site)
    assert statuses(await site.talk(whole(GOOD) + BYE)) == [201, 200]


# -- the stop -------------------------------------------------------------------------------------------------------


async def test_a_body_that_arrives_while_the_server_stops_is_still_answered(site: Site) -> None:
    async with await site.connect() as first, await site.connect() as second:
        halves = [whole(GOOD), chunked(GOOD)]
        for stream, request in zip((first, second), halves, strict=True):
            await stream.send_all(request[:-6])

        async def arriving() -> bool:
            return len(site.app.arriving) == 2

        await eventually(arriving)
        site.shutdown.set()
        await trio.testing.wait_all_tasks_blocked()
        for stream, request in zip((first, second), halves, strict=True):
            await stream.send_all(request[-6:] + ALIVE)
            answer = await read_all(stream)
            assert statuses(answer) == [201], "and nothing new is taken"
            assert b"connection: close" in answer
    with trio.fail_after(LONG_S / 4):
        await site.stopped.wait()


# -- too much -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "more", "status"),
    [
        (b"GET /livez HTTP/1.1\r\n", b"X-A: b\r\n", 431),
        (b"GET /livez HTTP/1.1\r\nX: ", b"a", 431),
        (b"GET /livez HTTP/1.1\r\nX: a\r\n", b" folded\r\n", 431),
        (b"GET /", b"a", 431),
        (b"", b"G", 431),
        (b"", b"\r\n", 400),
        (b"", b"\0", 400),
    ],
)
async def test_a_head_without_end_is_cut_short(site: Site, start: bytes, more: bytes, status: int) -> None:
    async with await site.connect() as stream:
        await stream.send_all(start)
        with trio.fail_after(LONG_S), contextlib.suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(more * 1000)
        answer = await stream.receive_some()
    assert statuses(answer) in ([status], [431])
    assert b"content-type: application/problem+json" in answer


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n" % (b"a:\r\n" * 3_000), 200),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n" % (b"a:\r\n" * 4_000), 431),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n" % (b"a:b\r\n" * 12_000), 431),
        (b"GET /livez?%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % (b"a" * 8_100), 200),
        (b"GET /livez?%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % (b"a" * 8_200), 414),
        (b"GET /jobs/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % (b"%2e" * 5_000), 414),
    ],
)
async def test_a_head_has_its_limits(site: Site, request_bytes: bytes, status: int) -> None:
    assert statuses(await site.talk(request_bytes)) == [status]


# -- spoiled at random ----------------------------------------------------------------------------------------------

CASES = 600
MOST_AT_ONCE = 40
STREAMS = (b"HTTP/1.1 101 ", b"content-type: text/event-stream")
"""Answers that have no end of their own."""


async def test_spoiled_requests_are_refused_or_taken_and_never_a_fault_of_ours() -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    with structlog.testing.capture_logs() as logged:
        async with open_site(keep_alive_s=0.2, body_timeout_s=0.2) as site:
            limit = trio.CapacityLimiter(MOST_AT_ONCE)
            async with trio.open_nursery() as nursery:
                for number in range(CASES):
                    nursery.start_soon(try_spoiled, site, random.Random(f"{seed} {number}"), limit)
            await all_quiet(site)
            assert statuses(await site.talk(whole(GOOD) + BYE)) == [201, 200]
    assert [entry for entry in logged if entry["log_level"] in ("warning", "error")] == []


async def try_spoiled(site: Site, chance: random.Random, limit: trio.CapacityLimiter) -> None:
    request = spoiled(chance)
    got = b""
    async with limit, await site.connect() as stream:
        try:
            for piece in pieces(request, chance):
                await stream.send_all(piece)
                await trio.lowlevel.checkpoint()
            if chance.random() < 0.4:
                await stream.send_eof()
            with trio.fail_after(LONG_S):
                async for part in stream:
                    got += part
                    if any(begin in got for begin in STREAMS):
                        break
        except trio.BrokenResourceError:
            pass  # closed while we were still talking
        except trio.TooSlowError:
            pytest.fail(f"no end after {request!r}: {got!r}")
    assert all(status < 500 or status in (501, 505) for status in statuses(got)), (request, got)
