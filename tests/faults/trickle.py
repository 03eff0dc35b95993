"""A trickle of submissions to one node that goes through faults, one after the other, and what must be true of it.

A client submits at a steady pace, each job with an id of its own, and asks again until it has its yes. Every answer
must be one that is promised under the faults that it met, and come in time; after each fault work goes on by itself.

State: ``Trickle`` belongs to one test, whose tasks are the only ones that write to it.
"""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import httpx2
import trio

from tests.faults.history import Submission
from tests.faults.ledger import now_us, way_of
from tests.waiting import eventually

PACE_S = 0.1
"""From one submission to the next."""
AGAIN_S = 0.5
"""From a refusal to the next try."""
ENOUGH = 6
"""How many submissions a fault that lasts must see answered."""
ANSWERED_WITHIN_S = 2.0
WORK_GOES_ON_WITHIN_S = 5.0
MARGIN_S = 1.0
"""For the way to the node and back on a busy machine."""
DONE_WITHIN_S = 10.0
"""A job whose storing was in doubt is not in the index; the audit finds it within two of its rounds."""

YES = frozenset({200, 201})
YES_OR_LATER = YES | {503}


Act = Callable[[], object]
"""Something to do; what it returns is awaited, if it can be."""


class Trial(NamedTuple):
    """One fault, from ``begin`` to ``end``.

    Attributes:
      allowed: what may be answered meanwhile.
      struck: whether the fault has come, if it comes when its moment does.
    """

    name: str
    begin: Act
    end: Act
    allowed: frozenset[int] = YES
    struck: Callable[[], bool] | None = None


class Answer(NamedTuple):
    """``under``: the faults that went on between question and answer; ``again``: not the first of its submission."""

    under: list[Trial | None]
    status: int
    took_s: float
    again: bool
    says_when: bool


class Trickle:
    """Args:
    http: a client of the node.

    Attributes:
      submissions: those that have their yes.
    """

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._asked = 0
        self._faults: list[Trial | None] = [None]  # the last one goes on now; None is none
        self.answers: list[Answer] = []
        self.submissions: list[Submission] = []

    async def go_through(self, trials: Sequence[Trial]) -> None:
        """Submit all the time, while ``trials`` come one after the other; return when everything is done.

        Raises: TooSlowError: a fault did not strike, or work did not go on in time; the fault goes on.
        """
        over = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._submit_until, over)
            for trial in trials:
                await self._go_through(trial)
            over.set()
        await self._all_is_done()

    async def _go_through(self, trial: Trial) -> None:
        struck = trial.struck

        async def look() -> bool:
            met = [answer for answer in self.answers if answer.under[0] is trial and not answer.again]
            return len(met) >= ENOUGH if struck is None else bool(met) and struck()

        self._faults.append(trial)
        await _do(trial.begin)
        await eventually(look, within_s=20)
        await _do(trial.end)
        self._faults.append(None)
        await self._goes_on()

    async def _goes_on(self) -> None:
        """Return when the node is as it was before the fault, and a new job has gone all its way."""
        with trio.fail_after(WORK_GOES_ON_WITHIN_S + MARGIN_S):
            job_id = await self._submit()

            async def both() -> bool:
                job, ready = await self._http.get(f"/jobs/{job_id}"), await self._http.get("/readyz")
                done: bool = job.json().get("state") == "succeeded"
                return done and ready.json()["status"] == "ready"

            await eventually(both)

    async def _all_is_done(self) -> None:
        async def none_left() -> bool:
            left = await self._http.get("/jobs", params={"state": ["scheduled", "ready", "running", "retrying"]})
            return not left.json()["items"]

        await eventually(none_left, within_s=DONE_WITHIN_S)

    async def _submit_until(self, over: trio.Event) -> None:
        """Submit until ``over``, and return when everything has its yes."""
        async with trio.open_nursery() as nursery:
            while not over.is_set():
                nursery.start_soon(self._submit)
                with trio.move_on_after(PACE_S):
                    await over.wait()

    async def _submit(self) -> str:
        """Submit one job and return its id when it is stored."""
        self._asked += 1
        number, job_id, asked_at = self._asked, str(uuid.uuid4()), now_us()
        body = {"id": job_id, "type": "quick", "payload": {"number": number}, **way_of(number)}
        again = False
        while await self._ask(body, again) not in YES:
            again = True
            await trio.sleep(AGAIN_S)
        self.submissions.append(Submission(job_id, number, "quick", asked_at, now_us(), "ok"))
        return job_id

    async def _ask(self, body: dict[str, Any], again: bool) -> int:
        since, asked_at = len(self._faults) - 1, trio.current_time()
        answer = await self._http.post("/jobs", json=body)
        took_s, says_when = trio.current_time() - asked_at, "Retry-After" in answer.headers
        self.answers.append(Answer(self._faults[since:], answer.status_code, took_s, again, says_when))
        return int(answer.status_code)

    def assert_as_promised(self) -> None:
        strange = [answer for answer in self.answers if answer.status not in _allowed(answer)]
        assert strange == []
        late = [answer for answer in self.answers if answer.took_s > ANSWERED_WITHIN_S + MARGIN_S]
        assert late == []
        mute = [answer for answer in self.answers if answer.status == 503 and not answer.says_when]
        assert mute == []


async def _do(act: Act) -> None:
    done = act()
    if inspect.isawaitable(done):
        await done


def _allowed(answer: Answer) -> frozenset[int]:
    return YES.union(*(trial.allowed for trial in answer.under if trial is not None))
