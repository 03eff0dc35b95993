"""Middleware, traces and fences on a whole node: from a submission through every attempt to whoever is asked."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

import tickr
from tests.features.conftest import StartNode
from tests.test_traces import PARENT, TRACE_ID
from tests.worker.test_job_headers import headers_in
from tests.worker.web import Server, reply, serving
from tickr.errors import SpecRejected

STATE = "congo=t61rcWkgMzE"
TRACED = {"traceparent": PARENT, "tracestate": STATE}


def watched(seen: list[tuple[Any, ...]]) -> tickr.Jobs:
    """An application with a handler and with middleware that notes what it sees."""
    jobs = tickr.Jobs()

    @jobs.middleware
    @contextlib.asynccontextmanager
    async def notes(job: tickr.Job) -> AsyncIterator[None]:
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            seen.append((job.type, job.attempt, job.fence, job.traceparent, type(error).__name__))

    @jobs.handler("tells")
    def tells(job: tickr.Job) -> dict[str, Any]:
        return {"traceparent": job.traceparent, "tracestate": job.tracestate, "fence": job.fence}

    return jobs


async def test_every_attempt_is_in_the_trace_of_the_submission(start_node: StartNode) -> None:
    async def answer(server: Server, stream: trio.abc.Stream, request: bytes) -> None:
        await stream.send_all(reply("503 Away" if len(server.requests) == 1 else "200 OK"))

    seen: list[tuple[Any, ...]] = []
    jobs = watched(seen)
    async with serving(answer) as server, start_node(jobs, http_allow_private=True) as client:
        body = {"type": "http", "payload": {"url": server.url()}, "backoff": {"kind": "constant", "base": 0}}
        submitted = (await client.http.post("/jobs", json=body, headers=TRACED)).json()
        done = await client.until_final(submitted["id"])
    assert (done["state"], done["traceparent"]) == ("succeeded", PARENT)
    first, second = (headers_in(request) for request in server.requests)
    assert (first["tickr-attempt"], first["tickr-fence"]) == ("1", "1")
    assert (second["tickr-attempt"], second["tickr-fence"]) == ("2", "2")
    assert first["tickr-job-id"] == second["tickr-job-id"] == done["id"]
    assert first["tracestate"] == second["tracestate"] == STATE
    assert first["traceparent"][:36] == second["traceparent"][:36] == f"00-{TRACE_ID}-"
    assert len({PARENT, first["traceparent"], second["traceparent"]}) == 3
    # The application's middleware is round the built-in types, too.
    assert seen == [("http", 1, 1, PARENT, "HttpFailed"), ("http", 2, 2, PARENT, "NoneType")]
    assert list(jobs) == ["tells"], "the application's own registry stays as it was"


async def test_what_a_program_hands_in_is_traced_as_it_says(start_node: StartNode) -> None:
    async with start_node(watched([])) as client:
        job = await client.handle.submit("tells", **TRACED)
        done = await client.until_final(job.id)
        assert done["result"] == {**TRACED, "fence": 1}
        plain = await client.until_final((await client.handle.submit("tells")).id)
        assert plain["result"] == {"traceparent": None, "tracestate": None, "fence": 1}
        with pytest.raises(SpecRejected) as rejected:
            await client.handle.submit("tells", traceparent="nonsense")
        assert rejected.value.pointer == "/traceparent"


async def test_a_job_that_is_run_again_keeps_its_trace(start_node: StartNode) -> None:
    async with start_node(watched([])) as client:
        job = await client.handle.submit("tells", **TRACED)
        await client.until_final(job.id)
        assert (await client.http.post(f"/jobs/{job.id}/retry")).status_code == 200
        assert (await client.until_final(job.id))["result"] == {**TRACED, "fence": 2}
