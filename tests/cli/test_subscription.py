"""A subscription outlives its connections: against a server that says, and breaks off, exactly what a test wants."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.children import free_port
from tickr.cli import remote, subscription
from tickr.cli.exits import NOT_FOUND, UNREACHABLE, Exit
from tickr.cli.remote import Remote
from tickr.cli.subscription import REMEMBERED, Sign, Subscription, Told

JOB = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(subscription, "LONGEST_PAUSE_S", 0.004)


def event(number: int) -> bytes:
    """Return event number ``number`` as the server sends it; the cursor after it is ``h.<number>``."""
    job = {"id": JOB, "type": "t", "queue": "default", "state": "ready", "version": number}
    job |= {"attempt": 0, "max_attempts": 3, "run_at": "2030-01-31T12:00:00Z"}
    body = {"id": f"{JOB}.{number}", "type": "tickr.job.created", "time": "2030-01-31T12:00:00Z", "data": {"job": job}}
    return f"id: h.{number}\nevent: tickr.job.created\ndata: {json.dumps(body)}\n\n".encode()


def problem(status: int, code: str = "x") -> bytes:
    body = json.dumps({"code": code, "detail": f"No, {code}."})
    return f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


def stream(*messages: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + b"".join(messages)


class Server:
    """Answers each connection with the next of ``answers``, hangs up, and notes what was asked for (``asked``).

    After the last of them nobody listens any more.
    """

    def __init__(self, answers: Sequence[bytes]) -> None:
        self.asked: list[dict[str, list[str]]] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, args=(answers,), daemon=True)
        self._thread.start()

    def _serve(self, answers: Sequence[bytes]) -> None:
        with self._socket:
            for answer in answers:
                connection, _ = self._socket.accept()
                with connection:
                    line = connection.recv(65536).split(b"\r\n")[0].decode()
                    self.asked.append(parse_qs(urlsplit(line.split()[1]).query))
                    connection.sendall(answer)

    def join(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive(), "it was not asked as often as it could have answered"


@contextmanager
def subscribed(*answers: bytes, **options: Any) -> Iterator[tuple[Server, Subscription]]:
    server = Server(answers)
    with Remote(server.url) as remote_:
        yield server, Subscription(remote_, {"job": [JOB], "queue": []}, **options)
    server.join()


def take(feed: Subscription, number: int) -> list[object]:
    """Return the next items: an event by its number, a sign as it is."""
    items = islice(feed, number)
    return [int(item.event.id.rpartition(".")[2]) if isinstance(item, Told) else item for item in items]


def test_it_goes_on_after_the_last_event_and_tells_none_twice() -> None:
    answers = (stream(b"id: h.0\n\n", event(1), event(2)), stream(event(2), b"id: h.2\n\n", event(3)))
    with subscribed(*answers) as (server, feed):
        feed.open()
        assert take(feed, 8) == [Sign.QUIET, 1, 2, Sign.LOST, Sign.BACK, Sign.QUIET, 3, Sign.LOST]
        assert feed.cursor == "h.3"
    assert server.asked == [{"job": [JOB]}, {"job": [JOB], "after": ["h.2"]}]


def test_an_event_is_passed_on_as_it_came() -> None:
    with subscribed(stream(event(7))) as (_, feed):
        feed.open()
        told = next(iter(feed))
        assert isinstance(told, Told)
        assert told.raw == event(7).partition(b"data: ")[2].rstrip()


def test_an_event_that_was_cut_off_is_asked_for_again() -> None:
    with subscribed(stream(event(1), event(2)[:-1]), stream(event(2))) as (server, feed):
        feed.open()
        assert take(feed, 4) == [1, Sign.LOST, Sign.BACK, 2]
    assert server.asked[1]["after"] == ["h.1"]


def test_a_bookmark_moves_the_cursor() -> None:
    with subscribed(stream(event(1), b"id: h.9\n\n"), stream(event(10))) as (server, feed):
        feed.open()
        assert take(feed, 5) == [1, Sign.QUIET, Sign.LOST, Sign.BACK, 10]
    assert server.asked[1]["after"] == ["h.9"]


def test_it_waits_for_a_server_that_starts_and_for_one_whose_store_is_away() -> None:
    refusals = (b"", problem(503), problem(429), b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", stream())
    with subscribed(stream(event(1)), *refusals, stream(event(2))) as (server, feed):
        feed.open()
        assert take(feed, 4) == [1, Sign.LOST, Sign.BACK, 2]
    assert [asked.get("after") for asked in server.asked[1:]] == [["h.1"]] * 6


def test_pauses_grow_until_events_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(subscription.time, "sleep", pauses.append)
    quiet = stream(b"id: h.1\n\n")
    with subscribed(quiet, problem(503), quiet, quiet, quiet, stream(event(2)), quiet) as (_, feed):
        feed.open()
        take(feed, 3 * 5 + 1)
    assert pauses == [0.001, 0.002, 0.004, 0.004, 0.004, 0.001]


def test_an_expired_cursor_is_told_and_it_goes_on_from_the_earliest() -> None:
    answers = (stream(event(1)), problem(410), stream(event(5)), stream(event(5), event(6)))
    with subscribed(*answers) as (server, feed):
        feed.open()
        assert take(feed, 7) == [1, Sign.LOST, Sign.MISSED, 5, Sign.LOST, Sign.BACK, 6]
        words = feed.words(Sign.MISSED)
    assert [asked.get("after") for asked in server.asked] == [None, ["h.1"], ["earliest"], ["h.5"]]
    assert "missed" in words
    assert "earliest" in words


def test_a_farewell_is_no_event() -> None:
    farewell = b'event: tickr.error\ndata: {"code":"cursor_expired","detail":"No."}\n\n'
    with subscribed(stream(event(1), farewell), stream(event(2))) as (server, feed):
        feed.open()
        assert take(feed, 4) == [1, Sign.LOST, Sign.BACK, 2]
    assert server.asked[1]["after"] == ["h.1"]


def test_after_an_expired_cursor_it_goes_on_from_now_if_that_is_asked_for() -> None:
    with subscribed(stream(event(1)), problem(410), stream(event(5)), if_expired=None) as (server, feed):
        feed.open()
        assert take(feed, 4) == [1, Sign.LOST, Sign.MISSED, 5]
        assert "from now" in feed.words(Sign.MISSED)
    assert [asked.get("after") for asked in server.asked] == [None, ["h.1"], None]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_that_stays_ends_it(status: int) -> None:
    with subscribed(stream(event(1)), problem(status, "never")) as (_, feed):
        feed.open()
        with pytest.raises(Exit, match="No, never"):
            take(feed, 9)


def test_an_answer_of_another_program_ends_it() -> None:
    for wrong in (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", stream(b"id: h.2\ndata: {}\n\n")):
        with subscribed(stream(event(1)), wrong) as (_, feed):
            feed.open()
            with pytest.raises(Exit, match="different a version") as ended:
                take(feed, 9)
            assert ended.value.exit_code == UNREACHABLE


@pytest.mark.parametrize(
    ("answer", "code"), [(problem(410, "cursor_expired"), NOT_FOUND), (problem(503, "store_unavailable"), UNREACHABLE)]
)
def test_at_the_first_time_every_refusal_counts(answer: bytes, code: int) -> None:
    with subscribed(answer, after="h.1") as (server, feed), pytest.raises(Exit, match="No, ") as refused:
        feed.open()
    assert refused.value.exit_code == code
    assert server.asked[0]["after"] == ["h.1"]


def test_it_has_not_begun_before_there_is_a_cursor() -> None:
    with subscribed(stream(b"retry: 1000\n: hello\n\n")) as (_, feed), pytest.raises(Exit) as failed:
        feed.open()
    assert failed.value.exit_code == UNREACHABLE
    with Remote(f"http://127.0.0.1:{free_port()}") as nobody, pytest.raises(Exit) as failed:
        Subscription(nobody, {}).open()
    assert failed.value.exit_code == UNREACHABLE


def test_a_server_that_says_nothing_any_more_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SILENCE_S", 0.05)
    frozen = socket.create_server(("127.0.0.1", 0))
    with frozen, Remote(f"http://127.0.0.1:{frozen.getsockname()[1]}") as remote_:

        def begin() -> None:
            connections.append(frozen.accept()[0])
            connections[0].sendall(stream(b"id: h.1\n\n"))

        connections: list[socket.socket] = []
        thread = threading.Thread(target=begin)
        thread.start()
        feed = Subscription(remote_, {})
        feed.open()
        began = time.monotonic()
        assert take(feed, 2) == [Sign.QUIET, Sign.LOST]
        assert time.monotonic() - began < 5
        thread.join()
        connections[0].close()


def test_what_is_remembered_is_bounded() -> None:
    numbers = range(1, REMEMBERED + 2)
    with subscribed(stream(*map(event, numbers), event(REMEMBERED), event(1))) as (_, feed):
        feed.open()
        assert take(feed, REMEMBERED + 2) == [*numbers, 1]
