"""``kill -9`` while jobs with keys come in: whoever asks again gets the first answer, and there is never a second job.

Nodes are killed at every point between a request and its answer, while the same requests go to another node at the
same time, and come again once one of the two is dead.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
import trio

from tests.processes import TickrProcess
from tickr.failpoints import VARIABLE

pytestmark = pytest.mark.slow

TOTAL, CLIENTS, KEYS = 60, 6, 20
PASSES = 3
"""How many flushes or answers go well before the one that kills."""
WITHIN_S = 60.0
POINTS = [
    *("intake.before_store", "store.before_commit", "store.after_commit", "intake.after_commit"),
    *("announce.after_index", "intake.after_announce", "api.before_answer"),
]
FEW_POINTS = ["intake.before_store", "store.before_commit", "intake.after_commit", "api.before_answer"]


class Request(NamedTuple):
    """A body, and the idempotency key under which it is sent, again and again."""

    key: str
    body: bytes


class Told(NamedTuple):
    """An answer to a request."""

    status: int
    job: dict[str, Any]


def requests(**fields: Any) -> list[Request]:
    return [
        Request(str(uuid.uuid4()), json.dumps({"type": "later", "payload": {"n": n}, "delay": 3600, **fields}).encode())
        for n in range(TOTAL)
    ]


def node_on(store: str, *, killed_at: str = "", passes: int = PASSES) -> TickrProcess:
    if killed_at.startswith("store") and store.startswith("sqlite"):
        passes += 11  # its own transactions pass them, too
    variables = {VARIABLE: f"{killed_at}=kill@{passes + 1}"} if killed_at else {}
    arguments = ["--log-level", "warning"]
    return TickrProcess(store=store, index="heap:", workers=1, arguments=arguments, variables=variables)


async def ask(http: httpx2.AsyncClient, request: Request) -> Told | None:
    """Ask until there is an answer that counts; None if there is nobody to ask any more."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": request.key}
    while True:
        try:
            answer = await http.post("/jobs", content=request.body, headers=headers)
        except httpx2.TransportError:
            return None
        if answer.status_code != 503:  # what a busy machine may say: no end of the transaction in time
            return Told(answer.status_code, answer.json())


async def ask_all(wanted: Sequence[Request], told: dict[str, list[Told]], *nodes: TickrProcess) -> None:
    """Send each of ``wanted`` to all ``nodes`` at the same time, by several clients, until all are answered.

    A node that is gone answers nothing any more.
    """
    left = list(reversed(wanted))
    async with AsyncExitStack() as stack:
        https = [
            await stack.enter_async_context(httpx2.AsyncClient(base_url=node.url, timeout=WITHIN_S, trust_env=False))
            for node in nodes
        ]

        async def ask_one(http: httpx2.AsyncClient, request: Request) -> None:
            if (answer := await ask(http, request)) is not None:
                told.setdefault(request.key, []).append(answer)

        async def client() -> None:
            while left:
                request = left.pop()
                async with trio.open_nursery() as asking:
                    for http in https:
                        asking.start_soon(ask_one, http, request)

        with trio.fail_after(WITHIN_S):
            async with trio.open_nursery() as nursery:
                for _ in range(CLIENTS):
                    nursery.start_soon(client)


async def stored(node: TickrProcess) -> list[dict[str, Any]]:
    async with httpx2.AsyncClient(base_url=node.url, trust_env=False) as http:
        page = (await http.get("/jobs", params={"limit": "200"})).json()
        assert page["next_cursor"] is None
        found: list[dict[str, Any]] = page["items"]
        return found


async def start(*nodes: TickrProcess) -> None:
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(trio.to_thread.run_sync, node.start)


def assert_dead(victim: TickrProcess, point: str) -> None:
    assert f"failpoint {point}: kill\n" in victim.log, victim.log[-2000:]


def assert_the_same_each_time(wanted: Sequence[Request], told: dict[str, list[Told]]) -> None:
    for request in wanted:
        first, *others = told[request.key]
        assert first.status == 201, first
        assert others == [first] * len(others)


@pytest.mark.parametrize("point", POINTS)
async def test_the_same_request_after_a_kill_is_the_same_job(point: str, tmp_path: Path) -> None:
    store, wanted, told = f"sqlite:///{tmp_path}/tickr.db", requests(), dict[str, list[Told]]()
    with ExitStack() as stack:
        victim, heir = node_on(store, killed_at=point), node_on(store)
        for node in (victim, heir):
            stack.callback(node.close)
        await start(victim)
        await ask_all(wanted, told, victim)
        await trio.to_thread.run_sync(partial(victim.wait, WITHIN_S))
        assert_dead(victim, point)
        assert len(told) < TOTAL
        await start(heir)
        for _ in range(2):
            await ask_all(wanted, told, heir)
        assert_the_same_each_time(wanted, told)
        found = await stored(heir)
        assert sorted(job["payload"]["n"] for job in found) == list(range(TOTAL))
        assert {job["id"] for job in found} == {answers[0].job["id"] for answers in told.values()}


@pytest.mark.parametrize("point", POINTS)
async def test_the_same_request_to_two_nodes_of_which_one_dies_is_one_job(point: str, mysql_url: str) -> None:
    wanted, told = requests(), dict[str, list[Told]]()
    with ExitStack() as stack:
        victim, other = node_on(mysql_url, killed_at=point), node_on(mysql_url)
        for node in (victim, other):
            stack.callback(node.close)
        await start(victim, other)
        await ask_all(wanted, told, victim, other)
        await trio.to_thread.run_sync(partial(victim.wait, WITHIN_S))
        assert_dead(victim, point)
        await ask_all(wanted, told, other)
        assert_the_same_each_time(wanted, told)
        assert sorted(job["payload"]["n"] for job in await stored(other)) == list(range(TOTAL))


@pytest.mark.parametrize("point", FEW_POINTS)
async def test_a_unique_key_is_held_by_one_job_whoever_dies(point: str, mysql_url: str) -> None:
    wanted, told = [], dict[str, list[Told]]()
    for at, request in enumerate(requests()):
        body = json.loads(request.body) | {"unique": {"key": f"k{at % KEYS}"}}
        wanted.append(request._replace(body=json.dumps(body).encode()))
    with ExitStack() as stack:
        victim, other = node_on(mysql_url, killed_at=point, passes=0), node_on(mysql_url)  # few are stored at all
        for node in (victim, other):
            stack.callback(node.close)
        await start(victim, other)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_all, wanted, told, victim)
            nursery.start_soon(ask_all, list(reversed(wanted)), told, other)
        await trio.to_thread.run_sync(partial(victim.wait, WITHIN_S))
        assert_dead(victim, point)
        await ask_all(wanted, told, other)
        found = await stored(other)
        assert Counter(job["unique"]["key"] for job in found) == {f"k{n}": 1 for n in range(KEYS)}
        holders = {job["unique"]["key"]: job["id"] for job in found}
        for at, request in enumerate(wanted):
            assert {answer.job["id"] for answer in told[request.key]} == {holders[f"k{at % KEYS}"]}


@pytest.mark.parametrize("point", FEW_POINTS)
async def test_of_those_that_replace_each_other_one_is_left_whoever_dies(point: str, mysql_url: str) -> None:
    wanted, told = [], dict[str, list[Told]]()
    for at, request in enumerate(requests()):
        body = json.loads(request.body) | {"unique": {"key": f"k{at % KEYS}", "on_conflict": "replace"}}
        wanted.append(request._replace(body=json.dumps(body).encode()))
    with ExitStack() as stack:
        victim, other = node_on(mysql_url, killed_at=point), node_on(mysql_url)
        for node in (victim, other):
            stack.callback(node.close)
        await start(victim, other)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_all, wanted[::2], told, victim)
            nursery.start_soon(ask_all, wanted[1::2], told, other)
        await trio.to_thread.run_sync(partial(victim.wait, WITHIN_S))
        assert_dead(victim, point)
        await ask_all(wanted, told, other)
        assert_the_same_each_time(wanted, told)
        found = await stored(other)
        assert sorted(job["payload"]["n"] for job in found) == list(range(TOTAL))
        waiting = [job for job in found if job["state"] == "scheduled"]
        assert Counter(job["unique"]["key"] for job in waiting) == {f"k{n}": 1 for n in range(KEYS)}
        gone = [job for job in found if job["state"] == "cancelled"]
        assert len(gone) == TOTAL - KEYS
        assert {job["error"]["kind"] for job in gone} == {"replaced"}
