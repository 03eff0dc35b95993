"""Reading the feed: server-sent events as the WHATWG has them, from any cut of the bytes, within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import httpx2
import pytest

from tests.cli.test_remote import answering
from tickr.cli import remote
from tickr.cli.exits import NOT_FOUND, UNREACHABLE, Exit
from tickr.cli.remote import Refused, Remote, Unanswered, messages

STREAM = "text/event-stream; charset=utf-8"


def response(chunks: Iterable[bytes], kind: str = STREAM) -> httpx2.Response:
    request = httpx2.Request("GET", "http://127.0.0.1/events")
    return httpx2.Response(200, headers={"Content-Type": kind}, content=iter(chunks), request=request)


def read(*chunks: bytes, kind: str = STREAM) -> list[tuple[str, str, str]]:
    return [(message.id, message.event, message.data) for message in messages(response(chunks, kind))]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"id: h.1\nevent: tickr.job.created\ndata: {}\n\n", [("h.1", "tickr.job.created", "{}")]),
        (b"id: h.1\r\nevent: e\r\ndata: {}\r\n\r\n", [("h.1", "e", "{}")]),
        (b"id: h.1\revent: e\rdata: {}\r\rdata: x\n\n", [("h.1", "e", "{}"), ("h.1", "message", "x")]),
        (b"\xef\xbb\xbfid: h.1\ndata: x\n\n", [("h.1", "message", "x")]),
        (b": hello\n\nretry: 1000\n: more\nid: h.1\n\n", [("h.1", "message", "")]),
        (b"data: a\ndata:b\ndata:  c\ndata\n\n", [("", "message", "a\nb\n c\n")]),
        (b"id: h.1\ndata: a\n\ndata: b\n\n", [("h.1", "message", "a"), ("h.1", "message", "b")]),
        (b"id: a\0b\ndata: a\n\n", [("", "message", "a")]),
        (b"idea: 1\nunknown\nevent: e\ndata: a\n\n", [("", "e", "a")]),
        (b"data: \xe2\x80\xa8\xc2\x85\xf0\x9f\x8c\x8d\x0b\x1c\n\n", [("", "message", "\u2028\x85🌍\x0b\x1c")]),
        (b"data: told\n\nid: h.2\ndata: cut off", [("", "message", "told")]),
        (b"data: told\n\nid: h.2\ndata: without its end\n", [("", "message", "told")]),
    ],
)
def test_the_rules_hold_wherever_the_bytes_are_cut(text: bytes, told: list[tuple[str, str, str]]) -> None:
    assert read(text) == told
    assert read(*(text[i : i + 1] for i in range(len(text)))) == told
    for cut in range(len(text)):
        assert read(text[:cut], text[cut:]) == told


def test_it_is_utf_8_whatever_the_server_says() -> None:
    assert read("data: ü\n\n".encode(), kind="text/event-stream; charset=latin-1") == [("", "message", "ü")]


def endless(text: bytes) -> Iterator[bytes]:
    sent = 0
    while sent < 2 * remote.MAX_EVENT_BYTES:
        yield text
        sent += len(text)
    pytest.fail("it reads on for ever")


@pytest.mark.parametrize("begin", [b"data: x\n", b"x", b"data: "])
def test_an_event_without_an_end_is_not_collected_for_ever(begin: bytes) -> None:
    body = iter([begin, *([b"x" * 65536] * (remote.MAX_EVENT_BYTES // 65536 + 2))])
    with pytest.raises(httpx2.SSEError):
        list(messages(response(body)))
    with pytest.raises(httpx2.SSEError):
        list(messages(response(endless(b"data: " + b"x" * 65536 + b"\n"))))


def test_a_long_event_is_taken_whole() -> None:
    text = b"x" * (remote.MAX_EVENT_BYTES - 100)
    assert read(b"data: " + text + b"\n\n") == [("", "message", text.decode())]


def failure(url: str) -> Exit:
    with Remote(url) as remote_, pytest.raises(Exit) as failed:
        list(remote_.events({}))
    return failed.value


def test_what_is_no_stream_of_events_is_not_tickr() -> None:
    with answering(200, b"{}") as url:
        told = failure(url)
    assert not isinstance(told, Unanswered)
    assert (told.exit_code, "is not Tickr" in told.message) == (UNREACHABLE, True)


def test_a_refusal_keeps_its_status_and_its_words() -> None:
    with answering(410, b'{"code":"cursor_expired","detail":"It is too old."}') as url:
        told = failure(url)
    assert isinstance(told, Refused)
    assert (told.status, told.exit_code, told.message) == (410, NOT_FOUND, "It is too old.")


def test_the_end_of_the_stream_is_told() -> None:
    with answering(200, b"data: x\n\n", STREAM) as url, Remote(url) as remote_:
        stream = remote_.events({})
        assert next(stream).data == "x"
        with pytest.raises(Unanswered):
            next(stream)
