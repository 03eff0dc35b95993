"""Statistics and marks on each face of the client, against a real Tickr."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import trio

from tests.client.conftest import PATIENCE_S
from tests.client.faces import face
from tests.client.standin import Response, Seen, Standin, cut
from tests.waiting import eventually
from tickr.client import Invalid, Mark, NotFound, Statistics, Unavailable


@pytest.mark.slow
async def test_what_was_done_is_asked_for(client: Any) -> None:
    queue = f"q-{uuid.uuid4()}"

    async def ask(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await trio.to_thread.run_sync(partial(method, *args, **kwargs))

    await ask(client.submit, "report", queue=queue, delay=3600)

    async def counted() -> bool:
        (series,) = (await ask(client.statistics, step="hour", queue=queue, by="type")).series
        return bool(series.total.created == 1 and series.type == "report")

    await eventually(counted, within_s=PATIENCE_S)
    found = await ask(client.statistics, step="minute", since=datetime.now(UTC) - timedelta(hours=2), queue=[queue])
    assert isinstance(found, Statistics)
    (series,) = found.series
    assert (series.queue, series.other, series.total.run) == (None, False, None)
    assert series.points[0].created == 1
    assert found.until - found.since >= timedelta(hours=2)
    (totals,) = (await ask(client.statistics, queue=queue, points=False)).series
    assert (totals.points, totals.total.created) == ([], 1)
    with pytest.raises(Invalid):
        await ask(client.statistics, step="minute", since=datetime(2020, 1, 1, tzinfo=UTC))


@pytest.mark.slow
def test_marks_are_made_listed_and_deleted(client: Any) -> None:
    at = datetime(2021, 5, 1, 12, tzinfo=UTC)
    mark = client.marks.add("v1.2.3", at=at)
    assert mark == Mark(mark.id, at, "v1.2.3")
    assert client.marks.add("again", id=mark.id) == mark
    assert mark in client.marks.list(since=at, until=at + timedelta(seconds=1))
    assert mark not in client.marks.list(until=at)
    asked, second = datetime.now(UTC), timedelta(seconds=1)
    assert asked - second < client.marks.add("now").at < datetime.now(UTC) + second
    client.marks.delete(mark)
    with pytest.raises(NotFound):
        client.marks.delete(mark.id)


def made(server: Standin, seen: Seen) -> Response:
    return 201, {"id": str(uuid.uuid4()), "at": "2020-01-31T12:00:00Z", "text": "v1"}, {}


def test_a_mark_is_asked_for_again() -> None:
    with Standin(cut, made) as server, face("threads", server.url) as client:
        assert client.marks.add("v1").text == "v1"
        assert [request.path for request in server.seen] == ["/marks"] * 2


def test_a_mark_is_not_deleted_twice() -> None:
    with Standin(cut, cut) as server, face("threads", server.url) as client:
        with pytest.raises(Unavailable):
            client.marks.delete("a")
        assert [request.path for request in server.seen] == ["/marks/a"]
