"""What a handler sees and says of fence and trace: ``job.fence``, ``job.traceparent``, ``job.headers()``."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest

from tests.test_traces import PARENT, SPAN_ID, TRACE_ID
from tests.worker.attempts import claimed
from tests.worker.test_http import private
from tests.worker.web import reply, serving
from tickr.jobs import Extras
from tickr.worker.builtin.http import Http
from tickr.worker.endings import GiveUp
from tickr.worker.view import Job

STATE = "congo=t61rcWkgMzE"
TRACED: dict[str, Any] = {"extras": Extras(traceparent=PARENT, tracestate=STATE, expires_at=7)}
SET = f"00-{TRACE_ID[::-1]}-{SPAN_ID[::-1]}-00"


def view(**fields: Any) -> Job:
    return Job(claimed("t", attempt=2, fence=9, **fields))


def test_the_headers_say_who_asks() -> None:
    job = view()
    assert (job.traceparent, job.tracestate) == (None, None)
    assert job.headers() == {"Tickr-Job-Id": job.id, "Tickr-Attempt": "2", "Tickr-Fence": "9"}


def test_each_request_is_a_span_of_its_own_in_the_same_trace() -> None:
    job = view(**TRACED)
    assert (job.traceparent, job.tracestate) == (PARENT, STATE)
    sent = [job.headers() for _ in range(100)]
    assert {headers["tracestate"] for headers in sent} == {STATE}
    spans = {headers["traceparent"] for headers in sent}
    assert len(spans) == 100
    assert all(re.fullmatch(rf"00-{TRACE_ID}-(?!{SPAN_ID}|0{{16}})[0-9a-f]{{16}}-01", span) for span in spans)


def test_a_span_that_a_middleware_has_set_is_the_parent_of_all_requests() -> None:
    job = view(**TRACED)
    job.set_trace(SET, "b=2")
    assert (job.traceparent, job.tracestate) == (SET, "b=2")
    for one in (job, pickle.loads(pickle.dumps(job))):
        assert (one.headers()["traceparent"], one.headers()["tracestate"]) == (SET, "b=2")
    job.set_trace(SET, "no state")
    assert "tracestate" not in job.headers()


def test_what_is_set_is_the_views_alone() -> None:
    record = claimed("t", **TRACED)
    job = Job(record)
    job.set_trace(SET)
    assert record.extras == TRACED["extras"]
    assert Job(record).traceparent == PARENT
    with pytest.raises(ValueError, match="'nonsense' is no traceparent"):
        job.set_trace("nonsense")
    assert job.traceparent == SET


# -- http jobs --------------------------------------------------------------------------------------------------------


def headers_in(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def sent_by(job: Job, **options: Any) -> dict[str, str]:
    """Return the headers that an ``http`` job sends, names in lower case."""
    async with serving(reply("200 OK")) as server:
        await Http(allow_private=True)(job, server.url(), **options)
    return headers_in(server.requests[0])


async def test_an_http_job_says_for_whom_it_asks() -> None:
    job = view()
    sent = await sent_by(job)
    assert (sent["tickr-job-id"], sent["tickr-attempt"], sent["tickr-fence"]) == (job.id, "2", "9")
    assert "traceparent" not in sent
    assert "tracestate" not in sent


async def test_an_http_job_goes_on_with_its_trace() -> None:
    sent = await sent_by(view(**TRACED))
    assert sent["tracestate"] == STATE
    assert re.fullmatch(rf"00-{TRACE_ID}-(?!{SPAN_ID})[0-9a-f]{{16}}-01", sent["traceparent"])


@pytest.mark.parametrize("name", ["traceparent", "TraceParent"])
async def test_a_trace_of_the_jobs_own_choice_is_sent_as_it_is(name: str) -> None:
    sent = await sent_by(view(**TRACED), headers={name: "mine"})
    assert sent["traceparent"] == "mine"
    assert "tracestate" not in sent
    sent = await sent_by(view(**TRACED), headers={"Tracestate": "mine=1"})
    assert sent["tracestate"] == "mine=1"
    assert "traceparent" not in sent


@pytest.mark.parametrize("name", ["Tickr-Fence", "tickr-job-id", "TICKR-ATTEMPT", "Tickr-Anything"])
async def test_nobody_speaks_in_tickrs_name(name: str) -> None:
    with pytest.raises(GiveUp, match="is not for a job to set"):
        await private("http://127.0.0.1:1/", headers={name: "999"})


async def test_a_redirect_is_asked_for_the_same_attempt() -> None:
    async def answer(server: Any, stream: Any, request: bytes) -> None:
        moved = reply("307 Moved", b"", f"Location: {server.url(path='/there')}")
        await stream.send_all(reply("200 OK") if b"/there" in request else moved)

    job = view(**TRACED)
    async with serving(answer) as server:
        await Http(allow_private=True)(job, server.url(), "POST", body="x", follow_redirects=True)
    first, second = (headers_in(request) for request in server.requests)
    for name in ("tickr-job-id", "tickr-attempt", "tickr-fence", "traceparent", "tracestate"):
        assert first[name] == second[name]
