"""Schedules on each face of the client, against a real Tickr; and which of its calls are made again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tests.client.conftest import PATIENCE_S
from tests.client.faces import face
from tests.client.standin import Response, Seen, Standin, cut, say
from tickr.client import Conflict, Invalid, NotFound, Origin, Schedule, Skipped, Unavailable


@pytest.fixture
def name(client: Any) -> Iterator[str]:
    """The name of a schedule that is not there yet, and is not any more at the end."""
    yield (chosen := f"s-{uuid.uuid4()}")
    for one in client.schedules.list():
        if one.name == chosen:
            client.schedules.delete(chosen)


@pytest.mark.slow
def test_a_schedule_is_put_looked_at_changed_and_deleted(client: Any, name: str) -> None:
    payload = {"title": "Night", "big": 2**70}
    put = client.schedules.put(name, "report", payload, cron="30 2 * * *", timezone="Europe/Berlin", queue="nights")
    assert isinstance(put, Schedule)
    assert (put.cron, put.timezone, put.every, put.paused, put.version) == (
        "30 2 * * *",
        "Europe/Berlin",
        None,
        False,
        1,
    )
    assert put.job == {"type": "report", "queue": "nights", "payload": payload}
    assert put.next[0] == put.next_at
    assert put.next_at is not None
    assert put.next_at > datetime.now(UTC)
    assert (put.skipped, put.last_tick, put.last_job, len(put.next)) == (Skipped(), None, None, 10)
    assert client.schedules.get(name) == put
    assert len(client.schedules.get(name, ticks=3).next) == 3
    (listed,) = [one for one in client.schedules.list() if one.name == name]
    assert (listed.next, listed.next_at) == ([], put.next_at)
    assert client.schedules.pause(name).paused
    resumed = client.schedules.resume(name, version=2)
    assert (resumed.paused, resumed.version) == (False, 3)
    assert client.schedules.delete(name) is None
    with pytest.raises(NotFound) as told:
        client.schedules.get(name)
    assert told.value.code == "schedule_not_found"


@pytest.mark.slow
def test_every_option_arrives(client: Any, name: str) -> None:
    start = datetime(2030, 1, 31, 12, tzinfo=UTC)
    put = client.schedules.put(
        name,
        "report",
        every=timedelta(hours=1.5),
        start_at=start,
        missed="all",
        overlap="skip",
        priority=2,
        max_attempts=7,
        timeout=timedelta(minutes=1),
        labels={"a": "b"},
    )
    assert (put.every, put.start_at, put.missed, put.overlap) == (5400, start, "all", "skip")
    assert put.next[:2] == [start, start + timedelta(hours=1.5)]
    assert put.job == {"type": "report", "priority": 2, "max_attempts": 7, "timeout": 60.0, "labels": {"a": "b"}}


@pytest.mark.slow
def test_a_word_an_end_and_a_first_tick_at_once(client: Any, name: str) -> None:
    end = datetime(2031, 1, 31, 12, tzinfo=UTC)
    put = client.schedules.put(name, "report", {"time": 0}, cron="@yearly", start="now", end_at=end, times=3)
    assert (put.cron, put.start, put.end_at, put.times, put.ended) == ("@yearly", "now", end, 3, None)
    assert put.next[0] == put.created_at
    assert (len(put.next), put.declared) == (3, False)
    over = client.schedules.put(name, "report", every=60, end_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert (over.ended, over.next_at, over.next) == ("end_at", None, [])


@pytest.mark.slow
def test_a_job_says_which_schedule_made_it(client: Any, name: str) -> None:
    client.schedules.put(name, "report", {"time": 0}, every=3600)
    job = client.schedules.run(name)
    assert (job.type, job.schedule) == ("report", Origin(name, None))
    assert client.wait(job, timeout_s=PATIENCE_S).schedule == Origin(name, None)
    assert client.get(client.submit("report", {"time": 0})).schedule is None


@pytest.mark.slow
def test_what_is_wrong_is_said_with_pointers(client: Any, name: str) -> None:
    with pytest.raises(Invalid) as told:
        client.schedules.put(name, "re port", cron="61 * * * *", timezone="Berlin", delay=5)
    assert {fault.pointer for fault in told.value.faults} == {"/cron", "/timezone", "/job/type", "/job/delay"}
    for wrong in ({"payload": {"x": float("nan")}}, {"nonsense": 1}):
        with pytest.raises(Invalid) as told:
            client.schedules.put(name, "report", every=60, **wrong)
        assert told.value.status is None


@pytest.mark.slow
def test_one_version_alone_may_be_changed(client: Any, name: str) -> None:
    client.schedules.put(name, "report", every=3600)
    for change in (client.schedules.pause, client.schedules.resume, client.schedules.delete):
        with pytest.raises(Conflict):
            change(name, version=7)
    assert client.schedules.put(name, "report", every=5400, version=1).version == 2
    with pytest.raises(Conflict):
        client.schedules.put(name, "report", every=7200, version=1)


@pytest.mark.slow
def test_its_events_are_heard(client: Any, name: str) -> None:
    with client.events(event=["schedule.created", "schedule.paused"]) as events:
        client.schedules.put(name, "report", every=3600)
        client.schedules.pause(name)
        heard = [event for event in (next(events), next(events)) if event.subject == name]
    assert [(event.what, event.type) for event in heard] == [
        ("schedule.created", "tickr.schedule.created"),
        ("schedule.paused", "tickr.schedule.paused"),
    ]
    assert heard[0].job is None
    schedule = heard[1].data.schedule
    assert schedule is not None
    assert (schedule.name, schedule.paused, schedule.version, schedule.next_at) == (name, True, 2, None)
    assert schedule.job == {"type": "report", "queue": "default"}


def test_one_by_function_says_which_and_what_is_wrong_with_it() -> None:
    told = {**DOCUMENT, "function": "nights.at_sunset", "fault": "no live node has its function nights.at_sunset"}
    found = msgspec.json.decode(msgspec.json.encode(told), type=Schedule)
    assert (found.function, found.fault, found.cron, found.next_at) == (told["function"], told["fault"], None, None)
    plain = msgspec.json.decode(msgspec.json.encode(DOCUMENT), type=Schedule)
    assert (plain.function, plain.fault) == (None, None), "from a server that knows of none"


# -- what is asked again ----------------------------------------------------------------------------------------------

DOCUMENT = {
    "name": "s",
    "job": {"type": "t"},
    "missed": "once",
    "overlap": "allow",
    "paused": False,
    "version": 1,
    "created_at": "2030-01-31T12:00:00Z",
    "updated_at": "2030-01-31T12:00:00Z",
}


def is_there(server: Standin, seen: Seen) -> Response:
    return 200, DOCUMENT, {}


@pytest.mark.parametrize(
    "ask",
    [
        lambda schedules: schedules.put("s", "t", every=60),
        lambda schedules: schedules.get("s"),
        lambda schedules: schedules.pause("s"),
        lambda schedules: schedules.resume("s"),
    ],
)
def test_what_may_be_done_twice_is_asked_again(ask: Any, face_name: str) -> None:
    with Standin(cut, say(503, "store_unavailable"), is_there) as server, face(face_name, server.url) as client:
        assert ask(client.schedules).name == "s"
        assert len(server.seen) == 3


@pytest.mark.parametrize(
    "ask",
    [
        lambda schedules: schedules.run("s"),
        lambda schedules: schedules.delete("s"),
        lambda schedules: schedules.pause("s", version=1),
        lambda schedules: schedules.resume("s", version=1),
        lambda schedules: schedules.put("s", "t", every=60, version=1),
    ],
)
def test_what_may_not_is_asked_once_where_it_may_have_been_done(ask: Any, face_name: str) -> None:
    with Standin(cut) as server, face(face_name, server.url) as client:
        with pytest.raises(Unavailable) as told:
            ask(client.schedules)
        assert (told.value.may_be_stored, len(server.seen)) == (True, 1)


def test_what_surely_was_not_done_is_asked_again(face_name: str) -> None:
    with Standin(say(503, "store_unavailable"), is_there) as server, face(face_name, server.url) as client:
        assert client.schedules.pause("s", version=1).name == "s"
        assert len(server.seen) == 2
