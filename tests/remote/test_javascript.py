"""The worker in JavaScript, against a real node: every way in which a job ends, and its own stop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.conftest import do_without
from tests.processes import TickrProcess
from tests.remote.javascript import JavascriptWorker, missing

pytestmark = pytest.mark.slow

LEASE_S = 1.7
"""Heartbeats come every 567 ms, which is no whole number of milliseconds."""
TYPES = 14


@pytest.fixture(scope="module")
def node() -> Iterator[TickrProcess]:
    if reason := missing():
        do_without(reason)
    with TickrProcess(workers=1, arguments=["--lease", str(LEASE_S)]) as node:
        yield node


@pytest.fixture(scope="module")
def worker(node: TickrProcess) -> Iterator[JavascriptWorker]:
    with JavascriptWorker([node.url], "every.mjs", name="js", queues=["default"], concurrency=8) as worker:
        yield worker


@pytest.fixture
def http(node: TickrProcess, worker: JavascriptWorker) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=node.url, timeout=30, trust_env=False) as http:
        yield http


def submit(http: httpx2.Client, type: str, **fields: Any) -> str:
    answer = http.post("/jobs", json={"type": type, "backoff": {"kind": "constant", "base": 0.1}, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def ended(http: httpx2.Client, id: str) -> dict[str, Any]:
    job = http.get(f"/jobs/{id}?wait=20").json()
    assert job["state"] in ("succeeded", "failed", "cancelled"), job
    return dict(job)


def run(http: httpx2.Client, type: str, **fields: Any) -> dict[str, Any]:
    return ended(http, submit(http, type, **fields))


def until_running(http: httpx2.Client, id: str) -> None:
    job = http.get(f"/jobs/{id}").json()
    while job["state"] != "running":
        job = http.get(f"/jobs/{id}?wait=10", headers={"If-None-Match": f'"v{job["version"]}"'}).json()


def test_a_job_gets_its_payload_and_gives_its_result(http: httpx2.Client) -> None:
    job = run(http, "greet", payload={"name": "J\u00f6rg"})
    assert (job["state"], job["result"]) == ("succeeded", {"hello": "J\u00f6rg", "attempt": 1})
    assert job["notice"] is None
    assert run(http, "nothing")["result"] is None


def test_whole_numbers_are_exact_however_large(http: httpx2.Client) -> None:
    payload = {"n": 12345678901234567890, "less": -(2**80), "small": 0.1, "text": "12345678901234567890"}
    job = run(http, "echoes", payload=payload)
    assert (job["state"], job["result"]) == ("succeeded", payload)
    assert job["progress_data"] == {"n": payload["n"]}


def test_it_is_among_the_nodes(http: httpx2.Client) -> None:
    (lease,) = [one for one in http.get("/nodes").json()["items"] if one["kind"] == "remote"]
    assert (lease["name"], lease["slots"], len(lease["types"])) == ("js", 8, TYPES)
    assert run(http, "nothing")["node"] == lease["id"]


def test_what_a_job_says_is_told_before_its_end(http: httpx2.Client) -> None:
    job = run(http, "talks")
    assert (job["progress"], job["progress_message"], job["progress_data"]) == (0.25, "a quarter", {"rows": [1, 2]})
    page = http.get(f"/events?after=earliest&job={job['id']}&limit=100").json()["events"]
    assert [event["type"].rpartition(".")[2] for event in page] == [
        *("created", "started", "log", "log", "progress", "emitted", "emitted", "succeeded")
    ]
    emitted = [(event["data"]["name"], event["data"]["data"]) for event in page if event["type"].endswith(".emitted")]
    assert emitted == [("made", {"width": 200}), ("done", None)]


def test_who_says_too_much_is_cut_and_keeps_its_lease(http: httpx2.Client) -> None:
    job = run(http, "babbles", max_attempts=1)
    assert (job["state"], job["error"]["kind"], job["crashes"]) == ("failed", "exception", 0)
    assert len(job["error"]["message"]) < 4_096 < len(job["error"]["traceback"])
    assert (job["progress"], len(job["progress_message"])) == (1.0, 500)
    page = http.get(f"/events?after=earliest&job={job['id']}&event=log&limit=100").json()["events"]
    lines = [event["data"]["message"] for event in page]
    assert [line.partition("yy")[0] for line in lines] == [f"{number}y??" for number in range(1, 51)]
    assert {len(line) for line in lines} == {2_000}


def test_an_error_is_tried_again_and_kept_with_its_stack(http: httpx2.Client) -> None:
    job = run(http, "throws", max_attempts=2)
    assert (job["state"], job["attempt"], job["error"]["kind"]) == ("failed", 2, "exception")
    assert job["error"]["message"] == "TypeError: this went wrong"
    assert "every.mjs" in job["error"]["traceback"]


def test_a_job_that_is_given_up_is_not_tried_again(http: httpx2.Client) -> None:
    job = run(http, "gives_up")
    assert (job["state"], job["attempt"], job["error"]["kind"]) == ("failed", 1, "give_up")


def test_a_job_that_is_dropped_is_no_failure(http: httpx2.Client) -> None:
    job = run(http, "drops")
    assert (job["state"], job["error"]["kind"]) == ("cancelled", "dropped")
    assert job["error"]["message"] == "not needed any more"


def test_a_handler_says_when_to_come_again_and_a_snooze_is_free(http: httpx2.Client) -> None:
    later, snoozes = submit(http, "later", backoff={"kind": "constant", "base": 3600}), submit(http, "snoozes")
    assert ended(http, later)["result"] == 2
    assert ended(http, snoozes)["result"] == 1


def test_a_report_that_is_refused_says_what_of_it(http: httpx2.Client) -> None:
    job = run(http, "back_in_time")
    assert (job["state"], job["error"]["kind"]) == ("failed", "bad_result")
    assert "/jobs/0/retry_in must be a number of seconds" in job["error"]["message"]


@pytest.mark.parametrize("type", ["not_json", "too_long"])
def test_a_result_that_cannot_be_kept_fails_its_job(http: httpx2.Client, type: str) -> None:
    job = run(http, type)
    assert (job["state"], job["attempt"]) == ("failed", 1)
    assert job["error"]["kind"] in ("give_up", "bad_result")


def test_a_running_job_is_cancelled(http: httpx2.Client) -> None:
    id = submit(http, "waits")
    until_running(http, id)
    began = time.monotonic()
    assert http.post(f"/jobs/{id}/cancel", json={"reason": "enough"}).status_code == 202
    job = ended(http, id)
    assert (job["state"], job["error"]["message"]) == ("cancelled", "Cancelled on request: enough")
    assert time.monotonic() - began < 2  # by its poll, or its heartbeat


def test_a_time_out_stops_a_job(http: httpx2.Client) -> None:
    job = run(http, "waits", timeout=0.3, max_attempts=1)
    assert (job["state"], job["error"]["kind"]) == ("failed", "timeout")


def test_a_job_outlives_many_leases(http: httpx2.Client) -> None:
    id = submit(http, "waits", timeout=2 * LEASE_S, max_attempts=1)
    job = ended(http, id)
    assert (job["error"]["kind"], job["crashes"], job["attempt"]) == ("timeout", 0, 1)


def test_a_stop_hands_back_what_does_not_end_and_gives_the_lease_back(node: TickrProcess, http: httpx2.Client) -> None:
    with JavascriptWorker([node.url], "every.mjs", queues=["own"], concurrency=2, grace=0.2) as stopped:
        id = submit(http, "waits", queue="own")
        until_running(http, id)
        lease = http.get(f"/jobs/{id}").json()["node"]
        stopped.terminate()
        assert stopped.wait(10) == 0, stopped.log
    job = http.get(f"/jobs/{id}").json()
    first = http.get(f"/jobs/{id}/attempts").json()["items"][0]
    assert (first["outcome"], first["error"]["kind"], job["crashes"]) == ("released", "shutdown", 0)
    assert lease not in [one["id"] for one in http.get("/nodes").json()["items"]]
