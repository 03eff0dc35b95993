"""A job is never stored twice and never lost in silence: lost answers, refusals, time-outs, on each face."""

from __future__ import annotations

import socket
import time
from datetime import datetime
from typing import Any

import msgspec
import pytest

from tests.children import free_port
from tests.client.faces import face
from tests.client.standin import Standin, cut, say, store_and_cut
from tickr.client import Conflict, Denied, Invalid, NotFound, Submitted, Unavailable, Unexpected


def test_a_lost_answer_brings_the_same_job_again(face_name: str) -> None:
    with Standin(store_and_cut, store_and_cut) as server, face(face_name, server.url) as client:
        stored = client.submit("a", {"n": 1})
        assert server.arrivals == [stored.id] * 3
        assert list(server.stored) == [stored.id]
        assert stored.replayed
        assert [one.jobs for one in server.seen] == [server.seen[0].jobs] * 3


def test_a_lost_batch_is_sent_again_and_answered_each(face_name: str) -> None:
    with Standin(cut, store_and_cut, say(503, outcome_unknown=True)) as server, face(face_name, server.url) as client:
        answers = client.submit_many({"type": "a", "payload": n} for n in range(50))
        assert [one.id for one in answers] == list(server.stored)
        assert len(server.stored) == 50
        assert all(one.replayed for one in answers)
        assert len(server.seen) == 4


def test_some_of_a_batch_are_put_off_and_come_again(face_name: str) -> None:
    def half(server: Standin, seen: Any) -> Any:
        put_off = seen.jobs[1::2]
        status, document, headers = server.store(seen._replace(jobs=seen.jobs[::2]))
        results = [None] * len(seen.jobs)
        results[::2] = document["results"]
        results[1::2] = [{"status": 429, "error": {"code": "overloaded", "detail": "Later."}} for _ in put_off]
        return status, {"results": [{**one, "index": i} for i, one in enumerate(results)]}, headers  # type: ignore

    with Standin(half) as server, face(face_name, server.url) as client:
        answers = client.submit_many({"type": "a", "payload": n} for n in range(10))
        assert [server.stored[one.id]["payload"] for one in answers] == list(range(10))
        assert [len(one.jobs) for one in server.seen] == [10, 5]
        assert not any(one.replayed for one in answers)


def test_retry_after_is_honoured(face_name: str) -> None:
    with Standin(say(429, "overloaded", {"Retry-After": "1"})) as server, face(face_name, server.url) as client:
        began = time.monotonic()
        client.submit("a")
        assert time.monotonic() - began >= 1.0
        assert len(server.seen) == 2


def test_when_the_time_is_over_it_says_whether_the_job_may_be_stored(face_name: str) -> None:
    later = say(503, "store_unavailable", outcome_unknown=False)
    too_late = say(503, "store_unavailable", {"Retry-After": "60"}, outcome_unknown=False)  # no try is under way then
    with Standin(later, too_late) as server, face(face_name, server.url, total_s=10) as client:
        with pytest.raises(Unavailable, match="was not stored") as told:
            client.submit("a")
        assert told.value.job_id == server.seen[0].jobs[0]["id"]
        assert not told.value.may_be_stored
        assert told.value.refusal.status == 503
        assert "(store_unavailable)" in str(told.value)

    with Standin(store_and_cut, later, too_late) as server, face(face_name, server.url, total_s=10) as client:
        with pytest.raises(Unavailable, match="is not known: submit it again with this id") as told:
            client.submit("a")
        assert told.value.may_be_stored
        assert list(server.stored) == [told.value.job_id]


def test_a_server_that_wants_to_be_left_alone_too_long_is_given_up_at_once(face_name: str) -> None:
    later = say(503, headers={"Retry-After": "60"})
    with Standin(later, later) as server, face(face_name, server.url) as client:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            client.submit("a")
        with pytest.raises(Unavailable):
            client.get("x")
        assert time.monotonic() - began < 10


def test_a_server_that_never_answers(face_name: str) -> None:
    with Standin() as server, face(face_name, server.url, total_s=1.0) as client:
        server.gate.clear()
        began = time.monotonic()
        with pytest.raises(Unavailable) as told:
            client.submit("a")
        assert 0.9 < time.monotonic() - began < 8
        assert told.value.may_be_stored
        server.gate.set()


def test_nobody_there(face_name: str) -> None:
    with face(face_name, f"http://127.0.0.1:{free_port()}", total_s=1.0) as client:
        with pytest.raises(Unavailable, match="ConnectError") as told:
            client.submit("a")
        assert not told.value.may_be_stored
        with pytest.raises(Unavailable, match="GET /jobs/x"):
            client.get("x")


def test_something_else_is_there(face_name: str) -> None:
    def page(server: Standin, seen: Any) -> Any:
        server.script.append(page)
        return 200, ["welcome"], {}

    with Standin(page) as server, face(face_name, server.url) as client:
        with pytest.raises(Unexpected, match="is not Tickr") as told:
            client.submit("a")
        assert told.value.may_be_stored
        with pytest.raises(Unexpected):
            client.get("x")


def test_a_refusal_after_a_lost_answer_says_that_the_job_may_be_stored(face_name: str) -> None:
    with Standin(store_and_cut, say(401, "unauthenticated")) as server, face(face_name, server.url) as client:
        with pytest.raises(Denied, match="is not known") as told:
            client.submit("a")
        assert list(server.stored) == [told.value.job_id]


def test_a_conflict_with_ones_own_lost_try_is_none(face_name: str) -> None:
    # The server adds defaults of its own, which a deploy may have changed between the two tries.
    with Standin(store_and_cut, say(409, "duplicate_job")) as server, face(face_name, server.url) as client:
        assert client.submit("a") == Submitted(server.arrivals[0], "a", replayed=True)


@pytest.mark.parametrize("script", [(store_and_cut, say(409, "duplicate_job")), (say(409, "duplicate_job"),)])
def test_any_other_conflict_is_one(face_name: str, script: Any) -> None:
    given = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c" if len(script) == 2 else None
    with Standin(*script) as server, face(face_name, server.url) as client, pytest.raises(Conflict):
        client.submit("a", id=given)


def test_starting_over_is_not_repeated_where_it_may_have_been_done(face_name: str) -> None:
    with Standin(cut) as server, face(face_name, server.url) as client:
        with pytest.raises(Unavailable, match="whether it was done is not known") as told:
            client.retry("x")
        assert told.value.may_be_stored
        assert server.paths() == ["/jobs/x/retry"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.cancel("x", version=1),
        lambda client: client.nodes.stop("self"),
        lambda client: client.nodes.change("self", slots=3),
    ],
)
def test_nor_is_what_a_second_try_would_do_to_another(ask: Any, face_name: str) -> None:
    with Standin(cut) as server, face(face_name, server.url) as client:
        with pytest.raises(Unavailable) as told:
            ask(client)
        assert (told.value.may_be_stored, len(server.seen)) == (True, 1)


def test_a_refusal_after_a_lost_try_may_be_of_what_that_has_done(face_name: str) -> None:
    with Standin(cut, say(503), say(409, "not_editable"), say(409, "not_editable"), cut, say(404)) as server:
        with face(face_name, server.url) as client:
            for lost in (True, False):
                with pytest.raises(Conflict) as told:
                    client.edit("x", delay=0)
                assert told.value.may_be_stored is lost
            with pytest.raises(NotFound) as absent:
                client.get("x")
            assert not absent.value.may_be_stored
        assert len(server.seen) == 6


def test_a_lost_try_is_not_forgotten_over_later_ones_that_did_nothing(face_name: str) -> None:
    with Standin(cut, *[say(503)] * 50) as server, face(face_name, server.url, total_s=1) as client:
        with pytest.raises(Unavailable, match="whether it was done is not known") as told:
            client.cancel("x")
        assert told.value.may_be_stored
        assert len(server.seen) > 1


def test_reading_is_repeated(face_name: str) -> None:
    job = {"id": "x", "type": "a", "queue": "default", "priority": 5, "state": "ready", "payload": {}, "attempt": 0}
    job |= {"max_attempts": 3, "run_at": "2030-01-31T12:00:00Z", "created_at": "2030-01-31T12:00:00Z", "version": 1}

    def show(server: Standin, seen: Any) -> Any:
        return 200, job, {}

    with Standin(cut, say(429), show) as server, face(face_name, server.url) as client:
        assert client.get("x").state == "ready"
        assert server.paths() == ["/jobs/x"] * 3


# -- what is found before anything is sent ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"payload": {"a": [1, float("inf")]}}, "/payload/a/1"),
        ({"payload": {"a": "\ud800"}}, "/payload/a"),
        ({"payload": {"a/b": object()}}, "/payload/a~1b"),
        ({"payload": {"a": {1, 2}, "b": float("nan")}}, "/payload/b"),
        ({"run_at": datetime(2030, 1, 1)}, "/run_at"),
        ({"colour": "red"}, "/colour"),
        ({"delay": float("nan")}, "/delay"),
        ({"payload": msgspec.Raw(b"{},")}, "/payload"),
        ({"payload": msgspec.Raw(b'1},{"type":"b"')}, "/payload"),
        ({"payload": msgspec.Raw(b'1,"queue":"q"')}, "/payload"),
        ({"payload": [msgspec.Raw(b'1]},{"type":["b"')]}, "/payload"),
    ],
)
def test_what_json_cannot_say_is_not_sent(options: dict[str, Any], pointer: str) -> None:
    with Standin() as server, face("threads", server.url) as client:
        with pytest.raises(Invalid) as told:
            client.submit("a", **options)
        assert [fault.pointer for fault in told.value.faults] == [pointer]
        assert told.value.status is None
        assert server.seen == []


def test_a_payload_that_holds_itself_is_not_sent() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with Standin() as server, face("threads", server.url) as client, pytest.raises(Invalid, match="holds itself"):
        client.submit("a", ring)


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://h/?a=1", "http://h:99999"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(Invalid, match="must be like http"):
        face("threads", url).__enter__()


def test_a_token_that_is_none_is_not_repeated() -> None:
    with pytest.raises(Invalid, match="The token must be printable ASCII") as told:
        face("threads", "http://127.0.0.1:8080", "se\ncret").__enter__()
    assert "cret" not in str(told.value)


def test_loopback_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with Standin() as server, face("threads", server.url) as client:
            client.submit("a")
