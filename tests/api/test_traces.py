"""The trace of a submission: by the request's headers, by a job's own fields, on every way in."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.api.site import Site
from tests.api.submitting import open_submitter
from tests.test_traces import PARENT, SPAN_ID, TRACE_ID
from tickr.jobs import NO_EXTRAS, Extras

OWN = f"00-{TRACE_ID[::-1]}-{SPAN_ID[::-1]}-00"
HEADERS = {"Traceparent": PARENT, "TraceState": "congo=t61rcWkgMzE"}
OF_HEADERS = Extras(traceparent=PARENT, tracestate="congo=t61rcWkgMzE")


async def stored(site: Site) -> dict[str, Extras]:
    """Return the extras of each job, by type."""
    return {job.type: job.extras for job in await site.rows()}


@pytest.mark.parametrize(("path", "field"), [("/jobs", "type"), ("/api/v2/jobs", "jobtype")])
async def test_the_headers_of_a_request_are_its_jobs_trace(site: Site, path: str, field: str) -> None:
    for name, headers in (("a", HEADERS), ("b", {"traceparent": PARENT}), ("c", {"tracestate": "a=1"}), ("d", {})):
        answer = await site.http.post(path, json={field: name}, headers=headers)
        assert answer.status_code == 201
    found = await stored(site)
    assert found == {"a": OF_HEADERS, "b": Extras(traceparent=PARENT), "c": NO_EXTRAS, "d": NO_EXTRAS}


async def test_the_job_shows_its_trace(site: Site) -> None:
    answer = await site.http.post("/jobs", json={"type": "a"}, headers=HEADERS)
    assert answer.json()["traceparent"] == PARENT
    assert (await site.http.get(answer.headers["location"])).json()["traceparent"] == PARENT
    await site.post(type="b")
    assert [job["traceparent"] for job in (await site.http.get("/jobs")).json()["items"]] == [None, PARENT]


@pytest.mark.parametrize(
    "headers",
    [
        [("traceparent", "")],
        [("traceparent", "17")],
        [("traceparent", PARENT.upper())],
        [("traceparent", PARENT + "-x")],
        [("traceparent", PARENT), ("Traceparent", PARENT)],
        [("traceparent", PARENT.encode() + b"\xff")],
        [("traceparent", f"00-{'0' * 32}-{SPAN_ID}-01"), ("tracestate", "a=1")],
    ],
)
async def test_headers_that_can_not_be_read_are_ignored(site: Site, headers: list[tuple[str, Any]]) -> None:
    answer = await site.http.post("/jobs", json={"type": "a"}, headers=headers)
    assert (answer.status_code, answer.json()["traceparent"]) == (201, None)
    assert await stored(site) == {"a": NO_EXTRAS}


@pytest.mark.parametrize(
    ("states", "kept"), [(["a=1", "b=2 ,, c=3"], "a=1,b=2,c=3"), (["a=1", "nonsense"], None), ([""], None)]
)
async def test_tracestates_are_joined_or_left_out(site: Site, states: list[str], kept: str | None) -> None:
    headers = [("traceparent", PARENT), *(("tracestate", state) for state in states)]
    assert (await site.http.post("/jobs", json={"type": "a"}, headers=headers)).status_code == 201
    assert await stored(site) == {"a": Extras(traceparent=PARENT, tracestate=kept)}


async def test_a_request_that_comes_in_pieces_is_traced_too(site: Site) -> None:
    """By Quart, as a body of unknown length does not go the short way."""

    async def pieces() -> Any:
        yield b'{"type":'
        yield b'"a"}'

    headers = {"content-type": "application/json", **HEADERS}
    assert (await site.http.post("/jobs", content=pieces(), headers=headers)).status_code == 201
    assert await stored(site) == {"a": OF_HEADERS}


# -- many jobs --------------------------------------------------------------------------------------------------------

MANY = [
    {"type": "a"},
    {"type": "b", "traceparent": OWN},
    {"type": "c", "traceparent": OWN, "tracestate": "x=y, ,z=1"},
    {"type": "d", "tracestate": "x=y"},
]
OF_MANY = {
    "a": OF_HEADERS,
    "b": Extras(traceparent=OWN),
    "c": Extras(traceparent=OWN, tracestate="x=y,z=1"),
    "d": OF_HEADERS,
}
"""What is a job's own goes before the headers, both together; an entry of a trace that is not named belongs to none."""


@pytest.mark.parametrize("atomic", [False, True])
async def test_the_headers_of_a_batch_count_for_each_job_without_a_trace_of_its_own(site: Site, atomic: bool) -> None:
    answer = await site.http.post("/jobs/batch", json={"jobs": MANY, "atomic": atomic}, headers=HEADERS)
    assert [result["status"] for result in answer.json()["results"]] == [201] * len(MANY)
    assert await stored(site) == OF_MANY


async def test_the_headers_of_a_handshake_count_for_each_job_of_its_stream(site: Site) -> None:
    lines = b"".join(f"{name}: {value}\r\n".encode() for name, value in HEADERS.items())
    async with open_submitter(site, headers=lines) as client:
        await client.send([{"ref": number, **job} for number, job in enumerate(MANY)])
        assert all("error" not in answer for answer in await client.answers(len(MANY)))
    assert await stored(site) == OF_MANY


async def test_a_handshake_that_can_not_be_read_is_no_reason_to_refuse(site: Site) -> None:
    async with open_submitter(site, headers=b"traceparent: nonsense\r\n") as client:
        await client.send({"ref": 1, "type": "a"})
        await client.answers()
    assert await stored(site) == {"a": NO_EXTRAS}


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"traceparent": "17"}, "/traceparent"),
        ({"traceparent": PARENT + "\n"}, "/traceparent"),
        ({"traceparent": None}, "/traceparent"),
        ({"traceparent": f"01-{TRACE_ID}-{SPAN_ID}-01-" + "x" * 600}, "/traceparent"),
        ({"traceparent": PARENT, "tracestate": "nonsense"}, "/tracestate"),
        (
            {"traceparent": PARENT, "tracestate": "a=" + "x" * 200 + ",b=" + "x" * 200 + ",c=" + "x" * 200},
            "/tracestate",
        ),
    ],
)
async def test_a_field_that_can_not_be_read_is_told(site: Site, fields: dict[str, Any], pointer: str) -> None:
    answer = await site.post(type="a", **fields)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_a_trace_is_no_content(site: Site) -> None:
    """Submitted again within another request, it is the same job, and belongs to the trace that it came in first."""
    job = {"type": "a", "id": str(uuid.uuid4())}
    first = await site.http.post("/jobs", json=job, headers=HEADERS)
    again = await site.http.post("/jobs", json=job, headers={"traceparent": OWN})
    whole = await site.http.post("/jobs/batch", json={"jobs": [job], "atomic": True})
    assert (first.status_code, again.status_code, whole.json()["results"][0]["status"]) == (201, 200, 200)
    assert again.json()["traceparent"] == PARENT
    assert await stored(site) == {"a": OF_HEADERS}
