"""``kill -9`` while many jobs are submitted at once: what was answered is stored, the rest can be sent again.

A stream, batches and wholes are cut off at every point between reading a job and its answer, and at any moment. The
client sends everything again under the same ids to the node that is started in its place.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from tests.api.submitting import Submitter
from tests.feed_clients import connect
from tests.processes import TickrProcess
from tickr.failpoints import VARIABLE

pytestmark = pytest.mark.slow

TOTAL, EACH = 2_000, 100
PASSES = 3
"""How many flushes or answers go well before the one that kills."""
OWN = 15
"""About so many transactions a node makes for itself at its start: they pass the points of the store, too."""
WITHIN_S = 60.0
BUSY = 503
"""What a machine with much else to do may answer: no end of the transaction in time."""
POINTS = [
    *("intake.before_store", "store.before_commit", "store.after_commit", "intake.after_commit"),
    *("announce.after_index", "intake.after_announce", "api.before_answer"),
]
WAYS = ["stream", "batch", "whole"]

Job = dict[str, Any]


def jobs() -> list[Job]:
    names = [str(uuid.uuid4()) for _ in range(TOTAL)]
    return [{"id": name, "type": "noop", "payload": {"n": number}} for number, name in enumerate(names)]


def batches(given: Sequence[Job]) -> list[Sequence[Job]]:
    return [given[start : start + EACH] for start in range(0, len(given), EACH)]


async def submit(way: str, node: TickrProcess, given: Sequence[Job], answered: dict[str, bool]) -> None:
    """Submit until everything is answered or the node is gone; ``answered``: whether each job was stored already."""
    with trio.fail_after(WITHIN_S):
        await (by_stream(node, given, answered) if way == "stream" else by_batches(way, node, given, answered))


async def by_stream(node: TickrProcess, given: Sequence[Job], answered: dict[str, bool]) -> None:
    async with await connect(node.port) as stream, trio.open_nursery() as nursery:
        client = Submitter(stream)
        await client.open()
        named = {job["id"]: job for job in given}
        window = trio.Semaphore(2)  # otherwise all of it makes two transactions

        async def send_all() -> None:
            try:
                for part in batches(given):
                    await window.acquire()
                    await client.send([{"ref": job["id"], **job} for job in part])
            except trio.BrokenResourceError:
                return

        nursery.start_soon(send_all)
        while len(answered) < len(given):
            frame = await client.frame()
            if frame is None:
                nursery.cancel_scope.cancel()
                return
            for answer in client.answers_in(frame):
                if "error" in answer:
                    assert answer["error"]["status"] == BUSY, answer
                    await client.send([{"ref": answer["ref"], **named[answer["ref"]]}])
                    continue
                assert answer["ref"] == answer["id"]
                answered[answer["id"]] = answer.get("replayed", False)
                if len(answered) % EACH == 0:
                    window.release()


async def by_batches(way: str, node: TickrProcess, given: Sequence[Job], answered: dict[str, bool]) -> None:
    async with httpx2.AsyncClient(base_url=node.url, timeout=WITHIN_S, trust_env=False) as http:
        left = batches(given)
        while left:
            try:
                answer = await http.post("/jobs/batch", json={"jobs": left[0], "atomic": way == "whole"})
            except httpx2.TransportError:
                return
            if answer.status_code == BUSY:
                continue
            assert answer.status_code == 200, answer.text
            results = answer.json()["results"]
            answered.update({result["id"]: result["status"] == 200 for result in results if "id" in result})
            met = {result["status"] for result in results}
            assert met <= {200, 201, BUSY}, results
            if way == "whole":
                assert len(met) == 1, "a whole was stored in part"
            if BUSY not in met:
                left.pop(0)


def node_on(store: str, failpoints: str = "") -> TickrProcess:
    variables = {VARIABLE: failpoints} if failpoints else {}
    return TickrProcess(
        store=store, index="heap:", workers=1, arguments=["--log-level", "warning"], variables=variables
    )


async def judge(way: str, store: str, given: list[Job], answered: dict[str, bool]) -> None:
    """Send everything again to a node that is started now."""
    assert len(answered) < TOTAL
    heir, again = node_on(store), dict[str, bool]()
    try:
        await trio.to_thread.run_sync(heir.start)
        await submit(way, heir, given, again)
        assert set(again) == {job["id"] for job in given}
        assert [name for name in answered if not again[name]] == []
        assert await stored(heir) == {job["id"] for job in given}
    finally:
        await trio.to_thread.run_sync(heir.close)


async def stored(node: TickrProcess) -> set[str]:
    found: set[str] = set()
    cursor: dict[str, str] = {}
    async with httpx2.AsyncClient(base_url=node.url, trust_env=False) as http:
        while True:
            page = (await http.get("/jobs", params={"limit": "200", **cursor})).json()
            found.update(job["id"] for job in page["items"])
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("point", POINTS)
async def test_nothing_that_was_answered_is_lost_when_a_node_is_killed_at(way: str, point: str, tmp_path: Path) -> None:
    store, given, answered = f"sqlite:///{tmp_path}/tickr.db", jobs(), dict[str, bool]()
    passes = PASSES + (OWN if point.startswith("store") else 1)
    victim = node_on(store, f"{point}=kill@{passes}")
    try:
        await trio.to_thread.run_sync(victim.start)
        await submit(way, victim, given, answered)
        await trio.to_thread.run_sync(partial(victim.wait, WITHIN_S))
        assert f"failpoint {point}: kill\n" in victim.log, victim.log[-2000:]
    finally:
        await trio.to_thread.run_sync(victim.close)
    await judge(way, store, given, answered)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("backend", ["sqlite", "mysql"])
async def test_nothing_that_was_answered_is_lost_when_a_node_is_killed(
    way: str, backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = f"sqlite:///{tmp_path}/tickr.db" if backend == "sqlite" else str(request.getfixturevalue("mysql_url"))
    given, answered = jobs(), dict[str, bool]()
    victim = node_on(store)
    try:
        await trio.to_thread.run_sync(victim.start)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit, way, victim, given, answered)
            while not answered:
                await trio.lowlevel.checkpoint()
            await trio.to_thread.run_sync(victim.kill)
    finally:
        await trio.to_thread.run_sync(victim.close)
    assert answered
    await judge(way, store, given, answered)
