"""Sequences on the wire: the field, what is said of a job that waits for its turn, and what is refused."""

from __future__ import annotations

import pytest

from tests.api.conftest import Site

SCHEDULE = {"every": 60, "job": {"type": "a", "sequence": "s"}}


async def create(site: Site, **fields: object) -> dict[str, object]:
    answer = await site.http.post("/jobs", json={"type": "a", **fields})
    assert answer.status_code == 201, answer.text
    shown: dict[str, object] = answer.json()
    return shown


async def test_a_job_shows_its_sequence_and_explain_whose_turn_it_is(site: Site) -> None:
    first = await create(site, sequence="customer-7")
    second = await create(site, sequence="customer-7", queue="elsewhere")
    third = await create(site, sequence="customer-7", depends_on=[first["id"]])
    assert [job["sequence"] for job in (first, second, await create(site))] == ["customer-7", "customer-7", None]
    assert [job["state"] for job in (first, second, third)] == ["ready", "blocked", "blocked"]
    (reason,) = (await site.http.get(f"/jobs/{second['id']}/explain")).json()["reasons"]
    assert reason["code"] == "blocked"
    assert reason["detail"] == 'It waits for 1 job that came before it in the sequence "customer-7".'
    assert reason["jobs"] == [{"id": first["id"], "type": "a", "state": "ready"}]
    (reason,) = (await site.http.get(f"/jobs/{third['id']}/explain")).json()["reasons"]
    assert {job["id"] for job in reason["jobs"]} == {first["id"], second["id"]}
    assert "that it depends on, or that came before it" in reason["detail"]


async def test_a_batch_is_in_its_order_also_where_jobs_depend_on_each_other(site: Site) -> None:
    ids = [f"01a20400-0000-7000-8000-00000000000{n}" for n in range(5)]
    jobs = [{"type": "a", "id": id_, "sequence": "s"} for id_ in ids]
    jobs[3]["depends_on"] = [ids[1]]  # type: ignore[assignment]
    answer = await site.http.post("/jobs/batch", json={"jobs": jobs})
    assert [one["status"] for one in answer.json()["results"]] == [201] * 5
    found = {job.id: job.extras.sequence for job in await site.store.get_many(ids)}
    assert [turn.after for turn in map(found.get, ids) if turn] == [None, *ids[:-1]]


@pytest.mark.parametrize("wrong", ["", "a b", "x" * 129, 7, None, "é"])
async def test_what_is_no_name_is_refused(site: Site, wrong: object) -> None:
    answer = await site.http.post("/jobs", json={"type": "a", "sequence": wrong})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/sequence")


async def test_a_schedule_has_no_sequence(site: Site) -> None:
    answer = await site.http.put("/schedules/nightly", json=SCHEDULE)
    (fault,) = answer.json()["errors"]
    assert (answer.status_code, fault["pointer"]) == (422, "/job/sequence")
