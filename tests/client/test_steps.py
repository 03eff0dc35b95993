"""A call of ``submit`` step by step, without a world: what is done, in which order, and when it is given up."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from tickr.client.errors import Refused, Unavailable
from tickr.client.line import Line
from tickr.client.pauses import FIRST_S, LONGEST_S
from tickr.client.records import Submitted
from tickr.client.steps import Lost, Pause, Reply, Send, Steps, Until
from tickr.client.submission import ANSWER_S, Submission

TOTAL_S = 30.0


class Stage:
    """A ``Submission`` with one flight, and its clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.submission = Submission(
            "http://tickr", total_s=TOTAL_S, now=lambda: self.now, signal=threading.Event, line=Line(flights=1)
        )

    def submit(self) -> Steps[Submitted]:
        return self.submission.one({"type": "a"})


def ids(step: Any) -> list[str]:
    assert isinstance(step, Send)
    document = msgspec.json.decode(step.request.body or b"")
    return [job["id"] for job in document.get("jobs", [document])]


def stored(*job_ids: str) -> Reply:
    if len(job_ids) == 1:
        return Reply(201, {}, msgspec.json.encode({"id": job_ids[0]}))
    results = [{"index": index, "status": 201, "id": job_id} for index, job_id in enumerate(job_ids)]
    return Reply(200, {}, msgspec.json.encode({"results": results}))


def end(steps: Steps[Submitted], sent: Any = None) -> Submitted:
    with pytest.raises(StopIteration) as ended:
        steps.send(sent)
    result = ended.value.value
    assert isinstance(result, Submitted)
    return result


def test_who_comes_first_carries_for_both() -> None:
    stage = Stage()
    first, second = stage.submit(), stage.submit()
    assert next(first) == Pause(0)
    assert isinstance(waits := next(second), Until)
    assert waits.within_s == TOTAL_S
    flight = first.send(None)
    assert isinstance(flight, Send)
    assert (flight.request.path, flight.within_s) == ("/jobs/batch", ANSWER_S)
    both = ids(flight)
    assert end(first, stored(*both)).id == both[0]
    assert isinstance(waits.signal, threading.Event)
    assert waits.signal.is_set()
    assert end(second).id == both[1]


def test_a_carrier_that_is_closed_hands_over() -> None:
    stage = Stage()
    first, second = stage.submit(), stage.submit()
    next(first)
    waits = next(second)
    assert isinstance(waits, Until)
    _, other = ids(first.send(None))
    first.close()
    assert isinstance(waits.signal, threading.Event)
    assert waits.signal.is_set()
    assert second.send(None) == Pause(0)
    assert ids(flight := second.send(None)) == [other]
    assert isinstance(flight, Send)
    assert flight.request.path == "/jobs"
    assert end(second, stored(other)).id == other


def test_who_is_on_the_way_with_another_when_his_time_is_over_may_be_stored() -> None:
    stage = Stage()
    first, second = stage.submit(), stage.submit()
    next(first)
    next(second)
    first.send(None)
    stage.now += TOTAL_S
    with pytest.raises(Unavailable) as told:
        second.send(None)
    assert told.value.may_be_stored
    first.close()


def test_who_was_never_on_the_way_is_not_stored() -> None:
    stage = Stage()
    first, second = stage.submit(), stage.submit()
    next(first)
    first.send(None)
    next(second)
    stage.now += TOTAL_S
    with pytest.raises(Unavailable) as told:
        second.send(None)
    assert not told.value.may_be_stored
    first.close()


def lose(steps: Steps[Submitted], step: Any, stage: Stage) -> float:
    """Lose the answer to ``step``, go on to the next try, and return the pause before it."""
    wait = steps.send(Lost("gone", sent=True))
    assert isinstance(wait, Until)
    stage.now += wait.within_s
    assert steps.send(None) == Pause(0)
    return wait.within_s


def test_what_was_lost_for_want_of_time_hides_nothing_that_was_learnt_before() -> None:
    stage = Stage()
    call = stage.submit()
    next(call)
    lose(call, call.send(None), stage)
    call.send(None)
    stage.now += TOTAL_S
    with pytest.raises(Unavailable, match=r"within \S+ s: gone\."):
        call.send(Lost("no answer within 0.001 s", sent=False, hurried=True))


def test_pauses_grow_with_every_loss_and_begin_anew_after_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    monkeypatch.setattr(stage.submission._pauses, "_chance", lambda: 1.0)
    call = stage.submit()
    next(call)
    paused = []
    for _ in range(3):
        paused.append(round(lose(call, call.send(None), stage), 6))
    assert paused == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    [job_id] = ids(call.send(None))
    end(call, stored(job_id))
    call = stage.submit()
    next(call)
    assert round(lose(call, call.send(None), stage), 6) == FIRST_S < LONGEST_S
    call.close()


def test_every_try_says_the_same_bytes() -> None:
    stage = Stage()
    call = stage.submit()
    next(call)
    first = call.send(None)
    lose(call, first, stage)
    again = call.send(None)
    assert isinstance(first, Send)
    assert isinstance(again, Send)
    assert again.request == first.request
    call.close()


def test_a_server_that_breaks_over_a_batch_is_not_stormed_with_its_halves() -> None:
    stage = Stage()
    first, second = stage.submit(), stage.submit()
    next(first)
    next(second)
    flight = first.send(None)
    assert len(ids(flight)) == 2
    broken = Reply(500, {}, b'{"code":"internal","detail":"Something went wrong."}')
    wait = first.send(broken)
    assert isinstance(wait, Until)
    assert 0 < wait.within_s <= FIRST_S
    stage.now += wait.within_s
    assert first.send(None) == Pause(0)
    assert len(ids(first.send(None))) == 1
    with pytest.raises(Refused) as told:
        first.send(broken)
    assert (told.value.status, told.value.may_be_stored) == (500, True)
    second.close()
