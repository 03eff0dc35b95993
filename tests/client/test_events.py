"""The feed as the client tells it: from a place on, with filters, across lost connections, to an honest end."""

from __future__ import annotations

import re
import uuid
from typing import Any

import anyio
import pytest

from tests.client.conftest import PATIENCE_S
from tests.client.faces import face
from tests.client.standin import Standin, say
from tests.processes import TickrProcess
from tickr.client import AsyncClient, CursorExpired, Event, Invalid, Unavailable, Unexpected
from tickr.client.subscription import MAX_EVENT_BYTES, Subscription

EVENT = (
    b'{"specversion":"1.0","id":"%b","source":"/tickr","type":"tickr.job.created","subject":"x",'
    b'"time":"2030-01-31T12:00:00.000000Z","data":{"job":{"id":"x","type":"a","queue":"default","priority":5,'
    b'"state":"ready","version":1,"attempt":0,"max_attempts":3,"run_at":"2030-01-31T12:00:00Z","labels":{}},'
    b'"previous_state":null}}'
)


def sse(number: int) -> bytes:
    return b"id: h.%d\nevent: tickr.job.created\ndata: %b\n\n" % (number, EVENT % str(number).encode())


def subscription(after: str | None = None) -> Subscription:
    return Subscription("http://tickr", {}, after, total_s=30, now=lambda: 0.0)


def told(feed: Subscription, *chunks: bytes) -> list[Event]:
    return [event for chunk in chunks for event in feed.told(chunk)]


# -- bytes to events ---------------------------------------------------------------------------------------------------


def test_events_come_out_whole_however_the_bytes_are_cut() -> None:
    whole = b"retry: 1000\nid: h.0\n\n" + sse(1) + sse(2) + b"id: h.9\n\n"
    for cut in range(len(whole)):
        feed = subscription()
        assert [event.cursor for event in told(feed, whole[:cut], whole[cut:])] == ["h.1", "h.2"]
        assert feed.cursor == "h.9"
    assert [event.id for event in told(subscription(), whole.replace(b"\n", b"\r\n"))] == ["1", "2"]


def test_what_is_told_again_is_not_told_twice() -> None:
    feed = subscription()
    told(feed, sse(1), sse(2)[:40])
    feed.request()  # the connection was lost: half an event with it
    assert [event.id for event in told(feed, sse(1), sse(2))] == ["2"]


def test_it_asks_again_after_its_last_cursor() -> None:
    feed = subscription("earliest")
    assert feed.request().query["after"] == "earliest"
    told(feed, sse(1), b"event: tickr.error\ndata: {}\n\n")
    assert feed.request().query["after"] == "h.1"
    assert "after" not in subscription().request().query


def test_it_is_open_only_once_there_is_a_place_to_come_back_to() -> None:
    feed = subscription("h.7")
    assert not feed.opened
    told(feed, b"retry: 1000\nid: h.7\n\n")
    assert feed.opened


def test_what_is_no_event_ends_it() -> None:
    with pytest.raises(Unexpected):
        told(subscription(), b"data: {}\n\n")
    with pytest.raises(Unexpected, match="longer than"):
        told(subscription(), b"x" * (MAX_EVENT_BYTES + 1))


# -- on the wire -------------------------------------------------------------------------------------------------------


CALM_LIFE = "created started succeeded"
KILLED_LIFE = "created started( released started){0,2} (succeeded|failed)"
"""Each kill may lose the node that runs it; the third is one too many."""


@pytest.mark.slow
def test_the_life_of_a_job_is_heard(server: str, client: Any) -> None:
    queue = uuid.uuid4().hex
    with client.events(queue=queue) as events:
        stored = client.submit("report", {"time": 0.0}, queue=queue)
        heard = [next(events)]
        while heard[-1].what not in ("succeeded", "failed"):
            heard.append(next(events))
        last, whats = heard[-1], [event.what for event in heard]
        assert re.fullmatch(CALM_LIFE if server == "calm" else KILLED_LIFE, " ".join(whats)), whats
        assert [event.job.version for event in heard] == [*range(1, len(heard) + 1)]
        assert [event.data.previous_state for event in heard] == [None, *(event.job.state for event in heard[:-1])]
        assert {event.job.id for event in heard} == {stored.id}
        if last.what == "succeeded":
            assert last.data.result["words"] == 0
        else:
            assert (last.data.error.kind, whats.count("started")) == ("crashed", 3)
        assert last.time.tzinfo is not None
        assert events.cursor == last.cursor
    with client.events(after=heard[0].cursor, job=stored) as events:
        assert [next(events) for _ in heard[1:]] == heard[1:]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_a_cancelled_wait_for_an_event_loses_none(backend: str, shared_tickr: TickrProcess) -> None:
    queue = uuid.uuid4().hex

    async def main() -> None:
        async with AsyncClient(shared_tickr.url, total_s=PATIENCE_S) as client, client.events(queue=queue) as events:
            for _ in range(3):
                with anyio.move_on_after(0.05) as scope:
                    await anext(events)
                assert scope.cancelled_caught
                stored = await client.submit("report", queue=queue, delay=3600)
                assert (await anext(events)).job.id == stored.id

    anyio.run(main, backend=backend)


@pytest.mark.slow
def test_a_cursor_that_has_expired_says_what_to_do(client: Any) -> None:
    with pytest.raises(CursorExpired, match="List the jobs again") as told, client.events(after="000000000000.1"):
        pass
    assert (told.value.status, told.value.code) == (410, "cursor_expired")
    assert any("list()" in note for note in told.value.__notes__)
    with pytest.raises(Invalid, match="invalid_cursor"), client.events(after="x"):
        pass


def test_a_feed_that_cannot_be_opened_is_tried_and_given_up(face_name: str) -> None:
    later = [say(503)] * 50
    with (
        Standin(*later) as server,
        face(face_name, server.url, total_s=0.3) as client,
        pytest.raises(Unavailable, match="did not open the feed"),
        client.events(),
    ):
        pass
    assert len(server.seen) > 1
