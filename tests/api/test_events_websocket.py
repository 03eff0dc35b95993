"""The feed by websocket: from the handshake to every way it may end."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
import trio

from tests.api.listening import BIG, Close, ids, open_socket, open_stream, write
from tests.api.site import Site, open_site
from tests.feed_clients import connect, reset_on_close
from tests.waiting import eventually
from tests.websocket_frames import BINARY, CLOSE, PING, PONG, TEXT, to_send, upgrade
from tickr.api import listener
from tickr.feed import tail


async def nobody_listens(site: Site) -> None:
    async def gone() -> bool:
        return site.app.audience.count == 0

    await eventually(gone)


# -- listening --------------------------------------------------------------------------------------------------------


async def test_from_now_on_events_come_as_they_happen(site: Site) -> None:
    await write(site)
    async with open_socket(site) as socket:
        subscribed, caught_up = await socket.until("caught_up")
        assert (subscribed["kind"], list(subscribed)) == ("subscribed", ["kind", "cursor"])
        assert caught_up == {"kind": "caught_up", "cursor": subscribed["cursor"]}
        answer = await site.post(type="a", labels={"customer": "☃"})
        message = await socket.message()
        assert list(message) == ["kind", "cursor", "events"]
        (event,) = message["events"]
        assert (event["type"], event["subject"]) == ("tickr.job.created", answer.json()["id"])
        assert event["data"]["job"]["labels"] == {"customer": "☃"}


async def test_the_past_comes_first_and_nothing_is_missing_or_twice(site: Site) -> None:
    told = [name for _ in range(3) for name in await write(site, 100)]
    async with open_socket(site, "?after=earliest") as socket:
        got = ids(await socket.events(100))
        told += await write(site, 50)
        got += ids(await socket.events(250))
    assert got == told


async def test_whoever_comes_back_with_a_cursor_goes_on_there(site: Site) -> None:
    await write(site, 3)
    async with open_socket(site, "?after=earliest") as socket:
        (message,) = [m for m in await socket.until("caught_up") if m["kind"] == "events"]
    told = await write(site, 2)
    async with open_socket(site, f"?after={message['cursor']}") as socket:
        assert (await socket.message())["cursor"] == message["cursor"]
        assert ids(await socket.events(2)) == told


@pytest.mark.parametrize("count", [1, 12, 400])
async def test_frames_of_every_size_are_whole(site: Site, count: int) -> None:
    # One, two and eight bytes of length; the last is more than the kernel takes at once.
    async with open_socket(site) as socket:
        await socket.until("caught_up")
        told = await write(site, count, labels=BIG)
        assert ids(await socket.events(count)) == told


async def test_pings_are_answered_and_the_answers_fit_in_between(site: Site) -> None:
    async with open_socket(site) as socket:
        await socket.until("caught_up")
        told: list[str] = []
        for number in range(20):
            await socket.stream.send_all(to_send(PING, b"%d" % number))
            told += await write(site, 5, labels=BIG)  # together more than the kernel takes
        got: list[str] = []
        pongs: list[bytes] = []
        while len(pongs) < 20 or len(got) < len(told):
            frame = await socket.frame()
            assert frame is not None
            if frame.opcode == PONG:
                pongs.append(frame.payload)
            else:
                got += ids(json.loads(frame.payload)["events"])
        assert got == told
        assert pongs == [b"%d" % number for number in range(20)]


async def test_compression_is_not_taken_up(site: Site) -> None:
    async with await connect(site.port) as stream:
        offer = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        await stream.send_all(upgrade("localhost", "/events")[:-2] + offer + b"\r\n")
        answer = await stream.receive_some()
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"extensions" not in answer.lower()


# -- who may listen ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [b"", b"Authorization: Bearer wrong\r\n", b"Authorization: Basic s3cret\r\n"])
async def test_without_the_token_it_ends_with_4401(given: bytes) -> None:
    async with open_site(token="s3cret") as site, open_socket(site, "?after=nonsense", given) as socket:
        (error,), close = await socket.end()
        assert close == (4401, "unauthenticated")
        assert (error["kind"], error["code"]) == ("error", "unauthenticated")


async def test_with_the_token_it_begins() -> None:
    async with open_site(token="s3cret") as site:
        async with open_socket(site, "", b"Authorization: Bearer s3cret\r\n") as socket:
            assert (await socket.message())["kind"] == "subscribed"
        answer = await site.http.get("/events", headers={"accept": "text/event-stream"})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        async with open_stream(site, "", ("Authorization", "Bearer s3cret")) as stream:
            assert await stream.block()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Origin: https://evil.example\r\n", 403),
        (b"Origin: null\r\n", 403),
        (b"Origin: http://localhost:9999\r\n", 403),
        (b"Sec-Fetch-Site: cross-site\r\nOrigin: http://localhost\r\n", 403),
        (b"Sec-Fetch-Site: same-site\r\n", 403),
        (b"Sec-Fetch-Site: same-origin\r\n", 101),
        (b"Origin: http://localhost\r\n", 101),
    ],
)
@pytest.mark.parametrize("token", [None, "s3cret"])
async def test_a_page_of_another_site_opens_no_websocket(headers: bytes, status: int, token: str | None) -> None:
    async with open_site(token=token) as site:
        answer = upgrade("localhost", "/events")[:-2] + headers + b"Authorization: Bearer s3cret\r\n\r\n"
        async with await connect(site.port) as stream:
            await stream.send_all(answer)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 %d " % status)


async def test_an_unknown_host_is_refused_before_anything_else(site: Site) -> None:
    answer = await site.talk(upgrade("evil.example", "/events"))
    assert answer.startswith(b"HTTP/1.1 421 ")
    assert b'"code":"unknown_host"' in answer
    assert b"content-type: application/problem+json" in answer


@pytest.mark.parametrize("target", ["/events/", "/Events", "//events", "/jobs", "/events?" + "a" * 9000])
async def test_elsewhere_there_is_no_websocket(site: Site, target: str) -> None:
    answer = await site.talk(upgrade("localhost", target))
    assert answer.startswith(b"HTTP/1.1 414 " if "?" in target else b"HTTP/1.1 404 ")
    assert b"connection: close" in answer


async def test_there_is_a_bound_on_listeners_of_all_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MAX_LISTENERS", 2)
    async with open_site() as site:
        async with open_socket(site) as one, open_stream(site) as two:
            await one.until("caught_up")
            await two.block()
            async with open_socket(site) as socket:
                (error,), close = await socket.end()
                assert (error["code"], close) == ("too_many_listeners", (1013, "too_many_listeners"))
            answer = await site.http.get("/events", headers={"accept": "text/event-stream"})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert (await site.http.get("/events")).status_code == 200  # a page stays for nobody
        await nobody_listens(site)
        async with open_socket(site) as socket:
            assert (await socket.message())["kind"] == "subscribed"


# -- how it ends ------------------------------------------------------------------------------------------------------


async def test_a_close_is_answered(site: Site) -> None:
    async with open_socket(site) as socket:
        await socket.until("caught_up")
        await socket.stream.send_all(to_send(CLOSE, (1000).to_bytes(2, "big") + b"done"))
        assert await socket.end() == ([], Close(1000, "done"))
    await nobody_listens(site)


@pytest.mark.parametrize(
    "said",
    [
        to_send(TEXT, b'{"kind":"subscribe"}'),
        to_send(BINARY, b""),
        to_send(TEXT, b"a") * 100_000,  # most of it still on its way when the answer goes out
        b"\x01\x81\0\0\0\0a",  # the first fragment of a message
        b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"\0\0\0\0" + b"x" * 100_000,  # the beginning of a terabyte
    ],
)
async def test_a_client_that_says_something_is_told_not_to(site: Site, said: bytes) -> None:
    async with open_socket(site) as socket:
        await socket.until("caught_up")
        with suppress(trio.BrokenResourceError):  # it may be told before it has said everything
            await socket.stream.send_all(said)
        (error,), close = await socket.end()
        assert (error["code"], close) == ("unexpected_message", (4400, "unexpected_message"))
    await nobody_listens(site)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"\x81\x01a", 1002),  # not masked
        (b"\x83\x80\0\0\0\0", 1002),  # no such opcode
        (b"\xc1\x80\0\0\0\0", 1002),  # an extension that was not agreed upon
        (b"\x81\x81\0\0\0\0\xff", 1007),  # text that is none
        (b"\x88\x81\0\0\0\0a", 1002),  # a close of one byte
    ],
)
async def test_what_is_no_websocket_frame_is_closed_with_its_code(site: Site, said: bytes, code: int) -> None:
    async with open_socket(site) as socket:
        await socket.until("caught_up")
        await socket.stream.send_all(said)
        frame = await socket.frame()
        assert frame is not None
        assert (frame.opcode, frame.close_code) == (CLOSE, code)
    await nobody_listens(site)


async def test_a_client_that_does_not_answer_the_close_is_left(site: Site) -> None:
    async with open_socket(site) as socket:
        await socket.until("caught_up")
        await socket.stream.send_all(to_send(TEXT, b"a"))
        frames = [await socket.frame() for _ in range(3)]
        assert [frame and frame.opcode for frame in frames] == [TEXT, CLOSE, None]
    await nobody_listens(site)


@pytest.mark.parametrize("way", ["reset", "half", "closed"])
@pytest.mark.parametrize("opened", [open_socket, open_stream])
async def test_a_client_that_vanishes_is_forgotten(site: Site, way: str, opened: type) -> None:
    async with opened(site) as client:
        await eventually(lambda: _counts(site, 1))
        if way == "half":
            await client.stream.send_eof()
            await nobody_listens(site)
            return
        if way == "reset":
            reset_on_close(client.stream)
    await nobody_listens(site)


async def _counts(site: Site, count: int) -> bool:
    return site.app.audience.count == count


async def test_a_client_that_falls_behind_is_told_its_place(site: Site) -> None:
    async with open_socket(site, receive_buffer=4096) as socket, open_socket(site) as bystander:
        await socket.until("caught_up")
        await bystander.until("caught_up")
        told: list[str] = []
        for _ in range(40):  # 3 MiB in all, of which the kernel takes a part
            told += await write(site, 20, labels=BIG)
            assert ids(await bystander.events(20)) == told[-20:]
        messages, close = await socket.end()
    error = messages.pop()
    assert (error["code"], close) == ("too_slow", (4508, "too_slow"))
    got = [name for message in messages for name in ids(message["events"])]
    assert 0 < len(got) < len(told)
    assert got == told[: len(got)]
    assert error["cursor"] == messages[-1]["cursor"]
    async with open_socket(site, f"?after={error['cursor']}") as socket:
        assert got + ids(await socket.events(len(told) - len(got))) == told


async def test_a_log_that_was_set_back_ends_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "LOOK_AT_HISTORY_S", 0.0)
    async with open_socket(site) as socket:
        (subscribed, _) = await socket.until("caught_up")
        await site.store.new_history(subscribed["cursor"].partition(".")[0])
        await write(site)
        messages, close = await socket.end()
        assert (messages[-1]["code"], close) == ("cursor_expired", (4410, "cursor_expired"))
    await nobody_listens(site)
