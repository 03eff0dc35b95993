"""Broadcasts on each face of the client, against a real Tickr."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tickr.client import Broadcast, Invalid


@pytest.mark.slow
def test_every_node_is_told_once_whoever_repeats_it(client: Any) -> None:
    id_ = str(uuid.uuid4())
    told = client.broadcast("report", {"title": "All"}, id=id_, expires_in=60)
    assert isinstance(told, Broadcast)
    assert told.id == id_
    (job,) = told.items
    assert job.queue.startswith("@")
    assert [one.id for one in client.broadcast("report", {"title": "All"}, id=id_, expires_in=60).items] == [job.id]
    assert client.wait(job).state == "succeeded"
    assert client.broadcast("nothing").items == []
    with pytest.raises(Invalid):
        client.broadcast("report", queue="q")
