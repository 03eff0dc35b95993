"""The feed as server-sent events: from the first byte to every way it may end."""

from __future__ import annotations

import json

import pytest
import trio
from quart import Response

from tests.api.listening import BIG, ids, open_stream, write
from tests.api.site import LONG_S, Site, read_all, read_answer
from tests.waiting import eventually
from tickr.api import connection
from tickr.feed import tail

ASK = b"GET /events%s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"


async def nobody_listens(site: Site) -> None:
    async def gone() -> bool:
        return site.app.audience.count == 0

    await eventually(gone)


# -- listening --------------------------------------------------------------------------------------------------------


async def test_it_begins_at_once_with_a_place_to_come_back_to(site: Site) -> None:
    await write(site)
    async with open_stream(site) as stream:
        head = dict(stream.head.headers)
        assert head[b"content-type"] == b"text/event-stream"
        assert head[b"cache-control"] == b"no-store"
        assert head[b"x-accel-buffering"] == b"no"
        begin = await stream.block()
        assert begin == {"retry": "1000", "id": (await site.http.get("/events")).json()["cursor"]}
        assert await stream.block() == {"id": begin["id"]}  # caught up
        (told,) = await write(site)
        block = await stream.block()
        assert block is not None
        assert list(block) == ["id", "event", "data"]
        assert block["event"] == json.loads(block["data"])["type"] == "tickr.job.created"
        assert ids([block]) == [told]


async def test_the_past_comes_first_and_every_event_is_a_place(site: Site) -> None:
    told = [name for _ in range(3) for name in await write(site, 5)]
    async with open_stream(site, "?after=earliest") as stream:
        blocks = await stream.events(8)
        told += await write(site, 5)
        blocks += await stream.events(12)
    assert ids(blocks) == told
    for number in (0, 4, 7, 12):
        async with open_stream(site, f"?after={blocks[number]['id']}") as stream:
            assert ids(await stream.events(19 - number)) == told[number + 1 :]


async def test_the_last_event_id_goes_before_after(site: Site) -> None:
    told = await write(site, 3)
    async with open_stream(site, "?after=earliest") as stream:
        last = (await stream.events(2))[-1]["id"]
    async with open_stream(site, "?after=earliest", ("Last-Event-ID", last)) as stream:
        assert ids(await stream.events(1)) == told[2:]
    async with open_stream(site, "?after=earliest", ("Last-Event-ID", "")) as stream:
        assert ids(await stream.events(3)) == told
    for wrong, status, code in (("x", 400, "invalid_cursor"), ("000000000000.1", 410, "cursor_expired")):
        headers = {"accept": "text/event-stream", "last-event-id": wrong}
        answer = await site.http.get("/events?after=earliest", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    "accept",
    [
        "text/event-stream",
        "Text/Event-Stream",
        "text/html, text/event-stream;q=0.1",
        "*/*,text/event-stream; charset=x",
    ],
)
async def test_whoever_takes_a_stream_gets_one(site: Site, accept: str) -> None:
    async with site.http.stream("GET", "/events", headers={"accept": accept}) as answer:
        assert answer.headers["content-type"] == "text/event-stream"


async def test_no_time_limit_cuts_it(site: Site) -> None:
    limit_s = 0.1
    site.app.config["RESPONSE_TIMEOUT"] = limit_s
    ended = trio.Event()

    async def any_other() -> Response:
        async def body() -> object:
            yield b"begin"
            await trio.sleep_forever()

        return Response(body())

    async def is_cut() -> None:
        await site.talk(b"GET /forever HTTP/1.1\r\nHost: localhost\r\n\r\n")
        ended.set()

    site.app.add_url_rule("/forever", "forever", any_other)
    async with open_stream(site) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(is_cut)
        await ended.wait()
        told = await write(site)
        assert ids(await stream.events(1)) == told


async def test_it_is_no_request_at_work(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_IN_FLIGHT", 1)
    async with open_stream(site), open_stream(site):
        assert site.app.audience.count == 2
        assert (await site.http.get("/jobs")).status_code == 200


async def test_head_tells_what_get_would_begin_with(site: Site) -> None:
    answer = await site.http.head("/events?after=earliest", headers={"accept": "text/event-stream"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-store"
    assert site.app.audience.count == 0


async def test_http_1_0_gets_its_stream_until_the_connection_closes(site: Site) -> None:
    told = await write(site)
    async with await site.connect() as stream:
        await stream.send_all(b"GET /events?after=earliest HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n")
        got = b""
        with trio.fail_after(LONG_S):
            while got.count(b"\n\n") < 3:  # the beginning, the event, caught up
                got += await stream.receive_some()
        head, _, body = got.partition(b"\r\n\r\n")
        assert b"connection: close" in head.lower()
        assert b"transfer-encoding" not in head
        assert body.startswith(b"retry: 1000\nid: ")
        assert told[0].encode() in body
        await site.stop(LONG_S)
        assert await read_all(stream) == b""


async def test_a_refusal_comes_at_once_and_keeps_the_connection(site: Site) -> None:
    async with await site.connect() as stream:
        for _ in range(3):
            with trio.fail_after(0.9 * connection.LINGER_S):
                await stream.send_all(ASK % b"?after=000000000000.1")
                got = b""
                while not got.endswith(b"}"):
                    got += await stream.receive_some()
            assert got.startswith(b"HTTP/1.1 410 ")


# -- how it ends ------------------------------------------------------------------------------------------------------


async def test_a_client_that_falls_behind_is_ended_in_order_and_comes_back(site: Site) -> None:
    async with open_stream(site, receive_buffer=4096) as stream, open_stream(site) as bystander:
        told: list[str] = []
        for _ in range(40):  # 3 MiB in all, of which the kernel takes a part
            told += await write(site, 20, labels=BIG)
            assert ids(await bystander.events(20)) == told[-20:]
        blocks = []
        while (block := await stream.block()) is not None:
            blocks.append(block)
        assert stream.ended
    got = ids([block for block in blocks if "data" in block])
    assert 0 < len(got) < len(told)
    assert got == told[: len(got)]
    async with open_stream(site, "", ("Last-Event-ID", blocks[-1]["id"])) as stream:
        assert got + ids(await stream.events(len(told) - len(got))) == told


async def test_a_log_that_was_set_back_is_told_as_an_event_of_its_own(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "LOOK_AT_HISTORY_S", 0.0)
    async with open_stream(site) as stream:
        begin = await stream.block()
        assert begin is not None
        await stream.block()
        await site.store.new_history(begin["id"].partition(".")[0])
        await write(site)
        last = {}
        while (block := await stream.block()) is not None:
            last = block
        assert list(last) == ["event", "data"]  # no id: the last one stands
        assert last["event"] == "tickr.error"
        assert (json.loads(last["data"])["status"], json.loads(last["data"])["code"]) == (410, "cursor_expired")
    await nobody_listens(site)


async def test_after_its_end_the_connection_takes_the_next_request(site: Site) -> None:
    async with await site.connect() as stream:
        await stream.send_all(ASK % b"")
        got = await stream.receive_some()
        site.context.stopping.set()
        with trio.fail_after(LONG_S):
            while not got.endswith(b"\r\n0\r\n\r\n"):
                got += await stream.receive_some()
        await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await read_answer(stream)).startswith(b"HTTP/1.1 200 ")
