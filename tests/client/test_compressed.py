"""Requests that the client compresses: only those that are long, and only if it was told to."""

from __future__ import annotations

import pytest

from tests.client.faces import FACES, face
from tests.client.standin import Standin, cut

LARGE = {"text": "x" * 5000}


@pytest.mark.parametrize("name", FACES)
def test_long_requests_are_compressed(name: str) -> None:
    with Standin() as server, face(name, server.url, compress_above=1000) as client:
        client.submit("a", LARGE)
        client.submit("a", {"text": "short"})
        client.submit_many([{"type": "a", "payload": {"n": n}} for n in range(100)])
    assert [one.headers.get("content-encoding") for one in server.seen] == ["gzip", None, "gzip"]
    assert int(server.seen[0].headers["content-length"]) < 500
    assert [job["payload"] for job in server.stored.values()][:2] == [LARGE, {"text": "short"}]
    assert len(server.stored) == 102


def test_every_try_is() -> None:
    with Standin(cut, cut) as server, face("threads", server.url, compress_above=1000) as client:
        client.submit("a", LARGE)
    assert [one.headers.get("content-encoding") for one in server.seen] == ["gzip"] * 3
    assert [job["payload"] for job in server.stored.values()] == [LARGE]


def test_without_being_told_nothing_is() -> None:
    with Standin() as server, face("threads", server.url) as client:
        client.submit("a", LARGE)
    assert "content-encoding" not in server.seen[0].headers
