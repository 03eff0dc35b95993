"""Row 19, nodes: which are there and what each runs, quiet and stop from afar; real processes, some of them killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from tests.features.stopping_jobs import VARIABLE
from tests.processes import TickrProcess
from tests.waiting import eventually

pytestmark = pytest.mark.slow

LEASE_S = 3.0
APP = "tests.features.stopping_jobs:jobs"


def ask(node: TickrProcess, method: str, path: str, **body: Any) -> dict[str, Any]:
    return dict(httpx2.request(method, node.url + path, json=body or None, timeout=10).raise_for_status().json())


def own(node: TickrProcess) -> dict[str, Any]:
    return ask(node, "GET", "/nodes/self")


async def until(node: TickrProcess, path: str, **fields: Any) -> dict[str, Any]:
    """Return what ``node`` says at ``path`` once its ``fields`` are these."""

    async def look() -> dict[str, Any] | None:
        found = await trio.to_thread.run_sync(ask, node, "GET", path)
        return found if fields.items() <= found.items() else None

    return await eventually(look, within_s=20)


@pytest.fixture
def more(tmp_path: Path) -> dict[str, Any]:
    return {
        "app": APP,
        "workers": 4,
        "variables": {VARIABLE: str(tmp_path / "marks")},
        "arguments": ["--lease", str(LEASE_S), "--grace", "20"],
    }


@pytest.fixture
def pair(request: pytest.FixtureRequest, more: dict[str, Any]) -> Iterator[list[TickrProcess]]:
    """Two nodes on one MariaDB and one Redis."""
    store, index = request.getfixturevalue("mysql_url"), request.getfixturevalue("redis_url")
    with ExitStack() as started:
        yield [started.enter_context(TickrProcess(store=store, index=index, **more)) for _ in range(2)]


async def test_a_node_that_was_quieted_stays_quiet_though_the_one_that_asked_is_killed(
    pair: list[TickrProcess],
) -> None:
    asking, other = pair
    mine, its = own(asking)["id"], own(other)["id"]
    fleet = ask(asking, "GET", "/nodes")
    assert (fleet["here"], {node["id"] for node in fleet["items"]}) == (mine, {mine, its})
    assert {node["pid"] for node in fleet["items"]} == {asking.pid, other.pid}

    ask(asking, "POST", f"/nodes/{its}/quiet")
    asking.kill()
    quiet = await until(other, f"/nodes/{its}", state="quiet", obeyed=True)
    assert quiet["id"] == own(other)["id"]
    waiting = ask(other, "POST", "/jobs", type="report", payload={"time": 0})["id"]

    async def alone() -> list[dict[str, Any]] | None:
        nodes = ask(other, "GET", "/nodes")["items"]
        return nodes if len(nodes) == 1 else None

    (left,) = await eventually(alone, within_s=LEASE_S + 5)
    assert (left["id"], left["state"], left["running"]) == (its, "quiet", 0), "a node that was killed leaves the list"
    (reason,) = ask(other, "GET", f"/jobs/{waiting}/explain")["reasons"]
    assert reason["code"] == "nodes_quiet"
    assert ask(other, "GET", f"/jobs/{waiting}")["state"] == "ready"

    await trio.to_thread.run_sync(asking.start)
    assert (await until(asking, f"/jobs/{waiting}", state="succeeded"))["node"] == own(asking)["id"]
    ask(asking, "POST", f"/nodes/{its}/resume")
    await until(other, f"/nodes/{its}", state="running", obeyed=True)


async def test_a_node_is_stopped_by_another_and_ends_what_it_runs(pair: list[TickrProcess]) -> None:
    asking, other = pair
    ask(asking, "POST", "/nodes/self/quiet")
    await until(asking, "/nodes/self", state="quiet", obeyed=True)
    its = own(other)["id"]
    job = ask(asking, "POST", "/jobs", type="report", payload={"time": 3})["id"]
    running = await until(asking, f"/jobs/{job}", state="running")
    shown = ask(asking, "GET", f"/nodes/{its}")
    assert [(one["id"], one["type"], one["attempt"]) for one in shown["jobs"]] == [(job, "report", 1)]
    assert shown["jobs"][0]["since"] == running["started_at"]

    ask(asking, "POST", f"/nodes/{its}/stop")
    assert await trio.to_thread.run_sync(other.wait) == 0
    done = ask(asking, "GET", f"/jobs/{job}")
    assert (done["state"], done["attempt"], done["node"]) == ("succeeded", 1, its)
    assert [node["state"] for node in ask(asking, "GET", "/nodes")["items"]] == ["quiet"]
    told = ask(asking, "GET", "/events?after=earliest&event=node.quieted&event=node.stopping")["events"]
    assert [(event["type"], event["subject"]) for event in told] == [
        ("tickr.node.quieted", own(asking)["id"]),
        ("tickr.node.stopping", its),
    ]


async def test_workers_of_a_live_node_are_changed_by_another(pair: list[TickrProcess]) -> None:
    asking, other = pair
    ask(asking, "POST", "/nodes/self/quiet")
    await until(asking, "/nodes/self", obeyed=True, state="quiet")
    its = own(other)["id"]
    ask(asking, "PATCH", f"/nodes/{its}", slots=7)
    await until(asking, f"/nodes/{its}", obeyed=True)
    for _ in range(9):
        ask(asking, "POST", "/jobs", type="prompt", timeout=600)
    await until(asking, f"/nodes/{its}", running=7, slots=7)
    assert ask(asking, "GET", "/queues/default")["ready"] == 2


async def test_signals_quiet_a_node_and_resume_it_on_a_file_without_a_bell(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    store = f"sqlite:///{tmp_path}/shared.db"
    with TickrProcess(store=store, **more) as one, TickrProcess(store=store, **more) as other:
        its = own(other)["id"]
        one._signal(signal.SIGTSTP)
        await until(other, f"/nodes/{own(one)['id']}", state="quiet", obeyed=True)
        ask(one, "POST", f"/nodes/{its}/quiet")
        await until(one, f"/nodes/{its}", state="quiet", obeyed=True)
        other._signal(signal.SIGCONT)  # as after SIGSTOP: it was not by a signal that it got quiet
        one._signal(signal.SIGCONT)
        await until(other, f"/nodes/{own(one)['id']}", state="running", obeyed=True)
        assert own(other)["state"] == "quiet"
        job = ask(other, "POST", "/jobs", type="report", payload={"time": 0})["id"]
        assert (await until(other, f"/jobs/{job}", state="succeeded"))["node"] == own(one)["id"]


async def test_a_long_stop_is_seen_by_the_others(pair: list[TickrProcess]) -> None:
    asking, other = pair
    ask(asking, "POST", "/nodes/self/quiet")
    await until(asking, "/nodes/self", obeyed=True, state="quiet")
    its = own(other)["id"]
    job = ask(asking, "POST", "/jobs", type="report", payload={"time": 5})["id"]
    await until(asking, f"/jobs/{job}", state="running")
    other.terminate()
    stopping = await until(asking, f"/nodes/{its}", state="stopping")
    assert [one["id"] for one in stopping["jobs"]] == [job]
    assert await trio.to_thread.run_sync(other.wait) == 0
    assert ask(asking, "GET", f"/jobs/{job}")["state"] == "succeeded"


async def test_a_signal_writes_where_the_handlers_of_a_live_node_stand(tmp_path: Path, more: dict[str, Any]) -> None:
    with TickrProcess(store="memory:", **more) as node:
        ids = {kind: ask(node, "POST", "/jobs", type=kind)["id"] for kind in ("prompt", "thread")}
        for job in ids.values():
            await until(node, f"/jobs/{job}", state="running")

        async def stacks() -> dict[str, str] | None:
            found = {one["id"]: one["stack"] for one in ask(node, "GET", "/nodes/self/stacks")["items"]}
            return found if all(found.get(job) for job in ids.values()) else None

        told = await eventually(stacks)
        assert "await trio.sleep_forever()" in told[ids["prompt"]]
        assert "time.sleep(STEP_S)" in told[ids["thread"]]
        assert "in_thread" in told[ids["thread"]]

        node._signal(signal.SIGTTIN)

        async def logged() -> bool:
            lines = [line for line in node.log.splitlines() if '"job.stack"' in line]
            return len(lines) == 2 and all(any(job in line for line in lines) for job in ids.values())

        await eventually(logged)
        assert node.running
        for job in ids.values():
            assert ask(node, "GET", f"/jobs/{job}")["state"] == "running"
        node.kill()
