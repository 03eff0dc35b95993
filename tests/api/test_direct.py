"""Calls that are carried out by their connection's reader: what they cost, and what is done elsewhere with the rest."""

from __future__ import annotations

import os
import socket

import pytest
import structlog
import trio
import trio.testing

from tests.api.site import LONG_S, Site, open_site, read_all, read_answer
from tests.api.test_server import GatedStore
from tests.faults.raw_http import BYE, GOOD, chunked, head, statuses, whole
from tests.waiting import eventually
from tickr.api import connection, wire
from tickr.api.call import Answer, Call

MANY = 20


async def is_quiet(site: Site) -> bool:
    return not (site.app.in_flight or site.app.arriving or site.app.body_bytes)


async def has_links(site: Site, count: int) -> bool:
    return len(site.app.links) == count


async def test_a_submission_takes_no_task_of_its_own() -> None:
    async with open_site(store=(store := GatedStore())) as site:
        streams = [await site.connect() for _ in range(MANY)]
        await trio.testing.wait_all_tasks_blocked()
        before = trio.lowlevel.current_statistics().tasks_living
        for stream in streams:
            await stream.send_all(whole(GOOD))

        async def at_work() -> bool:
            return site.app.in_flight == MANY

        await eventually(at_work)
        assert trio.lowlevel.current_statistics().tasks_living == before
        assert site.app.body_bytes == MANY * len(GOOD)
        store.gate.set()
        for stream in streams:
            assert statuses(await read_answer(stream)) == [201]
            await stream.aclose()
        await eventually(lambda: is_quiet(site))


async def test_a_body_that_comes_after_its_head_is_carried_out_the_same_way(site: Site) -> None:
    for encode in (whole, chunked):
        request = encode(GOOD)
        cut = request.index(b"\r\n\r\n") + 4
        async with await site.connect() as stream:
            for piece in (request[:cut], request[cut : cut + 3], request[cut + 3 :]):
                await stream.send_all(piece)
                await trio.testing.wait_all_tasks_blocked(0.01)
            assert statuses(await read_answer(stream)) == [201]
            await stream.send_all(BYE)
            assert statuses(await read_all(stream)) == [200]
    await eventually(lambda: is_quiet(site))


@pytest.mark.parametrize(
    ("target", "status"), [("http://localhost/jobs", 201), ("/%6aobs", 201), ("/jobs?a=b", 400), ("/jobs/", 404)]
)
async def test_what_comes_in_an_unusual_way_is_answered_by_quart(site: Site, target: str, status: int) -> None:
    for encode in (whole, chunked):
        assert statuses(await site.talk(encode(GOOD, target) + BYE)) == [status, 200]
    assert len(await site.rows()) == (2 if status == 201 else 0)


async def test_of_a_header_given_twice_the_first_counts(site: Site) -> None:
    """As it does for every other call; readers that differ about it are how a request gets past a guard."""
    more = (
        b"Content-Length: 12\r\nContent-Type: text/plain\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n\r\n"
    )
    assert statuses(await site.talk(head("/jobs", more) + GOOD + BYE)) == [201, 200]
    more = b"Content-Length: 12\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Site: none\r\n\r\n"
    assert statuses(await site.talk(head("/jobs", more) + GOOD + BYE)) == [403, 200]


async def test_a_head_has_the_same_limits_as_everywhere(site: Site) -> None:
    """It comes in one piece, so h11 has it whole before it can look at its size."""
    more = b"Content-Length: 12\r\n%s\r\n"
    assert statuses(await site.talk(head("/jobs", more % (b"a:\r\n" * 3_000)) + GOOD + BYE)) == [201, 200]
    assert statuses(await site.talk(head("/jobs", more % (b"a:b\r\n" * 4_000)) + GOOD + BYE)) == [431, 200]


async def test_the_date_of_an_answer_is_that_of_its_second(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for now, told in ((1e9, "01:46:40"), (1e9 + 0.9, "01:46:40"), (1e9 + 1, "01:46:41")):
        for module in ("hypercorn.config", "tickr.api.server"):
            monkeypatch.setattr(f"{module}.time", lambda at=now: at)
        assert (await site.post(type="a")).headers["date"] == f"Sun, 09 Sep 2001 {told} GMT"


async def test_a_stop_that_cuts_off_a_body_gives_its_place_back() -> None:
    async with open_site(grace_s=0.1) as site, await site.connect() as stream:
        await stream.send_all(whole(GOOD)[:-1])

        async def arriving() -> bool:
            return site.app.body_bytes == len(GOOD) - 1

        await eventually(arriving)
        await site.stop(within_s=LONG_S)
        assert await is_quiet(site)


@pytest.mark.parametrize("target", ["/jobs", "/jobs/1/cancel"])
async def test_all_bodies_together_are_bounded(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.setattr(connection, "MAX_BODY_BYTES", 1000)
    async with open_site() as site:
        async with await site.connect() as first, await site.connect() as second:
            await first.send_all(head("/jobs", b"Content-Length: 1000\r\n\r\n") + b" " * 900)

            async def arriving() -> bool:
                return site.app.body_bytes == 900

            await eventually(arriving)
            await second.send_all(whole(b" " * 200, target))
            assert statuses(await read_answer(second)) == [429]
            await first.send_all(b" " * (100 - len(GOOD)) + GOOD)
            assert statuses(await read_answer(first)) == [201]
        await eventually(lambda: is_quiet(site))


async def test_many_bad_submissions_in_one_piece_let_others_run_in_between(site: Site) -> None:
    passes, count = 0, 300

    async def others() -> None:
        nonlocal passes
        while True:
            await trio.lowlevel.checkpoint()
            passes += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        assert statuses(await site.talk(whole(b"{}") * count + BYE)) == [422] * count + [200]
        nursery.cancel_scope.cancel()
    assert passes > count


async def test_a_descriptor_that_is_another_connections_by_now_is_left_alone(site: Site) -> None:
    """The reader is woken for its own, which is closed before it runs; the kernel gives such a number away again."""
    for _ in range(MANY):
        client = socket.create_connection(("127.0.0.1", site.port))
        await eventually(lambda: has_links(site, 1))
        (link,) = site.app.links
        descriptor = link.stream.socket.fileno()
        watched = os.dup(descriptor)
        ours, theirs = socket.socketpair()
        client.sendall(whole(GOOD))
        await trio.lowlevel.wait_readable(watched)  # runs before the reader every other time
        link._cut()
        os.dup2(ours.fileno(), descriptor)
        ours.setblocking(False)
        theirs.setblocking(False)
        theirs.sendall(b"for somebody else")
        await eventually(lambda: has_links(site, 0))
        assert ours.recv(100) == b"for somebody else"
        with pytest.raises(BlockingIOError):
            theirs.recv(100)
        for each in (descriptor, watched):
            os.close(each)
        for one in (client, ours, theirs):
            one.close()


# -- other calls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/large", "http://localhost/large"])
async def test_a_call_may_take_larger_bodies_than_others(site: Site, target: str) -> None:
    async def carry_out(call: Call) -> Answer:
        return wire.answer(b"%d" % len(call.body))

    site.app.add_direct_call("/large", "large", carry_out, None, most_bytes=2_000_000)
    for encode in (whole, lambda body, target: chunked(body, target, size=100_000)):
        answers = await site.talk(encode(b"x" * 2_000_000, target) + BYE)
        assert statuses(answers) == [200, 200]
        assert b"\r\n\r\n2000000HTTP" in answers
        async with await site.connect() as stream:
            await stream.send_all(encode(b"x" * 2_000_001, target))
            answer = await read_answer(stream)
        assert statuses(answer) == [413]
        assert b"larger than 2000000 bytes" in answer


async def test_an_answer_never_has_more_headers_than_it_was_given(site: Site) -> None:
    async def carry_out(call: Call) -> Answer:
        return wire.answer(b"{}", headers={"location": "/jobs/1\r\nSet-Cookie: a=b"})

    site.app.add_direct_call("/split", "split", carry_out, None)
    with structlog.testing.capture_logs() as logged:
        answers = await site.talk(whole(b"{}", "/split") + BYE)
    assert statuses(answers) == [500], "and the connection ends"
    assert b"a=b" not in answers
    assert [entry["event"] for entry in logged if entry["log_level"] == "error"] == ["http.server"]
