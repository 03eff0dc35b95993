"""``unique``: a second job with the same key is not stored beside the first, and who asks is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.site import Site, open_site
from tests.api.submitting import open_submitter
from tests.store.backends import SteppedClock, end, start
from tickr.errors import StoreUnavailable
from tickr.handle import Handle, Stop
from tickr.index.heap import HeapIndex
from tickr.jobs import Job
from tickr.store.memory import MemoryStore

PAGE = "/jobs?unique_key="


async def submit(site: Site, key: str = "k", **unique: Any) -> Any:
    answer = await site.post(type="a", unique={"key": key, **unique})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def run(site: Site, job: Any) -> Job:
    found = await site.store.get(job["id"])
    assert found is not None
    (running,) = await start(site.store, found)
    return running


# -- the field --------------------------------------------------------------------------------------------------------


async def test_the_key_is_shown_with_the_job(site: Site) -> None:
    plain = await site.post(type="a")
    assert plain.json()["unique"] is None
    named = [("final", "final"), ("started", "started")]
    for until, shown in (*named, (60, 60), (0.5, 0.5), (1.0, 1), (0.000_000_1, 0.000_001)):
        job = await submit(site, f"k {until} ☃", until=until)
        assert job["unique"] == {"key": f"k {until} ☃", "until": shown}
        assert (await site.http.get(f"/jobs/{job['id']}")).json()["unique"] == job["unique"]
    assert (await submit(site))["unique"] == {"key": "k", "until": "final"}


@pytest.mark.parametrize(
    ("unique", "pointers"),
    [
        ("k", ["/unique"]),
        (None, ["/unique"]),
        ({}, ["/unique"]),
        ({"key": ""}, ["/unique/key"]),
        ({"key": "x" * 256}, ["/unique/key"]),
        ({"key": 7}, ["/unique/key"]),
        ({"key": "k", "until": 0}, ["/unique/until"]),
        ({"key": "k", "until": 366 * 86_400}, ["/unique/until"]),
        ({"key": "k", "until": "never"}, ["/unique/until"]),
        ({"key": "k", "until": None}, ["/unique/until"]),
        ({"key": "k", "on_conflict": "ignore"}, ["/unique/on_conflict"]),
        ({"key": "k", "by": "type"}, ["/unique"]),
    ],
)
async def test_what_is_wrong_with_it_is_told(site: Site, unique: Any, pointers: list[str]) -> None:
    answer = await site.post(type="a", unique=unique)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == pointers
    assert "only key is required" in answer.json()["errors"][0]["detail"]
    assert await site.rows() == []


async def test_255_characters_of_any_kind_are_a_key(site: Site) -> None:
    key = "😀" * 255
    job = await submit(site, key)
    assert job["unique"]["key"] == key
    assert (await site.post(type="a", unique={"key": key})).json()["id"] == job["id"]
    assert (await site.http.get("/jobs", params={"unique_key": key})).json()["items"][0]["id"] == job["id"]


# -- what is answered -------------------------------------------------------------------------------------------------


async def test_by_default_the_holder_is_the_answer(site: Site) -> None:
    holder = await submit(site)
    answer = await site.post(type="b", unique={"key": "k"})
    assert (answer.status_code, answer.headers["location"]) == (200, f"/jobs/{holder['id']}")
    assert (answer.headers["tickr-unique"], "idempotent-replayed" in answer.headers) == ("held", False)
    assert answer.json() == holder
    await run(site, holder)
    assert (await site.post(type="b", unique={"key": "k"})).json()["state"] == "running"
    assert len(await site.rows()) == 1


async def test_who_is_created_is_told_so(site: Site) -> None:
    answer = await site.post(type="a", unique={"key": "k"})
    assert (answer.status_code, "tickr-unique" in answer.headers) == (201, False)


async def test_a_conflict_may_be_refused(site: Site) -> None:
    holder = await submit(site)
    answer = await site.post(type="a", unique={"key": "k", "on_conflict": "reject"})
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    problem = answer.json()
    assert (problem["code"], problem["job_id"]) == ("unique_conflict", holder["id"])
    assert problem["detail"] == f"Job {holder['id']} holds this unique key; it waits."


async def test_the_newest_may_replace_one_that_waits() -> None:
    index = HeapIndex()
    async with open_site(index=index) as site:
        first = await submit(site, until="final")
        second = await submit(site, on_conflict="replace")
        old = (await site.http.get(f"/jobs/{first['id']}")).json()
        assert (old["state"], old["error"]["kind"]) == ("cancelled", "replaced")
        assert second["id"] in old["error"]["message"]
        events = (await site.http.get("/events?after=earliest")).json()["events"]
        assert [(event["type"], event["subject"]) for event in events] == [
            ("tickr.job.created", first["id"]),
            ("tickr.job.cancelled", first["id"]),
            ("tickr.job.created", second["id"]),
        ]
        assert events[1]["data"]["error"]["kind"] == "replaced"
        entries = [hint.id for hint in await index.pop(["default"], 10)]
        assert entries == [second["id"]]


async def test_one_that_runs_is_not_replaced(site: Site) -> None:
    holder = await submit(site)
    await run(site, holder)
    answer = await site.post(type="a", unique={"key": "k", "on_conflict": "replace"})
    assert (answer.status_code, answer.json()["code"]) == (409, "unique_conflict")
    assert "it runs" in answer.json()["detail"]


async def test_a_finished_job_holds_its_key_no_longer(site: Site) -> None:
    holder = await submit(site)
    await end(site.store, await run(site, holder), "succeeded")
    assert (await submit(site))["id"] != holder["id"]


async def test_or_as_long_as_it_was_said() -> None:
    clock = SteppedClock()
    async with open_site(store=MemoryStore(clock=clock)) as site:
        holder = await submit(site, until=60)
        await end(site.store, await run(site, holder), "succeeded")
        clock.advance(59)
        answer = await site.post(type="a", unique={"key": "k"})
        assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
        clock.advance(1)
        assert (await submit(site))["id"] != holder["id"]


async def test_the_same_id_is_the_same_job(site: Site) -> None:
    said = {"type": "a", "id": "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c", "unique": {"key": "k"}}
    assert (await site.post(**said)).status_code == 201
    again = await site.post(**said)
    assert (again.status_code, again.headers["idempotent-replayed"], "tickr-unique" in again.headers) == (
        200,
        "true",
        False,
    )
    other = await site.post(**{**said, "unique": {"key": "another"}})
    assert (other.status_code, other.json()["code"]) == (409, "duplicate_job")


async def test_who_runs_again_needs_the_key(site: Site) -> None:
    first = await submit(site)
    await site.http.post(f"/jobs/{first['id']}/cancel")
    second = await submit(site)
    refused = await site.http.post(f"/jobs/{first['id']}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "unique_conflict")
    assert refused.json()["job_id"] == second["id"]
    await site.http.post(f"/jobs/{second['id']}/cancel")
    assert (await site.http.post(f"/jobs/{first['id']}/retry")).json()["state"] == "ready"
    assert (await site.http.get(PAGE + "k")).json()["items"][0]["id"] == first["id"]


async def test_a_503_names_the_job_as_for_any_other() -> None:
    class Away(MemoryStore):
        async def insert(self, *args: Any, **how: Any) -> Any:
            raise StoreUnavailable("cut", outcome_unknown=True)

    async with open_site(store=Away()) as site:
        answer = await site.post(type="a", unique={"key": "k"})
        assert (answer.status_code, "job_id" in answer.json()) == (503, True)


# -- who holds it -----------------------------------------------------------------------------------------------------


async def test_one_may_ask_who_holds_a_key(site: Site) -> None:
    holder = await submit(site, "invoice 42/é")
    page = (await site.http.get("/jobs", params={"unique_key": "invoice 42/é"})).json()
    assert page == {"items": [holder], "next_cursor": None, "feed_cursor": page["feed_cursor"]}
    assert (await site.http.get(PAGE + "another")).json()["items"] == []
    await site.http.post(f"/jobs/{holder['id']}/cancel")
    assert (await site.http.get("/jobs", params={"unique_key": "invoice 42/é"})).json()["items"] == []


@pytest.mark.parametrize("query", ["k&state=ready", "k&limit=1", "k&unique_key=l", "", "x" * 256])
async def test_that_question_stands_alone(site: Site, query: str) -> None:
    answer = await site.http.get(PAGE + query)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/unique_key")


# -- batches and streams ----------------------------------------------------------------------------------------------


async def test_in_a_batch_each_is_answered_by_itself(site: Site) -> None:
    first = {"type": "a", "unique": {"key": "k"}}
    reject = {"type": "a", "unique": {"key": "k", "on_conflict": "reject"}}
    results = (await site.post("/jobs/batch", jobs=[{"type": "a"}, first, first, reject, {"type": "b"}])).json()[
        "results"
    ]
    assert [result["status"] for result in results] == [201, 201, 200, 409, 201]
    assert results[2] == {"index": 2, "status": 200, "id": results[1]["id"], "held": True}
    assert (results[3]["error"]["code"], results[3]["error"]["job_id"]) == ("unique_conflict", results[1]["id"])
    assert len(await site.rows()) == 3


async def test_a_whole_is_refused_for_one_conflict(site: Site) -> None:
    holder = await submit(site)
    reject = {"type": "a", "unique": {"key": "k", "on_conflict": "reject"}}
    answer = await site.post("/jobs/batch", jobs=[{"type": "a"}, reject], atomic=True)
    assert (answer.status_code, answer.json()["code"]) == (409, "unique_conflict")
    assert answer.json()["job_id"] == holder["id"]
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/jobs/1/unique/key"]
    kept = {"type": "a", "unique": {"key": "k"}}
    results = (await site.post("/jobs/batch", jobs=[{"type": "a"}, kept], atomic=True)).json()["results"]
    assert results[1] == {"index": 1, "status": 200, "id": holder["id"], "held": True}
    assert len(await site.rows()) == 2


async def test_a_whole_that_replaces(site: Site) -> None:
    holder = await submit(site)
    new = {"type": "a", "unique": {"key": "k", "on_conflict": "replace"}}
    results = (await site.post("/jobs/batch", jobs=[new, {"type": "a"}], atomic=True)).json()["results"]
    assert [result["status"] for result in results] == [201, 201]
    assert (await site.http.get(f"/jobs/{holder['id']}")).json()["state"] == "cancelled"


async def test_on_a_stream_each_is_answered_by_itself(site: Site) -> None:
    async with open_submitter(site) as client:
        said = [
            {"ref": 0, "type": "a"},
            {"ref": 1, "type": "a", "unique": {"key": "k"}},
            {"ref": 2, "type": "a", "unique": {"key": "k"}},
            {"ref": 3, "type": "a", "unique": {"key": "k", "on_conflict": "reject"}},
            {"ref": 4, "type": "a", "unique": {"key": ""}},
            {"ref": 5, "type": "a"},
        ]
        await client.send(said)
        answers = {answer["ref"]: answer for answer in await client.answers(len(said))}
        holder = answers[1]["id"]
        assert set(answers[0]) == set(answers[1]) == set(answers[5]) == {"ref", "id", "state"}
        assert answers[2] == {"ref": 2, "id": holder, "state": "ready", "held": True}
        assert (answers[3]["error"]["code"], answers[3]["error"]["job_id"]) == ("unique_conflict", holder)
        assert answers[4]["error"]["errors"][0]["pointer"] == "/unique/key"
    assert len(await site.rows()) == 3


async def test_on_a_stream_the_last_one_sent_is_the_one_that_stays(site: Site) -> None:
    async with open_submitter(site) as client:
        for number in range(50):
            await client.send(
                {"ref": number, "type": "a", "payload": number, "unique": {"key": "k", "on_conflict": "replace"}}
            )
        await client.answers(50)
    (page,) = (await site.http.get(PAGE + "k")).json()["items"]
    assert page["payload"] == 49
    assert sum(job.state.value == "ready" for job in await site.rows()) == 1


async def test_a_stream_takes_many_with_keys_and_without(site: Site) -> None:
    async with open_submitter(site) as client:
        jobs = [{"ref": n, "type": "a"} | ({"unique": {"key": f"{n % 500}"}} if n % 2 else {}) for n in range(3000)]
        for at in range(0, 3000, 1000):
            await client.send(jobs[at : at + 1000])
        answers = await client.answers(3000)
    assert sum("held" in answer for answer in answers) == 1500 - 250
    assert {answer["ref"] for answer in answers} == set(range(3000))


# -- embedded ---------------------------------------------------------------------------------------------------------


async def test_a_program_that_embeds_tickr_is_given_the_holder(site: Site) -> None:
    handle = Handle(site.context, Stop(), None, None)  # type: ignore[arg-type]
    first = await handle.submit("a", unique={"key": "k"})
    assert await handle.submit("b", unique={"key": "k"}) == first
