"""Events as the outside reads them, and the texts that carry them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tickr import events, jobs
from tickr.events import Change, ThingEvent, of_note
from tickr.feed import cursor
from tickr.feed.cloudevents import expand, name_of, type_of
from tickr.feed.cursor import Place
from tickr.feed.delivery import Delivery, row
from tickr.feed.selection import EVERYTHING, Selection
from tickr.jobs import Failure, Job, NewJob
from tickr.reports import Note

NOW = 1_700_000_000_123_456
JOB_ID = "0190a6b0-0000-7000-8000-000000000001"
FIELDS = {"specversion", "id", "source", "type", "subject", "time", "data"}
JOB_FIELDS = {"id", "type", "queue", "priority", "state", "version", "attempt", "max_attempts", "run_at", "labels"}


def a_job(**fields: Any) -> Job:
    return jobs.created(NewJob(id=JOB_ID, type="report", **fields), NOW)


def a_running(**fields: Any) -> Job:
    return jobs.started(a_job(**fields), "a-node", NOW)


def read(event: events.Event) -> Any:
    return msgspec.json.decode(expand(event))


def test_a_new_job() -> None:
    said = read(Change(None, a_job(delay_us=1_000_000, labels='{"to": "me"}')).event(NOW))
    assert set(said) == FIELDS
    assert said | {"data": None} == {
        "specversion": "1.0",
        "id": f"{JOB_ID}.1",
        "source": "/tickr",
        "type": "tickr.job.created",
        "subject": JOB_ID,
        "time": "2023-11-14T22:13:20.123456Z",
        "data": None,
    }
    assert set(said["data"]) == {"job", "previous_state"}
    assert said["data"]["previous_state"] is None
    assert said["data"]["job"] == {
        "id": JOB_ID,
        "type": "report",
        "queue": "default",
        "priority": 5,
        "state": "scheduled",
        "version": 1,
        "attempt": 0,
        "max_attempts": 3,
        "run_at": "2023-11-14T22:13:21.123456Z",
        "labels": {"to": "me"},
    }


def test_a_success_has_its_result_digit_by_digit() -> None:
    running = a_running()
    result = '{"n":12345678901234567890.10,"s":"\\u0000"}'
    event = Change(running, jobs.succeeded(running, result, NOW)).event(NOW)
    assert result.encode() in expand(event)
    said = read(event)["data"]
    assert (said["previous_state"], said["node"], said["job"]["version"]) == ("running", "a-node", 3)
    assert set(said) == {"job", "previous_state", "node", "result"}


def test_a_result_that_is_null_is_one() -> None:
    running = a_running()
    assert read(Change(running, jobs.succeeded(running, "null", NOW)).event(NOW))["data"]["result"] is None
    assert "result" not in read(Change(running, jobs.succeeded(running, None, NOW)).event(NOW))["data"]


def test_a_huge_result_is_left_to_the_job() -> None:
    running = a_running()
    for length, told in ((events.MAX_RESULT_BYTES, True), (events.MAX_RESULT_BYTES + 1, False)):
        result = '"' + "x" * (length - 2) + '"'
        event = Change(running, jobs.succeeded(running, result, NOW)).event(NOW)
        said = read(event)["data"]
        assert ("result" in said, said.get("result_bytes")) == (told, None if told else length)
        assert (len(events.encode([event])) > length) == told


def test_how_long_a_result_is_counts_in_bytes() -> None:
    running = a_running()
    for count, told in ((events.MAX_RESULT_BYTES // 4 - 1, True), (events.MAX_RESULT_BYTES // 4, False)):
        result = '"' + "\N{RUNNER}" * count + '"'
        data = read(Change(running, jobs.succeeded(running, result, NOW)).event(NOW))["data"]
        assert ("result" in data) == told


def test_what_went_wrong() -> None:
    running = a_running()
    why = Failure("exception", "boom", "Traceback …")
    said = read(Change(running, jobs.retried(running, why, NOW + 1)).event(NOW))["data"]
    assert said["error"] == {"kind": "exception", "message": "boom", "traceback": "Traceback …"}
    assert said["job"]["state"] == "retrying"


@pytest.mark.parametrize(("kind", "fraction"), [("progress", 0.5), ("log", None)])
def test_notes_have_no_version(kind: Any, fraction: float | None) -> None:
    note = Note(job=a_running(), kind=kind, number=7, at=NOW, fraction=fraction, message="half", dropped=0)
    said = read(of_note(note))
    assert (said["id"], said["type"]) == (f"{JOB_ID}.2.7", f"tickr.job.{kind}")
    data = said["data"]
    assert data["job"]["version"] is None
    assert set(data) == {"job", "node", "message"} | ({"progress"} if fraction else set())


def test_lines_left_out_are_counted() -> None:
    note = Note(job=a_running(), kind="log", number=1, at=NOW, message="x", dropped=3)
    assert read(of_note(note))["data"]["dropped"] == 3


def test_an_event_is_one_line_whatever_its_labels_look_like() -> None:
    event = Change(None, a_job(labels='{\r\n  "a":\n "b"}')).event(NOW)
    body = expand(event)
    assert b"\n" not in body
    assert b"\r" not in body
    assert read(event)["data"]["job"]["labels"] == {"a": "b"}


# -- what is no job ---------------------------------------------------------------------------------------------------

PAUSED = ThingEvent("schedule.paused", NOW, "nightly", f"{NOW}.3", Raw(b'{"schedule":{"name":"nightly","big":1.10}}'))


def test_something_that_is_no_job() -> None:
    assert expand(PAUSED) == (
        b'{"specversion":"1.0","id":"schedule/nightly/1700000000123456.3","source":"/tickr",'
        b'"type":"tickr.schedule.paused","subject":"nightly","time":"2023-11-14T22:13:20.123456Z",'
        b'"data":{"schedule":{"name":"nightly","big":1.10}}}'
    )


@pytest.mark.parametrize("mixed", [[PAUSED], ["job", PAUSED], [PAUSED, "job", PAUSED, "note"], ["job"], []])
def test_a_row_may_tell_of_both(mixed: list[Any]) -> None:
    note = Note(job=a_running(), kind="log", number=1, at=NOW, message='["schedule.x", {}]')
    named = {"job": Change(None, a_job()).event(NOW), "note": of_note(note)}
    told = [named[one] if isinstance(one, str) else one for one in mixed]
    assert list(events.decode(events.encode(told))) == told
    assert [one.event for one in row("0123456789ab", 5, events.encode(told))[1]] == told


@pytest.mark.parametrize("body", ["[1]", '["schedule.paused"]', '[["schedule.paused"]]', '[["what",1,"x"]]', "[", "{}"])
def test_a_row_of_something_else_is_not_understood(body: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        events.decode(body)


def test_no_event_of_a_thing_is_taken_for_one_of_a_job_and_none_the_other_way_round() -> None:
    assert all("." in name for name in events.NAMES if name not in events.CHANGES + events.NOTES)
    assert not any("." in name for name in events.CHANGES + events.NOTES)
    assert len(set(events.NAMES)) == len(events.NAMES)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("created", "created"),
        ("tickr.job.created", "created"),
        ("schedule.paused", "schedule.paused"),
        ("tickr.schedule.paused", "schedule.paused"),
        ("tickr.created", "tickr.created"),
        ("tickr.job.schedule.paused", "tickr.job.schedule.paused"),
        ("paused", "paused"),
    ],
)
def test_an_event_is_asked_for_by_its_name_or_its_type(given: str, name: str) -> None:
    assert name_of(given) == name
    if name in events.NAMES:
        what = ThingEvent(name, NOW, "x", "1", Raw(b"{}")) if "." in name else Change(None, a_job()).event(NOW)
        assert name_of(type_of(what)) == name


def test_who_chooses_by_job_type_or_queue_hears_of_no_schedule() -> None:
    assert EVERYTHING.takes(PAUSED)
    assert Selection(events=frozenset({"schedule.paused"})).takes(PAUSED)
    assert not Selection(events=frozenset({"created"})).takes(PAUSED)
    for choice in ({"jobs": {"nightly"}}, {"types": {"nightly"}}, {"queues": {"nightly"}}):
        assert not Selection(**{name: frozenset(values) for name, values in choice.items()}).takes(PAUSED)
    of_a_queue = ThingEvent("queue.paused", NOW, "mail", "1", Raw(b"{}"))
    assert Selection(queues=frozenset({"mail"})).takes(of_a_queue)
    assert not Selection(queues=frozenset({"other"})).takes(of_a_queue)
    assert not Selection(queues=frozenset({"mail"}), types=frozenset({"mail"})).takes(of_a_queue)


# -- on the wire ------------------------------------------------------------------------------------------------------


def test_texts_of_a_delivery() -> None:
    _, told = row("0123456789ab", 5, events.encode([Change(None, a_job()).event(NOW)] * 2))
    delivery = Delivery("events", "0123456789ab.5", told)
    frame = msgspec.json.decode(delivery.frame)
    assert (frame["kind"], frame["cursor"], len(frame["events"])) == ("events", "0123456789ab.5", 2)
    assert list(frame) == ["kind", "cursor", "events"]
    first, second = delivery.sse.decode().removesuffix("\n\n").split("\n\n")
    assert first.split("\n")[:2] == ["id: 0123456789ab.4.1", "event: tickr.job.created"]
    assert second.split("\n")[0] == "id: 0123456789ab.5"
    assert msgspec.json.decode(first.split("\n")[2].removeprefix("data: ")) == frame["events"][0]
    _, (of_thing,) = row("0123456789ab", 5, events.encode([PAUSED]))
    assert Delivery("events", "0123456789ab.5", [of_thing]).sse.startswith(
        b"id: 0123456789ab.5\nevent: tickr.schedule.paused\ndata: {"
    )
    bookmark = Delivery("bookmark", "0123456789ab.6")
    assert msgspec.json.decode(bookmark.frame) == {"kind": "bookmark", "cursor": "0123456789ab.6"}
    assert bookmark.sse == b"id: 0123456789ab.6\n\n"


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**6 - 1))
def test_a_cursor_says_its_place(seq: int, taken: int) -> None:
    text = cursor.write("0123456789ab", Place(seq, taken))
    assert cursor.read(text) == ("0123456789ab", (seq, taken))
    assert text.replace(".", "").isalnum()  # goes into a query and a header as it is
