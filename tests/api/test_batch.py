"""``POST /jobs/batch``: a result for each job, or all as one whole."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
import trio

from tests.api.site import LONG_S, Site, open_site, read_answer
from tests.waiting import eventually
from tickr import intake
from tickr.api import batch, connection, parts
from tickr.api.problems import Problem
from tickr.errors import StoreUnavailable
from tickr.jobs import Job, NewJob
from tickr.store.memory import MemoryStore

PATH = "/jobs/batch"


async def post(site: Site, *jobs: Any, atomic: bool = False, status: int = 200) -> list[dict[str, Any]]:
    answer = await site.post(PATH, jobs=list(jobs), atomic=atomic)
    assert answer.status_code == status, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    assert [result["index"] for result in results] == list(range(len(jobs)))
    return results


def statuses(results: list[dict[str, Any]]) -> list[int]:
    return [result["status"] for result in results]


def new_id() -> str:
    return str(uuid.uuid4())


# -- each by itself ---------------------------------------------------------------------------------------------------


async def test_every_job_is_stored_as_by_itself_and_answered_in_order(site: Site) -> None:
    name = new_id()
    given = [
        {"type": "a", "payload": {"n": [1.50, "☃"]}},
        {"type": "b", "delay": 60},
        {"type": "c", "id": name.upper()},
    ]
    results = await post(site, *given)
    assert statuses(results) == [201] * 3
    assert results[2] == {"index": 2, "status": 201, "id": name}
    one, two, three = [(await site.http.get(f"/jobs/{result['id']}")).json() for result in results]
    assert [job["type"] for job in (one, two, three)] == ["a", "b", "c"]
    assert (one["payload"], two["state"], three["state"]) == ({"n": [1.5, "☃"]}, "scheduled", "ready")
    assert len(await site.rows()) == 3


async def test_a_payload_is_kept_byte_for_byte(site: Site) -> None:
    text = '{"x":  1.50,"y":[ ] , "z":"\\u2603"}'
    answer = await site.send(
        f' {{ "atomic" : false , "jobs" : [ {{"type":"a","payload":{text}}} , {{"type":"b"}}]\n}} ', PATH
    )
    assert statuses(answer.json()["results"]) == [201, 201]
    assert sorted(job.payload for job in await site.rows()) == sorted([text, "{}"])


async def test_what_is_wrong_with_one_job_concerns_no_other(site: Site) -> None:
    taken = new_id()
    await post(site, {"type": "a", "id": taken})
    results = await post(
        site, {"type": "a"}, {"typ": "b", "delay": -1}, 7, {"type": "z", "id": taken}, {"type": "a", "id": taken}
    )
    assert statuses(results) == [201, 422, 422, 409, 200]
    assert [list(result) for result in results] == [
        ["index", "status", "id"],
        *[["index", "status", "error"]] * 3,
        ["index", "status", "id"],
    ]
    one, two, three = (results[index]["error"] for index in (1, 2, 3))
    assert [(fault["pointer"]) for fault in one["errors"]] == ["/type", "/typ", "/delay"]
    assert (one["status"], one["code"], two["errors"][0]["pointer"]) == (422, "invalid_request", "")
    assert (three["code"], three["job_id"]) == ("duplicate_job", taken)
    assert len(await site.rows()) == 2


async def test_the_same_job_twice_in_one_batch_is_one_job(site: Site) -> None:
    name = new_id()
    results = await post(site, {"type": "a", "id": name}, {"type": "a", "id": name}, {"type": "b", "id": name})
    assert statuses(results) == [201, 200, 409]
    assert [job.type for job in await site.rows()] == ["a"]


async def test_a_job_in_a_batch_may_be_as_large_as_alone() -> None:
    async with open_site(max_body=5_000) as site:
        room = 5_000 - len('{"type":"a","payload":""}')
        good, bad = ('{"type":"a","payload":"%s"}' % ("x" * size) for size in (room, room + 1))
        answer = await site.send(f'{{"jobs":[{good},{bad},{good}]}}', PATH)
        results = answer.json()["results"]
        assert statuses(results) == [201, 413, 201]
        assert results[1]["error"]["code"] == "body_too_large"
        whole = await site.send(f'{{"jobs":[{good},{bad}],"atomic":true}}', PATH)
        assert (whole.status_code, whole.json()["code"]) == (413, "body_too_large")
        assert whole.json()["errors"][0]["pointer"] == "/jobs/1"
        assert len(await site.rows()) == 2


async def test_more_than_one_transaction_takes_is_stored_in_several(site: Site) -> None:
    jobs = [{"type": "a", "payload": "x" * 900_000} for _ in range(12)]
    assert statuses(await post(site, *jobs)) == [201] * 12
    assert len(await site.rows()) == 12


# -- as one whole -----------------------------------------------------------------------------------------------------


async def test_a_whole_is_stored_or_was_stored_already(site: Site) -> None:
    jobs = [{"type": "a", "id": new_id()}, {"type": "b", "id": new_id()}]
    assert statuses(await post(site, *jobs, atomic=True)) == [201, 201]
    assert statuses(await post(site, *jobs, {"type": "c"}, atomic=True)) == [200, 200, 201]
    assert len(await site.rows()) == 3


async def test_of_a_whole_with_a_fault_nothing_is_stored_and_all_faults_are_told(site: Site) -> None:
    answer = await site.post(PATH, atomic=True, jobs=[{"type": "a"}, {"typ": "b"}, {"type": "c", "delay": -1}])
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.headers["content-type"] == "application/problem+json"
    pointers = [fault["pointer"] for fault in answer.json()["errors"]]
    assert pointers == ["/jobs/1/type", "/jobs/1/typ", "/jobs/2/delay"]
    assert await site.rows() == []


async def test_of_a_whole_with_an_id_that_is_taken_nothing_is_stored(site: Site) -> None:
    taken = new_id()
    await post(site, {"type": "a", "id": taken})
    answer = await site.post(PATH, atomic=True, jobs=[{"type": "b"}, {"type": "b", "id": taken}])
    assert (answer.status_code, answer.json()["code"]) == (409, "duplicate_job")
    assert answer.json()["errors"][0]["pointer"] == "/jobs/1/id"
    assert [job.type for job in await site.rows()] == ["a"]


async def test_a_whole_that_is_more_than_one_transaction_carries_is_413(site: Site) -> None:
    answer = await site.post(PATH, atomic=True, jobs=[{"type": "a", "payload": "x" * 900_000}] * 5)
    assert (answer.status_code, answer.json()["code"]) == (413, "batch_too_large")
    assert str(intake.MAX_BATCH_BYTES) in answer.json()["detail"]
    assert await site.rows() == []


# -- bodies that are not taken ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        (b"", 400, "invalid_json", ""),
        (b'{"jobs":[{"type":"a"}]', 400, "invalid_json", ""),
        (b'{"jobs":[{"type":"a"}],}', 400, "invalid_json", ""),
        (b'\xef\xbb\xbf{"jobs":[{"type":"a"}]}', 400, "byte_order_mark", ""),
        (b'{"jobs":[{"type":"a\xff"}]}', 400, "invalid_utf8", "/jobs/0"),
        (b'{"jobs":[{"type":"a"},{"type":"b","payload":{"x":[0,NaN]}}]}', 400, "invalid_json", "/jobs/1/payload/x/1"),
        (b'{"jobs":[{"type":"a","payload":"\\ud800"}]}', 400, "invalid_json", "/jobs/0/payload"),
        (b'{"jobs":[{"type":"a","payload":"\\u0000"}]}', 400, "nul_character", "/jobs/0/payload"),
        (b'{"jobs":[{"type":"a","payload":1e999}]}', 400, "invalid_json", "/jobs/0/payload"),
        (b'{"jobs":[{"type":"a","payload":{"k":1,"k":2}}]}', 400, "duplicate_key", "/jobs/0/payload/k"),
        (b'{"jobs":[{"type":"a","type":"b"}]}', 400, "duplicate_key", "/jobs/0/type"),
        (b'{"jobs":[{"type":"a"}],"jobs":[{"type":"b"}]}', 400, "duplicate_key", "/jobs"),
        (b'{"atomic":true,"jobs":[{"type":"a"}],"atomic":false}', 400, "duplicate_key", "/atomic"),
        (b'{"jobs":["],"],"jobs":["],"]}', 400, "duplicate_key", "/jobs"),
        (b"[]", 422, "invalid_request", ""),
        (b"{}", 422, "invalid_request", "/jobs"),
        (b'{"jobs":[]}', 422, "invalid_request", "/jobs"),
        (b'{"jobs":{"type":"a"}}', 422, "invalid_request", "/jobs"),
        (b'{"jobs":[{"type":"a"}],"atomic":1}', 422, "invalid_request", "/atomic"),
        (b'{"jobs":[{"type":"a"}],"whole":true}', 422, "invalid_request", "/whole"),
        (b'{"jobs":[%b1]}' % (b"1," * 1000), 422, "invalid_request", "/jobs"),
    ],
)
async def test_a_body_that_cannot_be_taken_is_refused_whole(
    site: Site, body: bytes, status: int, code: str, pointer: str
) -> None:
    answer = await site.send(body, PATH)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert await site.rows() == []


async def test_a_job_is_nested_as_deep_as_it_may_be_alone(site: Site) -> None:
    deep, deeper = ("[" * depth + "]" * depth for depth in (63, 64))
    answer = await site.send(f'{{"jobs":[{{"type":"a","payload":{deep}}}]}}', PATH)
    assert statuses(answer.json()["results"]) == [201]
    answer = await site.send(f'{{"jobs":[{{"type":"a"}},{{"type":"a","payload":{deeper}}}]}}', PATH)
    assert (answer.status_code, answer.json()["code"]) == (400, "too_deep")
    assert answer.json()["errors"][0]["pointer"].startswith("/jobs/1/payload/0/0")


async def test_unusual_spelling_of_known_names_is_understood(site: Site) -> None:
    answer = await site.send(b'{"j\\u006fbs":[{"type":"a"}]}', PATH)
    assert statuses(answer.json()["results"]) == [201]


async def test_what_would_be_ignored_is_refused(site: Site) -> None:
    keyed = await site.http.post(PATH, json={"jobs": [{"type": "a"}]}, headers={"idempotency-key": "a key"})
    asked = await site.http.post(f"{PATH}?atomic=true", json={"jobs": [{"type": "a"}]})
    typed = await site.http.post(PATH, content=b"{}", headers={"content-type": "text/plain"})
    assert [one.json()["code"] for one in (keyed, asked, typed)] == [
        "invalid_idempotency_key",
        "invalid_parameter",
        "unsupported_media_type",
    ]
    assert await site.rows() == []


async def test_a_batch_may_be_16_mib_and_no_more_while_a_single_job_may_not(site: Site) -> None:
    body = b'{"jobs":[{"type":"a"}]%b}' % (b" " * (batch.MAX_BODY_BYTES - 23))
    assert len(body) == batch.MAX_BODY_BYTES
    assert (await site.send(body, PATH)).status_code == 200
    for path, large in ((PATH, body + b" "), ("/jobs", body[: 1024 * 1024 + 1])):
        answer = await site.send(large, path)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("part", "status"),
    [(b"1,", 422), (b"[],", 422), (b'{"type":1},', 422), (b"[", 400), (b'{"a":', 400), (b'"', 400)],
)
async def test_a_large_hostile_body_is_refused_at_little_cost(part: bytes, status: int) -> None:
    body = b'{"jobs":[%b' % (part * ((batch.MAX_BODY_BYTES - 12) // len(part)))
    if status == 422:
        body = body[:-1] + b"]}"
    began = time.process_time()
    with pytest.raises(Problem) as refused:
        await parts.read_batch(body)
    assert refused.value.status == status
    assert time.process_time() - began < 1.0  # some tenths of it, and no memory to speak of


async def test_many_faults_of_a_job_are_told_up_to_a_bound(site: Site) -> None:
    job = {f"unknown{number}": 1 for number in range(20_000)}
    (result,) = await post(site, job)
    assert (result["status"], len(result["error"]["errors"])) == (422, 100)


# -- when it cannot be stored -----------------------------------------------------------------------------------------


class AwayStore(MemoryStore):
    """Away from the second transaction on; with ``during_commit`` jobs are stored but nobody is told."""

    def __init__(self, during_commit: bool, good: int = 1) -> None:
        super().__init__()
        self.during_commit = during_commit
        self.good = good

    async def insert(self, new: Sequence[NewJob], **how: Any) -> list[tuple[Job, bool]]:
        self.good -= 1
        if self.good >= 0:
            return await super().insert(new, **how)
        if self.during_commit:
            await super().insert(new, **how)
        raise StoreUnavailable("gone", outcome_unknown=self.during_commit)


@pytest.mark.parametrize("during_commit", [False, True])
async def test_each_job_is_told_what_became_of_it(during_commit: bool) -> None:
    async with open_site(store=AwayStore(during_commit)) as site:
        jobs = [{"type": "a", "payload": "x" * 900_000} for _ in range(6)]  # four of them in the first transaction
        results = await post(site, *jobs)
        assert statuses(results) == [201] * 4 + [503] * 2
        for result in results[4:]:
            problem = result["error"]
            assert (problem["code"], problem["outcome_unknown"]) == ("store_unavailable", during_commit)
            assert problem["retry_after"] == 2
            found = await site.http.get(f"/jobs/{problem['job_id']}")
            assert found.status_code == (200 if during_commit else 404)
            assert (problem["job_id"] in problem["detail"]) == during_commit
        assert results[4]["error"]["job_id"] != results[5]["error"]["job_id"]


@pytest.mark.parametrize("during_commit", [False, True])
async def test_of_a_whole_one_job_tells_about_all(during_commit: bool) -> None:
    async with open_site(store=AwayStore(during_commit, good=0)) as site:
        names = [new_id(), new_id()]
        answer = await site.post(PATH, atomic=True, jobs=[{"type": "a", "id": name} for name in names])
        problem = answer.json()
        assert (answer.status_code, problem["outcome_unknown"]) == (503, during_commit)
        assert answer.headers["retry-after"] == "2"
        assert problem.get("job_id") == (names[0] if during_commit else None)
        assert len(await site.rows()) == (2 if during_commit else 0)


async def test_what_nobody_foresaw_is_told_once_and_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Buggy(MemoryStore):
        async def insert(self, new: Sequence[NewJob], **how: Any) -> list[tuple[Job, bool]]:
            raise ValueError("the secret is xyzzy")

    async with open_site(store=Buggy()) as site:
        results = await post(site, {"type": "a"}, {"type": "b"})
        assert statuses(results) == [500, 500]
        assert "xyzzy" not in json.dumps(results)
        assert capsys.readouterr().out.count("http.failed") == 1


class GatedStore(MemoryStore):
    """Takes nothing before it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = trio.Event()

    async def insert(self, new: Sequence[NewJob], **how: Any) -> list[tuple[Job, bool]]:
        await self.gate.wait()
        return await super().insert(new, **how)


async def test_what_the_intake_has_no_room_for_is_429_job_by_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_WAITING", 3)
    store = GatedStore()
    async with open_site(store=store) as site, trio.open_nursery() as nursery:
        nursery.start_soon(site.post)  # a store that is at work
        nursery.start_soon(_post_one, site)
        await _until(lambda: site.app.in_flight >= 1)
        results: list[dict[str, Any]] = []

        async def ask() -> None:
            results.extend(await post(site, *[{"type": "a"}] * 5))

        nursery.start_soon(ask)
        await _until(lambda: len(site.context.intake._line) == 3)
        store.gate.set()
        await _until(lambda: bool(results))
        assert statuses(results) == [201] * 3 + [429] * 2
        assert (results[4]["error"]["code"], results[4]["error"]["retry_after"]) == ("overloaded", 1)


async def _post_one(site: Site) -> None:
    assert (await site.post(type="first")).status_code == 201


async def _until(true: Any) -> None:
    async def look() -> bool:
        return bool(true())

    await eventually(look)


async def test_a_stopped_intake_is_429_for_all_and_for_a_whole(site: Site) -> None:
    site.context.intake.close()
    assert statuses(await post(site, {"type": "a"}, {"type": "b"})) == [429, 429]
    answer = await site.post(PATH, atomic=True, jobs=[{"type": "a"}])
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


async def test_who_goes_away_has_its_batch_stored(site: Site) -> None:
    body = b'{"jobs":[{"type":"a"},{"type":"b"}]}'
    request = (
        b"POST /jobs/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    async with await site.connect() as stream:
        await stream.send_all(request % len(body) + body)
        assert (await read_answer(stream)).startswith(b"HTTP/1.1 200")
        await stream.send_all(request % len(body) + body)
    with trio.fail_after(LONG_S):
        while len(await site.rows()) < 4:
            await trio.lowlevel.checkpoint()


async def test_large_bodies_that_take_long_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_BODY_BYTES", 200_000)
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    async with open_site() as site, await site.connect() as slow, await site.connect() as small:
        await small.send_all(head % (b"/jobs", 200) + b" ")
        await slow.send_all(head % (PATH.encode(), 1_000_000) + b" " * 199_000)
        await _until(lambda: site.app.body_bytes == 199_001)
        body = b'{"jobs":[{"type":"a"}]%b}' % (b" " * 2_000)
        assert (await site.send(body, PATH)).status_code == 429, "it has just come"
        monkeypatch.setattr(connection, "BODY_PATIENCE_S", 0.0)
        assert (await site.send(body, PATH)).status_code == 200
        assert (await read_answer(slow)).startswith(b"HTTP/1.1 408 ")
        assert (await site.send(body, PATH)).status_code == 200
        await small.send_all(b'{"type":"a"}%b' % (b" " * 187))
        assert (await read_answer(small)).startswith(b"HTTP/1.1 201 ")
        await _until(lambda: site.app.body_bytes == 0)
