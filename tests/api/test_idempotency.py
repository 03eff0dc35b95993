"""``Idempotency-Key``: the same request again is the first answer again, and no second job."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
import trio

from tests.api.site import Site, open_site
from tests.store.backends import SECOND, SteppedClock, start
from tickr.errors import StoreUnavailable
from tickr.failpoints import FailpointError, armed
from tickr.jobs import Job
from tickr.store.memory import MemoryStore

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
BODY = '{"type": "a", "payload": {"n": 1}}'


async def send(site: Site, body: str = BODY, key: str = KEY, path: str = "/jobs") -> httpx2.Response:
    return await site.send(body, path, **{"idempotency-key": key})


def seen(answer: httpx2.Response) -> tuple[int, bool, str | None, Any]:
    """Status, whether it is told to be a replay, where the job is, and the job."""
    replayed = answer.headers.get("idempotent-replayed")
    assert replayed in (None, "true")
    return answer.status_code, replayed is not None, answer.headers.get("location"), answer.json()


async def test_the_same_request_gets_the_first_answer_again(site: Site) -> None:
    first, again = await send(site), await send(site)
    status, replayed, location, job = seen(first)
    assert (status, replayed, location) == (201, False, f"/jobs/{job['id']}")
    assert seen(again) == (201, True, location, job)
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    assert [row.id for row in await site.rows()] == [job["id"]]


async def test_another_body_under_the_same_key_is_refused(site: Site) -> None:
    job = (await send(site)).json()
    for other in ('{"type": "b"}', BODY.replace(" ", ""), BODY + " "):
        answer = await send(site, other)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert (answer.json()["code"], answer.json()["job_id"]) == ("idempotency_key_reused", job["id"])
    assert len(await site.rows()) == 1


async def test_another_path_is_another_request(site: Site) -> None:
    await send(site, '{"jobtype":"a"}', path="/api/v2/jobs")
    assert (await send(site, '{"jobtype":"a"}', path="/api/v2/jobs")).headers["idempotent-replayed"] == "true"
    assert (await send(site)).status_code == 422
    assert len(await site.rows()) == 1


async def test_the_originals_call_knows_keys_too(site: Site) -> None:
    body = '{"jobtype": "a", "delay": 60}'
    first, again = [await send(site, body, path="/api/v2/jobs") for _ in range(2)]
    assert (first.status_code, first.content) == (again.status_code, again.content) == (201, first.content)
    assert "idempotent-replayed" not in first.headers
    other = await send(site, '{"jobtype": "b"}', path="/api/v2/jobs")
    assert (other.status_code, other.json()["success"]) == (422, False)


async def test_a_job_that_has_moved_on_is_told_as_it_was() -> None:
    clock = SteppedClock()
    async with open_site(store=MemoryStore(clock=clock)) as site:
        body = '{"type": "a", "delay": 5, "labels": {"who": "me"}}'
        first = await send(site, body)
        assert first.json()["state"] == "scheduled"
        clock.advance(10)
        (row,) = await site.rows()
        await start(site.store, row)
        assert (await site.http.get(first.headers["location"])).json()["state"] == "running"
        again = await send(site, body)
        assert (again.content, again.headers["etag"]) == (first.content, '"v1"')


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (KEY, f'"{KEY}"'),
        ("a", '"a"'),
        ("x" * 255, f'"{"x" * 255}"'),
        ('"a b"', '"a b"'),
        ('"say \\"hi\\" \\\\"', '"say \\"hi\\" \\\\"'),
        ("!#$%&'*+-./:<=>?@[]^_`{|}~\\", '"' + "!#$%&'*+-./:<=>?@[]^_`{|}~" + '\\\\"'),
    ],
)
async def test_a_key_is_a_string_in_quotes_or_bare(site: Site, one: str, same: str) -> None:
    job = (await send(site, key=one)).json()
    assert seen(await send(site, key=same)) == (201, True, f"/jobs/{job['id']}", job)


@pytest.mark.parametrize(
    "key",
    [
        "",
        '""',
        "a b",
        "a,b",
        '"a", "b"',
        "a;b",
        '"a',
        'a"',
        '"a"b',
        '"a\\b"',
        "x" * 256,
        f'"{"x" * 256}"',
        "\xe4",
        '"\t"',
    ],
)
async def test_what_is_no_key_is_refused(site: Site, key: str) -> None:
    answer = await site.http.post(
        "/jobs",
        content=BODY,
        headers=[(b"content-type", b"application/json"), (b"idempotency-key", key.encode("latin-1"))],
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")
    assert await site.rows() == []


@pytest.mark.parametrize("path", ["/jobs", "/jobs?"])
async def test_of_two_keys_none_is_taken(site: Site, path: str) -> None:
    """By the short way and by Quart's."""
    headers = [(b"content-type", b"application/json"), (b"idempotency-key", b"a"), (b"Idempotency-Key", b"b")]
    answer = await site.http.post(path, content=BODY, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")


async def test_keys_are_kept_as_long_as_the_configuration_says() -> None:
    clock = SteppedClock()
    async with open_site(store=MemoryStore(clock=clock), idempotency_keep=60.0) as site:
        first = (await send(site)).json()
        clock.advance(59)
        assert (await send(site)).json() == first
        clock.advance(1)
        second = await send(site)
        assert (second.status_code, second.json()["id"] != first["id"]) == (201, True)
        assert "idempotent-replayed" not in second.headers


async def test_at_the_same_time_is_one_job_and_the_same_answer(site: Site) -> None:
    answers: list[httpx2.Response] = []

    async def ask() -> None:
        answers.append(await send(site))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 19
    assert len(await site.rows()) == 1


# -- what keeps no key ------------------------------------------------------------------------------------------------


async def test_a_request_that_was_refused_keeps_no_key(site: Site) -> None:
    assert (await send(site, '{"type": ""}')).status_code == 422
    assert (await send(site, "{")).status_code == 400
    assert (await send(site)).status_code == 201


class Failing(MemoryStore):
    """Cannot store while there is an ``error``; ``stored``: but does so all the same."""

    error: Exception | None = None
    stored = False

    async def insert(self, new: Any, **how: Any) -> list[tuple[Job, bool]]:
        if self.error is not None and not self.stored:
            raise self.error
        answers = await super().insert(new, **how)
        if self.error is not None:
            raise self.error
        return answers


async def test_what_could_not_be_stored_keeps_no_key() -> None:
    store = Failing()
    async with open_site(store=store) as site:
        store.error = StoreUnavailable("away")
        answer = await send(site)
        assert (answer.status_code, answer.json()["outcome_unknown"]) == (503, False)
        assert "the job was not stored" in answer.json()["detail"]
        store.error = None
        assert seen(await send(site))[:2] == (201, False)
        store.error = FailpointError("nobody foresaw it")
        assert (await send(site, key="another")).status_code == 500
        store.error = None
        assert seen(await send(site, '{"type": "b"}', key="another"))[:2] == (201, False)


@pytest.mark.parametrize("stored", [False, True])
async def test_when_it_is_not_known_the_same_request_again_is_safe(stored: bool) -> None:
    store = Failing()
    async with open_site(store=store) as site:
        store.error, store.stored = StoreUnavailable("cut", outcome_unknown=True), stored
        answer = await send(site)
        told = answer.json()
        assert (answer.status_code, told["outcome_unknown"], "job_id" in told) == (503, True, False)
        assert "Submit it again with the same Idempotency-Key and body." in told["detail"]
        store.error = None
        assert seen(await send(site))[:2] == (201, stored)
        assert len(await site.rows()) == 1


async def test_an_answer_that_never_left_comes_with_the_next_try(site: Site) -> None:
    async def fail() -> None:
        raise FailpointError("api.before_answer")

    with armed("api.before_answer", fail):
        assert (await send(site)).status_code == 500
    assert seen(await send(site))[:2] == (201, True)
    assert len(await site.rows()) == 1


# -- with an id, with a unique key -------------------------------------------------------------------------------------


async def test_with_an_id_of_its_own(site: Site) -> None:
    body = '{"type": "a", "id": "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"}'
    first = await send(site, body)
    assert seen(await send(site, body))[:2] == (201, True)
    other_key = await send(site, body, key="another")
    assert seen(other_key) == (200, True, first.headers["location"], first.json())
    assert seen(await send(site, body, key="another")) == seen(other_key)
    taken = await send(site, body.replace('"a"', '"b"'), key="third")
    assert (taken.status_code, taken.json()["code"]) == (409, "duplicate_job")


async def test_with_a_unique_key_that_is_held(site: Site) -> None:
    holder = (await site.post(type="a", unique={"key": "u"})).json()
    body = '{"type": "a", "unique": {"key": "u"}}'
    first = await send(site, body)
    assert seen(first) == (200, False, f"/jobs/{holder['id']}", holder)
    assert first.headers["tickr-unique"] == "held"
    await site.http.post(f"/jobs/{holder['id']}/cancel")
    again = await send(site, body)
    assert seen(again)[:3] == (200, True, f"/jobs/{holder['id']}")
    assert (again.headers["tickr-unique"], again.json()["state"]) == ("held", "cancelled")


async def test_a_conflict_keeps_no_key(site: Site) -> None:
    holder = (await site.post(type="a", unique={"key": "u"})).json()
    body = '{"type": "a", "unique": {"key": "u", "on_conflict": "reject"}}'
    assert (await send(site, body)).status_code == 409
    await site.http.post(f"/jobs/{holder['id']}/cancel")
    assert seen(await send(site, body))[:2] == (201, False)


# -- batches ----------------------------------------------------------------------------------------------------------


def batch(*jobs: dict[str, Any], atomic: bool = False) -> str:
    return json.dumps({"jobs": jobs, "atomic": atomic})


@pytest.mark.parametrize("atomic", [False, True])
async def test_a_batch_is_one_request(site: Site, atomic: bool) -> None:
    body = batch({"type": "a"}, {"type": "b", "delay": 60}, atomic=atomic)
    first, again = [await send(site, body, path="/jobs/batch") for _ in range(2)]
    assert (first.status_code, again.status_code, again.content) == (200, 200, first.content)
    assert [result["status"] for result in first.json()["results"]] == [201, 201]
    assert ("idempotent-replayed" in first.headers, "idempotent-replayed" in again.headers) == (False, True)
    other = await send(site, batch({"type": "a"}, atomic=atomic), path="/jobs/batch")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (await send(site)).status_code == 422
    assert len(await site.rows()) == 2


async def test_what_of_a_batch_was_not_stored_is_tried_again(site: Site) -> None:
    holder = (await site.post(type="a", unique={"key": "u"})).json()
    body = batch(
        {"type": "a"},
        {"type": ""},
        {"type": "a", "unique": {"key": "u"}},
        {"type": "a", "unique": {"key": "u", "on_conflict": "reject"}},
    )
    first = (await send(site, body, path="/jobs/batch")).json()["results"]
    assert [result["status"] for result in first] == [201, 422, 200, 409]
    assert first[2] == {"index": 2, "status": 200, "id": holder["id"], "held": True}
    assert first[3]["error"]["job_id"] == holder["id"]
    await site.http.post(f"/jobs/{holder['id']}/cancel")
    again = await send(site, body, path="/jobs/batch")
    assert again.json()["results"][:3] == first[:3]
    assert again.json()["results"][3]["status"] == 201
    assert again.headers["idempotent-replayed"] == "true"
    assert (await send(site, body, path="/jobs/batch")).json()["results"][3] == again.json()["results"][3]


async def test_a_batch_of_which_nothing_is_stored_keeps_no_key(site: Site) -> None:
    assert (await send(site, batch({"type": ""}), path="/jobs/batch")).status_code == 200
    assert (await send(site, batch({"type": ""}, {"type": "a"}, atomic=True), path="/jobs/batch")).status_code == 422
    assert (await send(site, batch({"type": "a"}), path="/jobs/batch")).json()["results"][0]["status"] == 201


async def test_a_batch_of_a_thousand_whose_answer_was_lost(site: Site) -> None:
    body = batch(*({"type": "a", "payload": {"n": n}} for n in range(1000)))
    first, again = [(await send(site, body, path="/jobs/batch")).json() for _ in range(2)]
    assert first == again
    assert len(await site.rows()) == 1000


async def test_of_a_batch_that_may_be_stored_the_same_request_is_told() -> None:
    store = Failing()
    async with open_site(store=store) as site:
        store.error, store.stored = StoreUnavailable("cut", outcome_unknown=True), True
        body = batch({"type": "a"}, {"type": "b"})
        (error, _) = [result["error"] for result in (await send(site, body, path="/jobs/batch")).json()["results"]]
        assert "Submit it again with the same Idempotency-Key and body." in error["detail"]
        store.error = None
        again = await send(site, body, path="/jobs/batch")
        assert [result["status"] for result in again.json()["results"]] == [201, 201]
        assert again.headers["idempotent-replayed"] == "true"
        assert len(await site.rows()) == 2


async def test_a_day_is_the_default() -> None:
    clock = SteppedClock()
    async with open_site(store=MemoryStore(clock=clock)) as site:
        await send(site)
        clock.now += 86_400 * SECOND - 1
        assert seen(await send(site))[1]
        clock.now += 1
        assert not seen(await send(site))[1]
