"""``GET /jobs/<id>/tree``, and what a job says of its family."""

from __future__ import annotations

import uuid

import pytest
from msgspec.structs import replace

from tests.api.site import Site
from tests.api.test_jobs import NODE, UNKNOWN, create, start
from tests.store.linked import child_of, dependent
from tickr.api import tree
from tickr.jobs import Job, NewJob
from tickr.reasons import CHILDREN, Failure
from tickr.reports import Outcome


async def parent_of(site: Site, job: Job, *names: str) -> list[Job]:
    return await site.store.spawn(
        job, [child_of(job, NewJob(id=str(uuid.uuid4()), type="a"), name=name) for name in names]
    )


async def running(site: Site, job_id: str) -> Job:
    (job,) = await start(site, job_id)
    return job


async def test_a_job_alone_is_a_tree(site: Site) -> None:
    job_id = await create(site)
    answer = await site.http.get(f"/jobs/{job_id}/tree")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["parent"], told["complete"], told["tree"]["children"]) == (None, True, [])
    assert (told["tree"]["id"], told["tree"]["state"], told["tree"]["depends_on"]) == (job_id, "ready", [])
    assert (await site.http.get(f"/jobs/{UNKNOWN}/tree")).status_code == 404
    assert (await site.http.get("/jobs/nonsense/tree")).status_code == 400
    assert (await site.http.get(f"/jobs/{job_id}/tree?x=1")).status_code == 400


async def test_a_tree_has_its_branches_in_their_order(site: Site) -> None:
    root = await running(site, await create(site))
    second, first = await parent_of(site, root, "b", "a")
    (leaf,) = await parent_of(site, await running(site, second.id), "c")
    last = child_of(root, dependent(second, first), name="last")
    await site.store.spawn(root, [replace(last, type="a")])
    failed = await running(site, first.id)
    await site.store.finish([Outcome(job=failed, kind="failed", failure=Failure("give_up", "no", "trace"))])
    told = (await site.http.get(f"/jobs/{root.id}/tree")).json()
    shown = [(one["name"], one["state"], len(one["children"])) for one in told["tree"]["children"]]
    assert shown == [("b", "running", 1), ("a", "failed", 0), ("last", "blocked", 0)]
    assert told["tree"]["children"][2]["depends_on"] == [second.id, first.id]
    assert told["tree"]["children"][1]["error"] == {"kind": "give_up", "message": "no", "traceback": None}
    below = (await site.http.get(f"/jobs/{second.id}/tree")).json()
    assert (below["parent"], below["tree"]["children"][0]["id"]) == (root.id, leaf.id)
    assert (await site.http.get(f"/jobs/{leaf.id}")).json()["parent"] == second.id


async def test_of_a_large_tree_some_is_shown(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    root = await running(site, await create(site))
    children = await parent_of(site, root, "1", "2", "3")
    monkeypatch.setattr(tree, "MAX_JOBS", 3)
    told = (await site.http.get(f"/jobs/{root.id}/tree")).json()
    assert ([one["name"] for one in told["tree"]["children"]], told["complete"]) == (["1", "2"], False)
    monkeypatch.setattr(tree, "MAX_JOBS", 4)
    assert (await site.http.get(f"/jobs/{root.id}/tree")).json()["complete"]
    monkeypatch.setattr(tree, "MAX_DEPTH", 1)
    assert (await site.http.get(f"/jobs/{root.id}/tree")).json()["complete"]
    await parent_of(site, await running(site, children[0].id), "4")
    assert not (await site.http.get(f"/jobs/{root.id}/tree")).json()["complete"]


async def test_explain_says_which_children_a_parent_waits_for(site: Site) -> None:
    root = await running(site, await create(site))
    (child,) = await parent_of(site, root, "1")
    await site.store.finish([Outcome(job=root, kind="retried", failure=CHILDREN)])
    answer = await site.http.post(f"/jobs/{root.id}/cancel", json={"reason": "enough"})
    assert (answer.status_code, answer.json()["state"]) == (202, "blocked")
    (reason,) = (await site.http.get(f"/jobs/{root.id}/explain")).json()["reasons"]
    assert reason["code"] == "blocked"
    assert reason["detail"] == "It waits for 1 job that it has submitted, and is cancelled then."
    assert reason["jobs"] == [{"id": child.id, "type": "a", "state": "ready"}]
    assert root.node == NODE
