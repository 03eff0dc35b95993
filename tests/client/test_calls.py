"""Every call against a real Tickr, on each face of the client."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tests.processes import TickrProcess
from tests.test_traces import PARENT
from tickr import Backoff
from tickr.client import (
    Client,
    Conflict,
    Denied,
    Invalid,
    NewJob,
    NotFinal,
    NotFound,
    Submitted,
    chunks,
)

from .conftest import PATIENCE_S, Serve, careful
from .faces import FACES, face
from .standin import Standin

pytestmark = pytest.mark.slow


def test_a_job_is_submitted_and_waited_for(client: Any) -> None:
    asked = datetime.now(UTC)
    stored = client.submit("report", {"title": "Hello", "time": 0.0})
    assert isinstance(stored, Submitted)
    job = client.wait(stored, timeout_s=PATIENCE_S)
    assert (job.id, job.type, job.state, job.final) == (stored.id, "report", "succeeded", True)
    assert job.payload == {"title": "Hello", "time": 0.0}
    assert job.result["title"] == "Hello"
    assert job.created_at.tzinfo is not None
    second = timedelta(seconds=1)
    assert asked - second < job.created_at < datetime.now(UTC) + second
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.finished_at >= job.started_at >= job.created_at


def test_every_option_arrives(client: Any) -> None:
    job_id = str(uuid.uuid4())
    at = datetime(2100, 1, 31, 12, tzinfo=UTC)
    client.submit(
        "report",
        {"big": 2**70},
        id=job_id,
        queue="nightly",
        priority=2,
        run_at=at,
        max_attempts=7,
        timeout=timedelta(minutes=1.5),
        backoff=Backoff("linear", base=3.0),
        labels={"customer": "42"},
        traceparent=PARENT,
        tracestate="congo=t61rcWkgMzE",
    )
    job = client.get(job_id)
    assert job.traceparent == PARENT
    assert (job.queue, job.priority, job.run_at, job.max_attempts) == ("nightly", 2, at, 7)
    assert (job.payload, job.labels, job.state) == ({"big": 2**70}, {"customer": "42"}, "scheduled")


@pytest.mark.parametrize("name", FACES)
def test_code_of_yours_sees_every_job_first(name: str, shared_tickr: TickrProcess) -> None:
    def prepare(job: dict[str, Any]) -> None:
        if job["type"] == "forbidden":
            raise PermissionError("not from here")
        job["labels"] = {"app": "shop", **job.get("labels", {})}
        job.setdefault("queue", f"{job['type']}s")

    with careful(name, shared_tickr.url, prepare=prepare, trace=lambda: {"traceparent": PARENT}) as client:
        jobs = [NewJob(type="report", delay=3600), {"type": "report", "queue": "mine", "delay": 3600}]
        one, two = client.submit_many(jobs)
        three = client.submit("report", labels={"customer": "42"}, delay=timedelta(hours=1))
        with pytest.raises(PermissionError):
            client.submit("forbidden")
        found = [client.get(job) for job in (one, two, three)]
        assert [job.queue for job in found] == ["reports", "mine", "reports"]
        assert [job.labels for job in found] == [{"app": "shop"}, {"app": "shop"}, {"app": "shop", "customer": "42"}]
        assert {job.traceparent for job in found} == {PARENT}


def test_what_it_breaks_is_told() -> None:
    with Client("http://127.0.0.1:1", prepare=lambda job: job.update(colour="red")) as client:
        (result,) = client.submit_many([{"type": "report"}])
    assert isinstance(result, Invalid)
    assert [fault.pointer for fault in result.faults] == ["/colour"]


def test_one_list_is_cut_over_jobs(client: Any) -> None:
    read: list[int] = []
    numbers = (read.append(n) or n for n in range(7))  # type: ignore[func-returns-value]
    jobs = chunks("report", numbers, size=3)
    assert read == []
    found = [client.get(job) for job in client.submit_many(jobs)]
    assert [job.payload for job in found] == [{"items": [0, 1, 2]}, {"items": [3, 4, 5]}, {"items": [6]}]
    assert list(chunks("report", [], size=5)) == []
    with pytest.raises(ValueError, match="size must be 1"):
        chunks("report", [1], size=0)


def test_delays_may_be_durations_and_payloads_json_to_the_letter(client: Any) -> None:
    stored = client.submit("report", msgspec.Raw(b'{"price":1.10}'), delay=timedelta(hours=1))
    job = client.get(stored)
    assert job.payload == {"price": 1.1}
    assert job.run_at - job.created_at == timedelta(hours=1)


def test_the_same_id_again_is_the_same_job(client: Any) -> None:
    job_id = str(uuid.uuid4())
    assert client.submit("report", {"n": 1}, id=job_id, delay=3600) == Submitted(job_id, "report")
    assert client.submit("report", {"n": 1}, id=job_id, delay=3600).replayed
    with pytest.raises(Conflict) as told:
        client.submit("report", {"n": 2}, id=job_id)
    assert (told.value.status, told.value.code, told.value.job_id) == (409, "duplicate_job", job_id)


def test_what_is_wrong_with_a_job_is_said_with_pointers(client: Any) -> None:
    with pytest.raises(Invalid) as told:
        client.submit("re port", priority=12)
    assert {fault.pointer for fault in told.value.faults} == {"/type", "/priority"}
    assert (told.value.status, told.value.code, told.value.may_be_stored) == (422, "invalid_request", False)
    text = str(told.value)
    assert "/priority must be a whole number from 0 (runs first) to 9" in text
    assert f"Job {told.value.job_id} was not stored." in text


def test_many_are_answered_each_in_its_place(client: Any) -> None:
    jobs = [NewJob(type="report", delay=3600), {"type": "a b"}, {"typ": "report"}, {"type": "report", "delay": 3600}]
    jobs += [{"type": "report", "payload": {"x": float("nan")}}]
    first, second, third, fourth, fifth = client.submit_many(jobs)
    assert isinstance(first, Submitted)
    assert isinstance(fourth, Submitted)
    assert first.id != fourth.id
    assert isinstance(second, Invalid)
    assert [fault.pointer for fault in second.faults] == ["/type"]
    assert isinstance(third, Invalid)
    assert [fault.pointer for fault in third.faults] == ["/typ"]
    assert isinstance(fifth, Invalid)
    assert [(fault.pointer, third.status) for fault in fifth.faults] == [("/payload/x", None)]
    assert client.get(first).state == "scheduled"


def test_what_is_no_job_is_told_in_its_place_and_hides_no_other(client: Any) -> None:
    job = {"type": "report", "delay": 60}
    first, *odd, last = client.submit_many([job, None, 5, "report", ["type", "report"], job])
    assert isinstance(first, Submitted)
    assert ["must be a mapping or a NewJob" in str(one) for one in odd if isinstance(one, Invalid)] == [True] * 4
    assert isinstance(last, Submitted)


def test_thousands_are_read_no_faster_than_they_are_stored(client: Any) -> None:
    read = 0
    label = uuid.uuid4().hex

    def jobs() -> Any:
        nonlocal read
        for index in range(1, 5001):
            read = index
            yield {"type": "report", "delay": 3600, "labels": {"many": label}}

    results = client.submit_many(jobs())
    assert read == len(results) == 5000
    assert len({one.id for one in results}) == 5000
    assert [one.id for one in results] == sorted(one.id for one in results)
    listed = client.listed(label=f"many={label}")
    assert {job.id for job in listed} == {one.id for one in results}


def test_a_list_is_read_over_its_pages_up_to_the_limit(client: Any) -> None:
    label = uuid.uuid4().hex
    client.submit_many({"type": "report", "delay": 3600, "labels": {"l": label}} for _ in range(450))
    assert len(client.listed(label={"l": label})) == 450
    assert len(client.listed(label={"l": label}, state=["scheduled", "failed"], limit=201)) == 201
    assert client.listed(label={"l": label}, state="failed") == []
    assert client.listed(limit=0) == []


def test_a_job_is_cancelled_and_run_again(client: Any) -> None:
    stored = client.submit("report", {"time": 0.0}, delay=3600)
    cancelled = client.cancel(stored, version=1)
    assert (cancelled.state, cancelled.error.kind) == ("cancelled", "cancelled")
    assert client.cancel(stored).state == "cancelled"
    with pytest.raises(Conflict) as told:
        client.retry(stored, version=1)
    assert told.value.code == "version_mismatch"
    assert client.retry(cancelled, version=2, delay=3600).version == 3
    client.edit(stored, delay=0)
    assert client.wait(stored, timeout_s=PATIENCE_S).state == "succeeded"
    with pytest.raises(Conflict, match="illegal_transition"):
        client.cancel(stored)


def test_waiting_ends_when_its_time_is_over(client: Any) -> None:
    stored = client.submit("report", delay=3600)
    with pytest.raises(NotFinal, match="still scheduled") as told:
        client.wait(stored, timeout_s=0.1)
    assert told.value.job.id == stored.id


def test_a_job_that_is_not_there(client: Any) -> None:
    with pytest.raises(NotFound) as told:
        client.get(str(uuid.uuid4()))
    assert told.value.code == "job_not_found"
    with pytest.raises(Invalid, match="invalid_id"):
        client.get("no-uuid")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../jobs", "\ud800"])
def test_no_name_leads_to_another_call_than_the_one_that_is_meant(name: str, face_name: str) -> None:
    with Standin() as server, face(face_name, server.url) as client:
        for call in (
            client.get,
            client.cancel,
            client.delete,
            client.queues.pause,
            client.schedules.run,
            client.operations.stop,
            client.nodes.stop,
            client.marks.delete,
        ):
            with pytest.raises(Invalid, match="is no name") as told:
                call(name)
            assert told.value.status is None
        assert server.seen == []


def test_submissions_of_many_threads_are_each_answered(shared_tickr: TickrProcess) -> None:
    label = uuid.uuid4().hex
    stored: list[str] = []
    with Client(shared_tickr.url, total_s=PATIENCE_S) as client:

        def submit() -> None:
            stored.extend(client.submit("report", delay=3600, labels={"t": label}).id for _ in range(10))

        threads = [threading.Thread(target=submit) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(stored) == sorted(job.id for job in client.list(label=f"t={label}"))


def test_a_token_is_sent_and_never_shown(face_name: str, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "correct-horse-battery-staple"
    with serve(variables={"TICKR_TOKEN": token}) as process:
        with face(face_name, process.url, token) as client:
            client.submit("report")
            assert token not in repr(client.client) + repr(vars(client.client))
        monkeypatch.setenv("TICKR_URL", process.url)
        with face(face_name) as client, pytest.raises(Denied) as told:
            client.submit("report")
        assert (told.value.code, told.value.may_be_stored) == ("unauthenticated", False)
        monkeypatch.setenv("TICKR_TOKEN", token)
        with face(face_name) as client:
            client.submit("report")
