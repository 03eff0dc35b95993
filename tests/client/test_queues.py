"""Queues on each face of the client, against a real Tickr; and which of its calls are made again."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.client.faces import face
from tests.client.standin import Standin, cut
from tickr.client import Invalid, NotFound, Queue, Unavailable


@pytest.mark.slow
def test_a_queue_is_paused_for_a_while_looked_at_and_resumed(client: Any) -> None:
    name = f"q-{uuid.uuid4()}"
    with pytest.raises(NotFound):
        client.queues.get(name)
    paused = client.queues.pause(name)
    assert isinstance(paused, Queue)
    assert (paused.name, paused.paused, paused.paused_until, paused.ready) == (name, True, None, 0)
    asked, second = datetime.now(UTC), timedelta(seconds=1)
    until = client.queues.pause(name, timedelta(hours=1)).paused_until
    assert asked - second < until - timedelta(hours=1) < datetime.now(UTC) + second
    at = datetime.now(UTC) + timedelta(hours=2)
    assert client.queues.pause(name, until=at).paused_until == at
    assert client.queues.get(name).paused_until == at
    assert name in [one.name for one in client.queues.list()]
    assert not client.queues.resume(name).paused
    assert client.queues.order(name, "newest").order == "newest"
    assert client.queues.get(name).order == "newest"
    with pytest.raises(Invalid):
        client.queues.order(name, "lifo")
    with pytest.raises(Invalid):
        client.queues.pause(name, -1)


@pytest.mark.slow
def test_a_queue_is_limited_as_a_whole(client: Any) -> None:
    name = f"q-{uuid.uuid4()}"
    limited = client.queues.limit(name, max_running=5, max_running_per_key=2, rate=(10, 60), shared_keys=True)
    assert (limited.max_running, limited.max_running_per_key, limited.shared_keys) == (5, 2, True)
    assert (limited.rate.starts, limited.rate.period) == (10, 60)
    free = client.queues.limit(name, max_running=1)
    assert (free.max_running, free.max_running_per_key, free.rate, free.shared_keys) == (1, None, None, False)
    with pytest.raises(Invalid):
        client.queues.limit(name, rate=(0, 60))


def test_a_pause_of_some_length_is_not_asked_for_twice() -> None:
    with Standin(cut, cut) as server, face("threads", server.url, total_s=0.2) as client:
        with pytest.raises(Unavailable):
            client.queues.pause("q", 30)
        assert [request.path for request in server.seen] == ["/queues/q/pause"]
