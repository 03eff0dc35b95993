"""Operations and dead letters on each face of the client, on a real Tickr; and which of its calls are made again."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.client.conftest import PATIENCE_S
from tests.client.faces import face
from tests.client.standin import Response, Seen, Standin, cut, say
from tickr.client import Conflict, Invalid, Job, NotEnded, NotFound, Operation

PRIVATE = {"url": "http://127.0.0.1:9/"}
"""What no ``http`` job may ask for, so that it fails at once."""


@pytest.fixture
def queue() -> str:
    """A queue that no other test uses."""
    return f"q-{uuid.uuid4()}"


def failed(client: Any, queue: str, count: int = 1, **options: Any) -> list[Job]:
    jobs = [client.submit("http", PRIVATE, queue=queue, max_attempts=1, **options) for _ in range(count)]
    return [client.wait(job, timeout_s=PATIENCE_S) for job in jobs]


@pytest.mark.slow
def test_all_that_match_are_retried(client: Any, queue: str) -> None:
    jobs = failed(client, queue, 3)
    seen = client.operations.look("retry", queue=queue)
    assert (seen.total, seen.exact) == (3, True)
    assert [(group.state, group.type, group.count) for group in seen.groups] == [("failed", "http", 3)]
    changes = {"delay": timedelta(hours=1), "priority": 2, "timeout": timedelta(minutes=2)}
    begun = client.operations.retry(queue=[queue], changes=changes)
    assert isinstance(begun, Operation)
    assert (begun.total, begun.changes) == (3, {"delay": 3600.0, "priority": 2, "timeout": 120.0})
    ended = client.operations.wait(begun, timeout_s=PATIENCE_S)
    assert (ended.state, ended.done, ended.skipped, ended.ended) == ("done", 3, 0, True)
    again = [client.get(job) for job in jobs]
    assert {(job.state, job.priority) for job in again} == {("scheduled", 2)}
    assert client.operations.get(begun.id) == ended
    assert ended in client.operations.list(limit=20)


@pytest.mark.slow
def test_what_is_in_payloads_is_asked_for_in_lists_and_operations_alike(client: Any, queue: str) -> None:
    payloads: list[dict[str, Any]] = [{"who": {"id": n}, "of": queue} for n in (7, "7", 2**70, 8)]
    jobs = [client.submit("later", payload, queue=queue, delay=3600) for payload in payloads]

    def found(**which: Any) -> set[int]:
        listed = {job.id for job in client.listed(**which)}
        assert client.operations.look("cancel", **which).total == len(listed)
        return {n for n, job in enumerate(jobs) if job.id in listed}

    assert found(payload={"who.id": 7, "of": queue}) == {0, 1}
    assert found(payload={"who.id": '"7"'}, queue=queue) == {1}
    assert found(payload={"who.id": [2**70, 8]}, queue=queue) == {2, 3}
    assert found(payload={"who.id": 7}, contains=[queue, '"id":7']) == {0}
    begun = client.operations.cancel(payload={"who.id": 2**70}, contains=queue)
    assert begun.filter["payload"] == {"who.id": [str(2**70)]}
    assert client.operations.wait(begun, timeout_s=PATIENCE_S).done == 1
    assert [client.get(job).state for job in jobs] == [*["scheduled"] * 2, "cancelled", "scheduled"]
    assert client.dead_letters(payload={"of": queue}).total == 0


@pytest.mark.slow
def test_what_waits_is_changed(client: Any, queue: str) -> None:
    one, other = (client.submit("later", queue=queue, delay=3600, expires_in=7200) for _ in range(2))
    with client.events(event="changed", job=one.id) as events:
        changed = client.edit(one, priority=1, run_at=datetime.now(UTC) + timedelta(hours=3), expires_at=None)
        assert next(events).data.changed == ["priority", "run_at", "expires_at"]
    assert (changed.priority, changed.state, changed.expires_at, changed.version) == (1, "scheduled", None, 2)
    with pytest.raises(Conflict):
        client.edit(one, version=1, delay=0)
    assert client.edit(one, version=2, delay=0).state == "ready"
    begun = client.operations.edit(changes={"delay": 0, "labels": {}}, queue=queue)
    ended = client.operations.wait(begun, timeout_s=PATIENCE_S)
    assert (ended.done, ended.skipped) == (1, 1), "one was as it is to be"
    assert client.get(other).state == "ready"
    client.cancel(one)
    with pytest.raises(Conflict) as told:
        client.edit(one, priority=2)
    assert told.value.code == "not_editable"


@pytest.mark.slow
def test_jobs_are_deleted(client: Any, queue: str) -> None:
    (one,) = failed(client, queue)
    waiting, last = (client.submit("later", queue=queue, delay=3600) for _ in range(2))
    with client.events(event="deleted", queue=queue) as events:
        assert client.delete(one) is None
        assert next(events).data.job.id == one.id
    with pytest.raises(Conflict) as told:
        client.delete(waiting)
    assert told.value.code == "not_deletable"
    client.delete(waiting, cancel=True, version=1)
    begun = client.operations.delete(queue=queue, state="scheduled")
    assert client.operations.wait(begun, timeout_s=PATIENCE_S).done == 1
    for job in (one, waiting, last):
        with pytest.raises(NotFound):
            client.get(job)


@pytest.mark.slow
def test_a_queue_is_emptied_and_taken_away(client: Any, queue: str) -> None:
    job = client.submit("later", queue=queue, delay=3600)
    with pytest.raises(Conflict) as told:
        client.queues.delete(queue)
    assert told.value.code == "queue_not_empty"
    begun = client.queues.empty(queue, delete=True, reason="moved")
    assert client.operations.wait(begun, timeout_s=PATIENCE_S).done == 1
    with client.events(event="queue.deleted", queue=queue) as events:
        client.queues.delete(queue)
        assert next(events).subject == queue
    for gone in (lambda: client.get(job), lambda: client.queues.delete(queue)):
        with pytest.raises(NotFound):
            gone()


@pytest.mark.slow
def test_certain_jobs_are_cancelled(client: Any, queue: str) -> None:
    one, other = (client.submit("later", queue=queue, delay=3600) for _ in range(2))
    begun = client.operations.cancel(ids=[one], reason="no more")
    assert client.operations.wait(begun, timeout_s=PATIENCE_S).done == 1
    cancelled = client.get(one)
    assert cancelled.error is not None
    assert "no more" in cancelled.error.message
    assert client.get(other).state == "scheduled"


@pytest.mark.slow
def test_one_is_waited_for_and_stopped(client: Any, queue: str) -> None:
    client.submit_many({"type": "later", "queue": queue, "delay": 3600} for _ in range(100))
    begun = client.operations.cancel(queue=queue, rate=0.1)
    with pytest.raises(NotEnded) as told:
        client.operations.wait(begun, timeout_s=0)
    assert told.value.operation.id == begun.id
    stopped = client.operations.stop(begun)
    assert (stopped.state, client.operations.stop(begun.id)) == ("stopped", stopped)
    with pytest.raises(NotFound) as absent:
        client.operations.get(str(uuid.uuid4()))
    assert absent.value.code == "operation_not_found"


@pytest.mark.slow
def test_a_job_is_inspected_mended_and_retried(server: str, client: Any, queue: str) -> None:
    (job,) = failed(client, queue, labels={"of": queue})
    assert job.error is not None
    found = client.dead_letters(label={"of": queue}, finished_after=datetime.now(UTC) - timedelta(minutes=5))
    assert (found.total, found.groups[0].example, found.groups[0].error) == (1, job.id, job.error.kind)
    assert [one.id for one in client.listed(queue=queue, error=job.error.kind)] == [job.id]
    assert client.listed(queue=queue, finished_before=datetime.now(UTC) - timedelta(hours=1)) == []
    with client.events(event="redriven", job=job.id) as events:
        mended = client.retry(job, payload={"n": 2**70}, run_at=datetime.now(UTC) + timedelta(hours=1))
        assert next(events).data.changed == ["payload", "run_at"]
    assert (mended.state, mended.payload) == ("scheduled", {"n": 2**70})
    history = client.attempts(job)
    *lost, last = history.items
    assert (last.number, last.outcome, last.error) == (1, "failed", job.error)
    assert {one.outcome for one in lost} <= (set() if server == "calm" else {"released", "failed"})
    redrive = history.redrives[-1]
    assert (redrive.life, redrive.changed) == (last.life + 1, ["payload", "run_at"])
    assert last.life == 1 or len(lost) > 2, "a job that was lost with its node too often was run again"


@pytest.mark.slow
def test_its_events_are_heard(client: Any, queue: str) -> None:
    with client.events(event=["operation.started", "operation.done"]) as events:
        begun = client.operations.retry(queue=queue)
        heard = []
        while len(heard) < 2:
            event = next(events)
            if event.subject == begun.id:
                heard.append((event.what, event.data.operation.state))
    assert heard == [("operation.started", "running"), ("operation.done", "done")]


@pytest.mark.slow
def test_what_is_wrong_is_said(client: Any) -> None:
    with pytest.raises(Invalid) as told:
        client.operations.retry()
    assert [fault.pointer for fault in told.value.faults] == ["/all"]
    with pytest.raises(Invalid) as told:
        client.operations.cancel(state="failed", queue="a b", nonsense="x")
    assert {fault.pointer for fault in told.value.faults} == {"/filter/queue", "/filter/nonsense"}
    for wrong in (
        {"changes": {"payload": float("nan")}},
        {"changes": {"nonsense": 1}},
        {"changes": {"run_at": datetime(2030, 1, 1)}},
        {"created_after": datetime(2030, 1, 1)},
    ):
        with pytest.raises(Invalid) as told:
            client.operations.retry(queue="q", **wrong)
        assert told.value.status is None


# -- asked again ------------------------------------------------------------------------------------------------------


BEGUN = {
    "id": "x",
    "action": "retry",
    "state": "running",
    "rate": 1,
    "total": 0,
    "exact": True,
    "done": 0,
    "skipped": 0,
    "created_at": "2030-01-01T00:00:00Z",
}


def is_there(server: Standin, seen: Seen) -> Response:
    return 200, BEGUN, {}


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.operations.retry(queue="q"),
        lambda client: client.operations.cancel(all=True),
        lambda client: client.operations.get("x"),
        lambda client: client.operations.stop("x"),
        lambda client: client.queues.empty("q"),
    ],
)
def test_each_call_may_be_repeated(ask: Any, face_name: str) -> None:
    with Standin(cut, say(503, "store_unavailable"), is_there) as server, face(face_name, server.url) as client:
        assert ask(client).id == "x"
        assert len(server.seen) == 3
        bodies = [job for seen in server.seen for job in seen.jobs]
        assert all(body == bodies[0] and uuid.UUID(body["id"]).version == 7 for body in bodies)


def test_a_refusal_is_an_error(face_name: str) -> None:
    with Standin(say(409, "too_many_operations")) as server, face(face_name, server.url) as client:
        with pytest.raises(Conflict) as told:
            client.operations.cancel(queue="q")
        assert told.value.code == "too_many_operations"
