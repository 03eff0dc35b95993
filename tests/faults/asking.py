"""Clients that submit jobs over HTTP, each with an id of its own, and keep every answer.

State: ``Askers.answers`` is written here alone; tests read it.
"""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

import httpx2
import trio

from tests.servers import mysql_execute
from tests.waiting import eventually
from tickr.jobs import State
from tickr.store.contract import STATE_CODES

YES = {200, 201}
ANSWERED_WITHIN_S = 2.0
"""Within which a store that is away must have been told of."""
MARGIN_S = 0.5
"""For the way there and back on a busy machine."""


class Answer(NamedTuple):
    """What was answered to one submission, and how long that took. ``at``: when it was asked, trio's time."""

    job: str
    status: int
    body: dict[str, Any]
    retry_after: str | None
    at: float
    took_s: float


class Askers:
    """Submit jobs through ``http``, all of one kind."""

    def __init__(self, http: httpx2.AsyncClient, **job: Any) -> None:
        self._http = http
        self._job = job
        self.answers: list[Answer] = []

    async def submit(self, job_id: str | None = None, **fields: Any) -> Answer:
        """Submit one job, once."""
        job_id = job_id or str(uuid.uuid4())
        at = trio.current_time()
        answer = await self._http.post("/jobs", json={"id": job_id, **self._job, **fields})
        took_s = trio.current_time() - at
        told = Answer(job_id, answer.status_code, answer.json(), answer.headers.get("Retry-After"), at, took_s)
        self.answers.append(told)
        return told

    async def run(self, over: trio.Event, *, askers: int = 4, pause_s: float = 0.02) -> None:
        """Submit until ``over``, so many at once, each one job after the other."""

        async def ask() -> None:
            while not over.is_set():
                await self.submit()
                with trio.move_on_after(pause_s):
                    await over.wait()

        async with trio.open_nursery() as nursery:
            for _ in range(askers):
                nursery.start_soon(ask)

    def since(self, at: float) -> list[Answer]:
        """Return the answers to what was asked from then on."""
        return [answer for answer in self.answers if answer.at >= at]

    @property
    def accepted(self) -> set[str]:
        return {answer.job for answer in self.answers if answer.status in YES}

    @property
    def refused(self) -> set[str]:
        return {answer.job for answer in self.answers} - self.accepted


def assert_all_yes(answers: list[Answer]) -> None:
    """Nobody noticed anything."""
    assert [answer for answer in answers if answer.status not in YES] == []
    assert max(answer.took_s for answer in answers) < ANSWERED_WITHIN_S + MARGIN_S


def assert_told_in_time(answers: list[Answer]) -> None:
    """Everybody was answered in time, and who got no yes was told when to come again."""
    assert [answer for answer in answers if answer.status not in {*YES, 503}] == []
    assert max(answer.took_s for answer in answers) < ANSWERED_WITHIN_S + MARGIN_S
    for answer in answers:
        if answer.status == 503:
            assert answer.retry_after is not None
            assert answer.body["job_id"] == answer.job


async def assert_each_ran_once(url: str, ids: set[str]) -> None:
    """All of ``ids`` end well at their first attempt, and no other job is in the MySQL at ``url``."""
    question = "SELECT LOWER(HEX(id)), state, attempt, crashes FROM jobs"
    wanted = {(job_id.replace("-", ""), str(STATE_CODES[State.SUCCEEDED]), "1", "0") for job_id in ids}

    async def look() -> bool:
        return {tuple(row) for row in await trio.to_thread.run_sync(mysql_execute, url, question)} == wanted

    await eventually(look, within_s=20)
