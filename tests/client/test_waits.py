"""``wait``: the server is asked to wait, and what becomes of that; step by step, and on a real server."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tests.client.conftest import PATIENCE_S
from tests.client.faces import face
from tests.processes import TickrProcess
from tickr.client import Client, Invalid, NotFinal
from tickr.client.calls import FIRST_LOOK_S, WAIT_S, WAITS, Calls
from tickr.client.records import Job
from tickr.client.steps import Lost, Pause, Reply, Send, Steps
from tickr.client.submission import ANSWER_S

TOTAL_S = 30.0
ID = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"
JOB = {
    "id": ID, "type": "a", "queue": "default", "priority": 5, "payload": {}, "attempt": 0, "max_attempts": 3,
    "run_at": "2030-01-31T12:00:00Z", "created_at": "2030-01-31T12:00:00Z", "version": 1,
}  # fmt: skip


def job(state: str) -> Reply:
    return Reply(200, {}, msgspec.json.encode({**JOB, "state": state}))


class Stage:
    """Calls and their clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.calls = Calls("http://tickr", total_s=TOTAL_S, now=lambda: self.now)

    def wait(self, timeout_s: float | None = None) -> Steps[Job]:
        return self.calls.wait(ID, timeout_s)


def wished(step: object) -> float | None:
    """How long a request asks the server to wait, having checked that its answer is waited for as long."""
    assert isinstance(step, Send)
    wait = step.request.query.get("wait")
    wait_s = 0.0 if wait is None else float(wait)
    assert step.within_s == pytest.approx(ANSWER_S + wait_s, abs=0.001)
    return wait_s or None


def end(steps: Steps[Job], sent: object) -> str:
    with pytest.raises(StopIteration) as ended:
        steps.send(sent)
    return str(ended.value.value.state)


# -- step by step -----------------------------------------------------------------------------------------------------


def test_the_server_is_asked_to_wait_again_and_again_until_the_job_has_ended() -> None:
    stage = Stage()
    steps = stage.wait()
    step: object = next(steps)
    for _ in range(10):
        assert wished(step) == WAIT_S
        stage.now += WAIT_S
        step = steps.send(job("running"))
    assert end(steps, job("failed")) == "failed"


def test_it_is_asked_to_wait_no_longer_than_there_is_time() -> None:
    stage = Stage()
    steps = stage.wait(WAIT_S + 5)
    assert wished(next(steps)) == WAIT_S
    stage.now += WAIT_S
    assert wished(steps.send(job("running"))) == 5
    stage.now += 5
    with pytest.raises(NotFinal, match="still running"):
        steps.send(job("running"))


def test_without_time_it_is_looked_at_once() -> None:
    steps = Stage().wait(0)
    assert wished(next(steps)) is None
    with pytest.raises(NotFinal):
        steps.send(job("ready"))


def test_an_answer_that_comes_early_is_no_reason_to_ask_in_a_loop() -> None:
    """A server that stops answers at once, and so would one that knows nothing of waiting."""
    stage = Stage()
    steps = stage.wait()
    step: object = next(steps)
    pauses = []
    for _ in range(3):
        assert wished(step) == WAIT_S
        step = steps.send(job("ready"))
        assert isinstance(step, Pause)
        pauses.append(step.seconds)
        stage.now += step.seconds
        step = steps.send(None)
    assert pauses == pytest.approx([FIRST_LOOK_S, 1.5 * FIRST_LOOK_S, 2.25 * FIRST_LOOK_S])
    assert end(steps, job("succeeded")) == "succeeded"


def test_after_a_try_that_was_lost_it_looks_first_and_has_all_its_time_again() -> None:
    """Under a server that ends every few seconds, no request that waits would ever have an answer."""
    stage = Stage()
    steps = stage.wait(10 * WAIT_S)
    step: object = next(steps)
    for _ in range(30):
        assert wished(step) == WAIT_S
        stage.now += 3
        pause = steps.send(Lost("gone", sent=True))
        assert isinstance(pause, Pause)
        stage.now += pause.seconds
        assert wished(steps.send(None)) is None
        pause = steps.send(job("running"))
        assert isinstance(pause, Pause)
        step = steps.send(None)
    assert end(steps, job("succeeded")) == "succeeded"


def test_beyond_so_many_waits_a_job_is_looked_at_until_there_is_a_place() -> None:
    stage = Stage()
    long = [stage.wait() for _ in range(WAITS)]
    assert [wished(next(steps)) for steps in long] == [WAIT_S] * WAITS
    short = stage.wait()
    assert wished(next(short)) is None
    assert isinstance(short.send(job("running")), Pause)
    assert wished(short.send(None)) is None
    assert end(long[0], job("succeeded")) == "succeeded"
    long[1].close()  # whose caller was cancelled
    assert isinstance(short.send(job("running")), Pause)
    assert wished(short.send(None)) == WAIT_S
    others = [stage.wait() for _ in range(2)]
    assert [wished(next(steps)) for steps in others] == [WAIT_S, None]


# -- for real ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_end_is_heard_at_once(client: Any) -> None:
    late = []
    for _ in range(3):
        stored = client.submit("report", {"title": "t", "time": 1.0})
        ended = client.wait(stored, timeout_s=20)
        late.append((datetime.now(UTC) - ended.finished_at).total_seconds())
        assert ended.state == "succeeded"
    assert sorted(late)[1] < 0.3


@pytest.mark.slow
def test_the_reason_of_a_cancellation_is_told(client: Any) -> None:
    stored = client.submit("report", delay=3600)
    cancelled = client.cancel(stored, reason="nobody wants it")
    assert cancelled.error.message == "Cancelled on request: nobody wants it"
    with pytest.raises(Invalid) as told:
        client.cancel(stored, reason="\ud800")
    assert told.value.status is None
    with pytest.raises(Invalid) as told:
        client.cancel(stored, reason="")
    assert [fault.pointer for fault in told.value.faults] == ["/reason"]


@pytest.mark.slow
def test_who_waits_outlasts_a_server_that_is_killed_and_comes_back(face_name: str) -> None:
    with TickrProcess() as process, face(face_name, process.url) as client:
        stored = client.submit("report", {"title": "t", "time": 1.5})
        heard: list[Any] = []
        waiting = threading.Thread(target=lambda: heard.append(client.wait(stored, timeout_s=90)))
        waiting.start()
        while client.get(stored).state != "running":
            time.sleep(0)
        process.kill()
        process.start()
        waiting.join(90)
        assert [job.state for job in heard] == ["succeeded"]
        assert heard[0].crashes == 1


@pytest.mark.slow
def test_more_threads_wait_than_there_are_connections(server: str, shared_tickr: TickrProcess) -> None:
    ends: list[str] = []
    with Client(shared_tickr.url, total_s=PATIENCE_S) as client:

        def work() -> None:
            stored = client.submit("report", {"title": "t", "time": 0.5})
            job = client.wait(stored, timeout_s=600)
            ends.append(job.error.kind if job.error else job.state)

        threads = [threading.Thread(target=work) for _ in range(150)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(ends) == 150
    assert set(ends) <= ({"succeeded"} if server == "calm" else {"succeeded", "crashed"})
