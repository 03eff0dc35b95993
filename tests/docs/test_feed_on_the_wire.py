"""What a running Tickr sends is what docs/asyncapi.yaml says, in all three ways to listen, for every kind of event."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.docs import feed, wire
from tests.processes import TickrProcess

pytestmark = pytest.mark.slow

WITHIN_S = 20.0
FINAL = {"succeeded", "failed", "cancelled"}

Event = dict[str, Any]


class Life(NamedTuple):
    """A node with everything behind it. ``frames``: what websockets heard of it, live, as they came."""

    node: TickrProcess
    frames: list[str]

    def listen(self, query: str) -> ClientConnection:
        return listen(self.node, query)

    def http(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.node.url, timeout=WITHIN_S)

    def pages(self) -> Iterator[dict[str, Any]]:
        after = "earliest"
        with self.http() as http:
            while True:
                page = dict(http.get("/events", params={"after": after, "limit": 7}).json())
                yield page
                if page["caught_up"]:
                    return
                after = page["cursor"]

    def events(self) -> list[Event]:
        return [event for page in self.pages() for event in page["events"]]


def listen(node: TickrProcess, query: str) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{node.port}/events?{query}", max_queue=None, proxy=None)


@pytest.fixture(scope="module")
def life() -> Iterator[Life]:
    with TickrProcess(app="tests.docs.feed_jobs:jobs", arguments=["--grace", "0.2"]) as node:
        with listen(node, f"job={uuid.uuid4()}") as quiet, listen(node, "") as all_there_is:
            frames = make_events(node, all_there_is)
            frames += until(quiet, lambda frame: frame["kind"] == "bookmark")
            frames += restart(node, all_there_is)
        with listen(node, "after=earliest&event=released") as again:
            # The job that was handed back runs again now, for a minute.
            job = json.loads(until(again, lambda frame: frame["kind"] == "events")[-1])["events"][0]["subject"]
            httpx2.post(f"{node.url}/jobs/{job}/cancel").raise_for_status()
        with listen(node, f"after=earliest&event=cancelled&job={job}") as ended:
            frames += until(ended, lambda frame: frame["kind"] == "events")
        yield Life(node, frames)


def make_events(node: TickrProcess, feed_of_all: ClientConnection) -> list[str]:
    """Run jobs through every event that a lasting node makes, and leave one running; return the frames."""
    frames: list[str] = []

    def ended(job: str) -> Callable[[Event], bool]:
        return lambda frame: any(
            event["subject"] == job and event["data"]["job"]["state"] in FINAL for event in frame.get("events", ())
        )

    def started(job: str) -> Callable[[Event], bool]:
        return lambda frame: any(
            event["subject"] == job and event["type"] == "tickr.job.started" for event in frame.get("events", ())
        )

    with httpx2.Client(base_url=node.url) as http:

        def submit(kind: str, delay: float = 0, **payload: Any) -> str:
            job = {"type": kind, "payload": payload, "delay": delay, "labels": {"test": "wire"}, "queue": "wire"}
            return str(http.post("/jobs", json=job).json()["id"])

        for kind, payload in (
            ("quick", {}),
            ("big", {}),
            ("flaky", {}),
            ("talks", {"times": 2}),
            ("emits", {}),
            ("chatty", {"lines": 99}),
        ):
            frames += until(feed_of_all, ended(submit(kind, **payload)))
        wish: dict[str, Any] = {"type": "quick", "labels": {"test": "wire"}, "queue": "wire"}
        wish["depends_on"] = [submit("quick", delay=0.2)]
        frames += until(feed_of_all, ended(str(http.post("/jobs", json=wish).json()["id"])))
        broken = submit("broken")
        frames += until(feed_of_all, ended(broken))
        http.post(f"/jobs/{broken}/retry").raise_for_status()
        frames += until(feed_of_all, ended(broken))
        later = submit("quick", delay=60)
        http.patch(f"/jobs/{later}", json={"priority": 1}).raise_for_status()
        http.post(f"/jobs/{later}/cancel").raise_for_status()
        frames += until(feed_of_all, ended(later))
        http.delete(f"/jobs/{later}").raise_for_status()
        frames += until(feed_of_all, told("tickr.job.deleted", later))
        frames += until(feed_of_all, deleted(keep_a_schedule(http, feed_of_all, frames)))
        frames += until(feed_of_all, told("tickr.operation.done", operate(http, feed_of_all, frames, submit)))
        for action in ("quiet", "resume"):
            http.post(f"/nodes/self/{action}").raise_for_status()
        http.patch("/nodes/self", json={"slots": 7}).raise_for_status()
        running = submit("waits", seconds=60)
        frames += until(feed_of_all, started(running))
    return frames


def keep_a_schedule(http: httpx2.Client, feed_of_all: ClientConnection, frames: list[str]) -> str:
    """Have everything happen to a schedule, and to a queue; return the schedule's name."""
    path, job = "/schedules/wire", {"type": "quick", "queue": "wire", "labels": {"test": "wire"}}
    body: dict[str, Any] = {"every": 1, "overlap": "skip", "job": job}
    # A job that is never final, as nobody handles it: so the second tick is skipped.
    http.put(path, json=body | {"job": job | {"type": "nobody"}}).raise_for_status()
    frames += until(feed_of_all, told("tickr.schedule.skipped"))
    last = http.get(path).json()["last_job"]
    http.post(f"/jobs/{last}/cancel").raise_for_status()
    http.put(path, json=body | {"every": 3600}).raise_for_status()
    http.put("/schedules/over", json=body | {"every": 3600, "end_at": "2020-01-01T00:00:00Z"}).raise_for_status()
    for action in ("pause", "resume"):
        http.post(f"{path}/{action}").raise_for_status()
        http.post(f"/queues/unused/{action}").raise_for_status()
    http.put("/queues/unused", json={"rate": {"starts": 10, "period": 1.5}}).raise_for_status()
    http.delete("/queues/unused").raise_for_status()
    http.delete(path).raise_for_status()
    return "wire"


def operate(http: httpx2.Client, feed_of_all: ClientConnection, frames: list[str], submit: Callable[..., str]) -> str:
    """Have everything happen to operations but the end of the last one, and return its id."""
    for _ in range(4):
        submit("quick", delay=3600)
    wish = {"action": "cancel", "filter": {"queue": "wire", "state": "scheduled"}, "rate": 1.0}
    slow = http.post("/operations", json=wish).raise_for_status().json()["id"]
    frames += until(feed_of_all, told("tickr.operation.progress", slow))
    http.delete(f"/operations/{slow}").raise_for_status()
    frames += until(feed_of_all, told("tickr.operation.stopped", slow))
    retry = {"action": "retry", "filter": {"queue": "wire", "state": "cancelled"}, "changes": {"delay": 3600}}
    return str(http.post("/operations", json=retry).raise_for_status().json()["id"])


def told(type_: str, subject: str | None = None) -> Callable[[Event], bool]:
    return lambda frame: any(
        event["type"] == type_ and subject in (None, event["subject"]) for event in frame.get("events", ())
    )


def deleted(schedule: str) -> Callable[[Event], bool]:
    return lambda frame: any(
        (event["type"], event["subject"]) == ("tickr.schedule.deleted", schedule) for event in frame.get("events", ())
    )


def restart(node: TickrProcess, feed_of_all: ClientConnection) -> list[str]:
    """Stop the node while it runs a job, and start it again; return the frames."""
    httpx2.post(f"{node.url}/nodes/self/stop").raise_for_status()
    frames = until(feed_of_all, lambda frame: frame["kind"] == "error")
    with pytest.raises(ConnectionClosed) as closed:
        feed_of_all.recv(WITHIN_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    node.wait()
    node.start()
    return frames


def until(connection: ClientConnection, is_it: Callable[[Event], bool]) -> list[str]:
    """Return the texts of the frames up to the one that ``is_it``. Raises: TimeoutError."""
    texts: list[str] = []
    while not texts or not is_it(json.loads(texts[-1])):
        texts.append(str(connection.recv(WITHIN_S)))
    return texts


# -- what was sent is what the document says --------------------------------------------------------------------------


def test_every_frame_is_as_the_document_says(life: Life) -> None:
    with life.listen("after=earliest") as replay:
        frames = life.frames + until(replay, lambda frame: frame["kind"] == "caught_up")
    assert {json.loads(frame)["kind"] for frame in frames} == set(wire.SCHEMA_OF_FRAME)
    assert [fault for frame in frames if (fault := wire.fault_of_frame(frame))] == []


def test_every_event_is_as_the_document_says(life: Life) -> None:
    events = life.events()
    assert {feed.name_of(event["type"]) for event in events} == feed.names()
    assert [fault for event in events if (fault := wire.fault("Event", event))] == []
    data = [event["data"] for event in events]
    assert any("result_bytes" in one for one in data)
    assert any("dropped" in one for one in data)


def test_an_event_with_anything_more_is_refused(life: Life) -> None:
    one_of_each = {event["type"]: event for event in life.events()}
    for event in one_of_each.values():
        kinds = ("job", "schedule", "queue", "operation", "node")
        thing = next(event["data"][name] for name in kinds if name in event["data"])
        for part in (event, event["data"], thing):
            part["made_up"] = 1
            assert wire.fault("Event", event), part
            del part["made_up"]
        assert wire.fault("Event", event) is None


def test_a_page_is_as_the_document_says(life: Life) -> None:
    pages = list(life.pages())
    assert len(pages) > 3
    assert [fault for page in pages if (fault := wire.fault("Page", page))] == []


def test_the_changes_are_edges_that_the_page_knows(life: Life) -> None:
    changes = [event for event in life.events() if "previous_state" in event["data"]]
    told = {
        feed.Edge(feed.name_of(event["type"]), event["data"]["previous_state"], event["data"]["job"]["state"])
        for event in changes
    }
    assert told <= feed.edges()


def test_all_three_ways_tell_the_same(life: Life) -> None:
    events = life.events()
    with life.listen("after=earliest") as replay:
        frames = map(json.loads, until(replay, lambda frame: frame["kind"] == "caught_up"))
        assert [event for frame in frames for event in frame.get("events", ())] == events
    streamed = stream(life, "earliest", len(events))
    assert [json.loads(message["data"]) for message in streamed] == events
    assert [message["event"] for message in streamed] == [event["type"] for event in events]
    middle = len(events) // 2
    rest = stream(life, streamed[middle]["id"], len(events) - middle - 1)
    assert [json.loads(message["data"]) for message in rest] == events[middle + 1 :]


def stream(life: Life, after: str, count: int) -> list[dict[str, str]]:
    """Return ``count`` events after a cursor, as server-sent events."""
    headers = {"Accept": "text/event-stream", "Last-Event-ID": after if after != "earliest" else ""}
    parameters = {"after": after}
    found: list[dict[str, str]] = []
    message: dict[str, str] = {}
    with life.http() as http, http.stream("GET", "/events", headers=headers, params=parameters) as answer:
        lines = answer.iter_lines()
        while len(found) < count:
            if line := next(lines):
                name, _, value = line.partition(": ")
                message[name] = value
            else:
                found += [message] if "data" in message else []
                message = {}
    return found


# -- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "said", "close_code", "status"),
    [
        ("jobs=1", "invalid_parameter", 4400, 400),
        ("after=somewhere", "invalid_cursor", 4400, 400),
        ("after=000000000000.1", "cursor_expired", 4410, 410),
    ],
)
def test_an_ending_is_as_the_document_says(life: Life, query: str, said: str, close_code: int, status: int) -> None:
    with life.listen(query) as refused:
        assert ending(refused) == (said, close_code)
    with life.http() as http:
        for accept in ("text/event-stream", "application/json"):
            answer = http.get(f"/events?{query}", headers={"Accept": accept})
            assert (answer.status_code, answer.json()["code"]) == (status, said)
            assert wire.fault("Problem", answer.json()) is None


def test_who_speaks_is_told_so(life: Life) -> None:
    with life.listen("") as rude:
        rude.send("hello")
        assert ending(rude) == ("unexpected_message", 4400)


def ending(connection: ClientConnection) -> tuple[str, int]:
    """Return the code of the error that comes and of the close after it."""
    error = until(connection, lambda frame: frame["kind"] == "error")[-1]
    assert wire.fault_of_frame(error) is None
    with pytest.raises(ConnectionClosed) as closed:
        connection.recv(WITHIN_S)
    assert closed.value.rcvd is not None
    return json.loads(error)["code"], closed.value.rcvd.code
