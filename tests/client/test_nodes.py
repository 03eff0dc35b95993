"""Nodes on each face of the client, against a real Tickr."""

from __future__ import annotations

from typing import Any

import pytest

from tests.client.faces import face
from tests.processes import TickrProcess
from tickr.client import Fleet, Invalid, NotFound


@pytest.mark.slow
def test_who_is_there_is_told_and_does_as_it_is_told(client: Any) -> None:
    fleet = client.nodes.list()
    assert isinstance(fleet, Fleet)
    (node,) = [one for one in fleet.items if one.id == fleet.here]
    assert (node.kind, node.state, node.lease) == ("node", "running", 15.0)
    assert fleet.lost == 0
    try:
        assert client.nodes.quiet(node).state == "quiet"
        assert client.nodes.get("self").state == "quiet"
        assert client.nodes.change(node.id, slots=7).slots == 7
    finally:
        assert client.nodes.resume("self").state == "running"
        client.nodes.change("self", slots=node.slots)
    with pytest.raises(Invalid):
        client.nodes.change("self", slots=0)
    with pytest.raises(NotFound):
        client.nodes.get("01a204a1-5b11-7c93-8e40-9d3c5a1e7f02")


@pytest.mark.slow
def test_what_a_node_runs_is_told_and_it_ends_when_it_is_told_to(face_name: str) -> None:
    with TickrProcess(store="memory:", index="heap:") as process, face(face_name, process.url) as client:
        job = client.submit("report", {"title": "Long", "time": 20})
        with client.events(job=job, after="earliest") as events:
            assert [next(events).what for _ in range(2)] == ["created", "started"]
        (running,) = client.nodes.get("self").jobs
        assert (running.id, running.type, running.attempt, running.cancelling) == (job.id, "report", 1, False)
        client.cancel(job)
        client.nodes.stop("self")
        assert process.wait(20) == 0
