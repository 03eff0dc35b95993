"""Unique keys from Python: what goes on the wire, and whose id comes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.client.conftest import Serve, careful
from tests.client.faces import face
from tests.client.standin import Standin, cut, problem, say, store_and_cut
from tickr.client import Conflict, NewJob, Submitted, Unique

HOLDER = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"


def held(server: Standin, seen: Any) -> Any:
    if seen.path == "/jobs":
        return 200, {"id": HOLDER}, {"Tickr-Unique": "held"}
    results = [{"index": index, "status": 200, "id": HOLDER, "held": True} for index in range(len(seen.jobs))]
    return 200, {"results": results}, {}


@pytest.mark.parametrize(
    ("unique", "sent"),
    [
        ("k", {"key": "k"}),
        ({"key": "k", "until": "final"}, {"key": "k", "until": "final"}),
        ({"key": "k", "until": timedelta(minutes=1.5)}, {"key": "k", "until": 90.0}),
        ({"key": "k", "until": 5, "on_conflict": "replace"}, {"key": "k", "until": 5, "on_conflict": "replace"}),
    ],
)
def test_it_is_sent_as_the_server_wants_it(face_name: str, unique: Any, sent: Any) -> None:
    with Standin() as server, face(face_name, server.url) as client:
        client.submit("a", unique=unique)
        client.submit_many([NewJob(type="a", unique=unique)])
        assert [seen.jobs[0]["unique"] for seen in server.seen] == [sent, sent]


def test_the_holder_is_told_for_one_and_for_many(face_name: str) -> None:
    with Standin(held, held) as server, face(face_name, server.url) as client:
        assert client.submit("a", unique="k") == Submitted(HOLDER, "a", held=True)
        assert (
            client.submit_many({"type": "a", "unique": "k"} for _ in range(2))
            == [Submitted(HOLDER, "a", held=True)] * 2
        )


@pytest.mark.parametrize("first", [cut, store_and_cut])
def test_a_conflict_of_keys_is_never_taken_for_ones_own_lost_try(face_name: str, first: Any) -> None:
    with Standin(first, say(409, "unique_conflict")) as server, face(face_name, server.url) as client:
        with pytest.raises(Conflict) as told:
            client.submit("a", unique={"key": "k", "on_conflict": "reject"})
        assert (told.value.code, told.value.may_be_stored) == ("unique_conflict", True)


def test_a_conflict_in_a_batch_is_of_one_job(face_name: str) -> None:
    def one(server: Standin, seen: Any) -> Any:
        status, document, headers = server.store(seen)
        document["results"][1] = {"index": 1, "status": 409, "error": problem(409, "unique_conflict")}
        return status, document, headers

    with Standin(one) as server, face(face_name, server.url) as client:
        first, second, third = client.submit_many({"type": "a"} for _ in range(3))
        assert [isinstance(answer, Submitted) for answer in (first, second, third)] == [True, False, True]
        assert isinstance(second, Conflict)
        assert not second.may_be_stored


@pytest.mark.slow
def test_with_a_server(face_name: str, serve: Serve) -> None:
    with serve() as node, careful(face_name, node.url) as client:
        first = client.submit("report", delay=3600, unique={"key": "k", "until": timedelta(days=1)})
        assert client.submit("report", unique="k") == Submitted(first.id, "report", held=True)
        assert client.get(first).unique == Unique("k", 86400.0)
        answers = client.submit_many([{"type": "report", "unique": "k"}, {"type": "report", "delay": 3600}])
        assert [answer.held for answer in answers] == [True, False]
        with pytest.raises(Conflict):
            client.submit("report", unique={"key": "k", "on_conflict": "reject"})
        second = client.submit("report", delay=3600, unique={"key": "k", "on_conflict": "replace"})
        assert client.get(first).error.kind == "replaced"
        assert client.get(second).unique == Unique("k", "final")
