"""Row 14, progress and logs: what a handler says is on the feed in order, and how far it is on the job."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import httpx2
import pytest
import trio

import tickr
from tests.features.conftest import Client, StartNode, node
from tests.ports import Observed, observing
from tests.waiting import eventually
from tickr import events, service
from tickr.errors import StoreUnavailable
from tickr.events import Event

SECOND_US = 1_000_000
A_SECOND = 10
"""So many notes of one job are kept in any second."""


@pytest.fixture
def start(store_url: str) -> StartNode:
    """Start a node on each store; the index has no part in this."""
    return partial(node, store=store_url)


async def events_of(client: Client, job: dict[str, Any]) -> list[Event]:
    """Return what the store's log has of ``job``, in its order."""
    rows = await client.handle.store.event_rows(0, 1_000, 100_000_000)
    return [event for _, body in rows for event in events.decode(body) if event.job == job["id"]]


def whats(found: Sequence[Event]) -> list[str]:
    return [event.what for event in found]


def busiest(found: Sequence[Event]) -> int:
    """Return how many of ``found`` were said in any one second at most."""
    instants = [event.time for event in found]
    return max(sum(1 for other in instants if 0 <= other - one < SECOND_US) for one in instants)


async def test_progress_and_logs_are_told_in_order_and_progress_shows_on_the_job(start: StartNode) -> None:
    jobs, looked = tickr.Jobs(), trio.Event()

    @jobs.handler("resize")
    async def resize(job: tickr.Job) -> str:
        await job.log("3 pages \U0001f5bc \ud800 \0")
        await job.progress(0.4, "resizing")
        await looked.wait()
        await job.progress(0.8)
        await job.log("done with page 3")
        return "ok"

    async with start(jobs) as client:
        job = await client.post(type="resize", labels={"customer": "42"})
        assert (job["progress"], job["progress_message"]) == (None, None)

        async def shown() -> dict[str, Any] | None:
            found = await client.get(job["id"])
            return found if found["progress"] is not None else None

        running = await eventually(shown)
        assert (running["state"], running["version"]) == ("running", 2)
        assert (running["progress"], running["progress_message"]) == (0.4, "resizing")
        looked.set()
        done = await client.until_final(job["id"])
        assert (done["state"], done["version"], done["result"]) == ("succeeded", 3, "ok")
        assert (done["progress"], done["progress_message"]) == (0.8, None)
        (listed,) = (await client.http.get("/jobs")).json()["items"]
        assert (listed["progress"], listed["progress_message"]) == (0.8, None)
        found = await events_of(client, job)
    assert whats(found) == ["created", "started", "log", "progress", "progress", "log", "succeeded"]
    notes = found[2:-1]
    assert [event.id for event in notes] == [f"{job['id']}.2.{number}" for number in (1, 2, 3, 4)]
    assert [event.fraction for event in notes] == [None, 0.4, 0.8, None]
    assert [event.message for event in notes] == ["3 pages \U0001f5bc ? ?", "resizing", None, "done with page 3"]
    assert {(event.node, event.labels, event.attempt) for event in notes} == {
        (done["node"], '{"customer":"42"}', 1),
    }
    times = [event.time for event in notes]
    assert times == sorted(times)


async def test_progress_of_any_shape_is_told_and_shows_on_the_job_until_the_next(start: StartNode) -> None:
    jobs, looked = tickr.Jobs(), trio.Event()

    @jobs.handler("import")
    async def read_rows(job: tickr.Job) -> None:
        await job.progress(0.4, {"rows": 1200, "file": "a.csv"})
        await looked.wait()
        await job.progress(0.8, "nearly", [1, {"deep": [None, 2.50]}])

    async with start(jobs) as client:
        job = await client.post(type="import")
        assert job["progress_data"] is None

        async def shown() -> dict[str, Any] | None:
            found = await client.get(job["id"])
            return found if found["progress"] is not None else None

        running = await eventually(shown)
        assert (running["progress_message"], running["progress_data"]) == (None, {"rows": 1200, "file": "a.csv"})
        looked.set()
        done = await client.until_final(job["id"])
        assert (done["progress"], done["progress_message"]) == (0.8, "nearly")
        assert done["progress_data"] == [1, {"deep": [None, 2.5]}]
        page = (await client.http.get("/events?after=earliest&event=progress")).json()["events"]
    told = [{name: event["data"].get(name) for name in ("progress", "message", "data", "result")} for event in page]
    assert told == [
        {"progress": 0.4, "message": None, "data": {"rows": 1200, "file": "a.csv"}, "result": None},
        {"progress": 0.8, "message": "nearly", "data": [1, {"deep": [None, 2.5]}], "result": None},
    ]


async def test_at_most_10_a_second_are_kept_and_the_last_always(start: StartNode) -> None:
    jobs = tickr.Jobs()

    @jobs.handler("flood")
    async def flood(job: tickr.Job) -> None:
        for number in range(500):
            await job.progress(number / 500, f"{number} of 500")
            await job.log(f"line {number}")

    async with start(jobs) as client:
        job = await client.post(type="flood")
        done = await client.until_final(job["id"])
        found = await events_of(client, job)
    assert (done["state"], done["progress"], done["progress_message"]) == ("succeeded", 499 / 500, "499 of 500")
    notes = found[2:-1]
    assert busiest(notes) <= A_SECOND
    lines = [event for event in notes if event.what == "log"]
    assert notes[-1] is lines[-1]
    assert (notes[-2].fraction, lines[-1].message) == (499 / 500, "line 499")
    assert len(lines) + sum(line.dropped for line in lines) == 500


async def test_the_next_attempt_begins_without_progress(start: StartNode) -> None:
    jobs, looked = tickr.Jobs(), trio.Event()

    @jobs.handler("twice", backoff=tickr.Backoff(kind="constant", base=0.1, jitter=0))
    async def twice(job: tickr.Job) -> None:
        if job.attempt == 1:
            await job.progress(0.9, "nearly")
            raise ConnectionError("the carrier does not answer")
        await looked.wait()

    async with start(jobs) as client:
        job = await client.post(type="twice")

        async def second() -> dict[str, Any] | None:
            found = await client.get(job["id"])
            return found if (found["state"], found["attempt"]) == ("running", 2) else None

        running = await eventually(second)
        assert (running["progress"], running["progress_message"]) == (None, None)
        looked.set()
        done = await client.until_final(job["id"])
        assert done["progress"] is None
        found = await events_of(client, job)
    assert whats(found) == ["created", "started", "progress", "retrying", "started", "succeeded"]


async def test_a_handler_in_a_thread_just_calls_them(start: StartNode) -> None:
    jobs = tickr.Jobs()

    @jobs.handler("invoice")
    def invoice(job: tickr.Job) -> int:
        job.log("in a thread")
        for number in range(20_000):
            job.progress(number / 20_000)
        trio.from_thread.run(job.progress, 1, "all done")
        job.log("the last line")
        return 6

    async with start(jobs) as client:
        job = await client.post(type="invoice")
        done = await client.until_final(job["id"])
        found = await events_of(client, job)
    assert (done["state"], done["progress"], done["progress_message"]) == ("succeeded", 1, "all done")
    notes = found[2:-1]
    assert {event.what for event in notes} == {"progress", "log"}
    assert (notes[0].message, notes[-1].message) == ("in a thread", "the last line")
    assert busiest(notes) <= A_SECOND
    assert whats(found)[-1] == "succeeded"


def forecast(job: tickr.Job) -> None:
    job.progress(0.5)  # type: ignore[unused-awaitable]


@pytest.mark.slow
async def test_a_handler_in_a_process_is_told_that_it_can_not() -> None:
    jobs = tickr.Jobs()
    jobs.handler("forecast", run_in="process", max_attempts=1)(forecast)
    async with node(jobs, store="memory:") as client:
        job = await client.post(type="forecast")
        done = await client.until_final(job["id"])
    assert done["state"] == "failed"
    assert "job.progress and job.log work in async handlers and in threads" in done["error"]["message"]
    assert done["progress"] is None


async def test_a_bad_argument_fails_the_attempt_and_says_why() -> None:
    jobs = tickr.Jobs()

    @jobs.handler("percent", max_attempts=1)
    async def percent(job: tickr.Job) -> None:
        await job.progress(40)

    async with node(jobs, store="memory:") as client:
        done = await client.until_final((await client.post(type="percent"))["id"])
    assert done["error"]["message"] == "ValueError: progress takes a number from 0 to 1, not 40"


async def test_an_outage_of_the_store_holds_up_no_handler_and_loses_no_last_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened, jobs = list[Observed](), tickr.Jobs()
    monkeypatch.setattr(service, "open_store", observing(service.open_store, opened))
    began, away, ended, took = trio.Event(), trio.Event(), trio.Event(), list[float]()

    @jobs.handler("work")
    async def work(job: tickr.Job) -> str:
        await job.progress(0.1, "before")
        began.set()
        await away.wait()
        since = time.monotonic()
        for number in range(200):
            await job.progress(0.2, "meanwhile")
            await job.log(str(number))
        took.append(time.monotonic() - since)
        await job.progress(0.9, "the last")
        ended.set()
        return "ok"

    async with node(jobs, store="memory:") as client:
        job = await client.post(type="work")
        await began.wait()

        async def noted() -> bool:
            return (await client.get(job["id"]))["progress"] == 0.1

        await eventually(noted)
        store = opened[0]
        store.failing |= {"note": StoreUnavailable("away"), "finish": StoreUnavailable("away")}
        away.set()
        await ended.wait()
        assert took[0] < 1

        async def tried() -> bool:
            return store.calls["note"] > 3

        await eventually(tried)
        assert (await client.get(job["id"]))["progress"] == 0.1
        store.failing.clear()
        done = await client.until_final(job["id"])
        found = await events_of(client, job)
    assert (done["progress"], done["progress_message"]) == (0.9, "the last")
    lines = [event for event in found if event.what == "log"]
    assert lines[-1].message == "199"
    assert len(lines) + sum(line.dropped for line in lines) == 200
    assert whats(found)[-2:] == ["progress", "succeeded"]
    assert [event.note for event in found[2:-1]] == list(range(1, len(found) - 2))


async def test_a_stop_tells_what_was_said_last_before_it_hands_the_job_back(lasting_store_url: str) -> None:
    jobs, full = tickr.Jobs(), trio.Event()

    @jobs.handler("long")
    async def long(job: tickr.Job) -> None:
        try:
            full.set()
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await job.progress(0.3, "put down here")

    async with node(jobs, store=lasting_store_url, grace=0) as client:
        job = await client.post(type="long")
        await full.wait()
    async with node(store=lasting_store_url, roles=("api",)) as client:
        stored = await client.get(job["id"])
        found = await events_of(client, job)
    assert (stored["state"], stored["progress_message"]) == ("ready", "put down here")
    assert whats(found) == ["created", "started", "progress", "released"]


async def test_what_a_client_sees_is_json_whatever_was_said() -> None:
    jobs = tickr.Jobs()

    @jobs.handler("odd")
    async def odd(job: tickr.Job) -> None:
        await job.progress(1e-300, "\x1b[2J\u202e\0" * 1_000)

    async with node(jobs, store="memory:") as client:
        job = await client.until_final((await client.post(type="odd"))["id"])
        answer = await client.http.get(f"/jobs/{job['id']}")
    assert isinstance(answer, httpx2.Response)
    assert job["progress"] == 1e-300
    assert len(job["progress_message"]) == 500
    assert job["progress_message"].endswith("…")
    assert b"\\u0000" not in answer.content
