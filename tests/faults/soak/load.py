"""The load: clients that submit jobs of every kind at a steady rate and ask again, with the same id, until they know.

State: ``Load.submissions`` is written here and read when the load has ended.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import httpx2
import trio
import uuid_utils

from tests.faults.history import Answer, Submission
from tests.faults.ledger import now_us, way_of
from tests.faults.soak.nodes import Node

ASKED_WITHIN_S = 10.0
"""How long a client waits for one answer; the promise is 2 s, a frozen node keeps it longer."""
GIVES_UP_S = 60.0
"""How long a client asks again before it leaves it at what it knows, in seconds."""
PAUSE_S = 0.25
LATE_S = 5.0
"""A refusal must have come by then. The promise is 2 s; tests of its own hold Tickr to it (``test_mysql_outage.py``,
``test_cut_lines.py``); here clients, nodes and servers share one machine: see ``late_refusals``."""
IN_FLIGHT = 400


class Kind(NamedTuple):
    """A kind of job: how often, the rest of its submission, and how it may end."""

    share: float
    type: str
    payload: Callable[[random.Random], dict[str, Any]]
    more: Callable[[random.Random], dict[str, Any]]
    ends: tuple[str, ...] = ("succeeded",)


def _nothing(_: random.Random) -> dict[str, Any]:
    return {}


KINDS = [
    Kind(0.66, "quick", _nothing, _nothing),
    Kind(0.08, "quick", _nothing, lambda chance: {"delay": round(chance.uniform(0.5, 15), 3)}),
    Kind(0.08, "slow", lambda chance: {"seconds": round(chance.uniform(0.2, 2), 3)}, _nothing),
    Kind(0.10, "flaky", _nothing, _nothing),
    Kind(0.04, "thread", lambda chance: {"seconds": round(chance.uniform(0, 0.3), 3)}, _nothing),
    Kind(0.04, "broken", _nothing, lambda _: {"max_attempts": 2}, ("failed",)),
]


class Load:
    """Args:
    rate: submissions a second.
    """

    def __init__(self, nodes: Sequence[Node], rate: float, seed: int, *, kinds: Sequence[Kind] = KINDS) -> None:
        self._nodes = nodes
        self._kinds = kinds
        self._rate = rate
        self._chance = random.Random(seed)
        self.submissions: list[Submission] = []
        self.refusals = 0
        self._slow_refusals: list[tuple[float, str]] = []
        self.strange: list[str] = []

    async def run(self, until: trio.Event) -> None:
        """Submit until ``until`` is set, then return once every client knows or has given up."""
        limits = httpx2.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=40)
        slots = trio.Semaphore(IN_FLIGHT)
        number = 0
        async with (
            httpx2.AsyncClient(timeout=ASKED_WITHIN_S, limits=limits, trust_env=False) as http,
            trio.open_nursery() as nursery,
        ):
            next_at = trio.current_time()
            while not until.is_set():
                await slots.acquire()
                number += 1
                nursery.start_soon(self._submit, http, number, slots)
                next_at = max(next_at + 1 / self._rate, trio.current_time() - 1)
                await trio.sleep_until(next_at)

    def late_refusals(self, stretch: float) -> list[str]:
        """Return what took longer than LATE_S of such seconds as a busy machine has; ``stretch``: see ``Pace``."""
        return [f"{took:.2f} s: {text}" for took, text in self._slow_refusals if took > LATE_S * stretch]

    async def _submit(self, http: httpx2.AsyncClient, number: int, slots: trio.Semaphore) -> None:
        kind = self._chance.choices(self._kinds, [kind.share for kind in self._kinds])[0]
        payload, more = {"number": number, **kind.payload(self._chance)}, kind.more(self._chance) or way_of(number)
        job_id, asked_at = str(uuid_utils.uuid7()), now_us()
        body = {"id": job_id, "type": kind.type, "payload": payload, "labels": {"soak": "yes"}, **more}
        answer = await self._ask_until_known(http, body)
        run_at = None if "delay" not in more else asked_at + round(more["delay"] * 1e6)
        self.submissions.append(
            Submission(
                id=job_id,
                number=number,
                type=kind.type,
                asked_at=asked_at,
                answered_at=now_us(),
                answer=answer,
                run_at=run_at,
                max_attempts=more.get("max_attempts", 3),
                ends=kind.ends,
            )
        )
        slots.release()

    async def _ask_until_known(self, http: httpx2.AsyncClient, body: dict[str, Any]) -> Answer:
        """Submit, at any node, until one says yes. What was unknown once and never confirmed stays unknown."""
        unsure = False
        with trio.move_on_after(GIVES_UP_S):
            while True:
                answer = await self._ask(http, body)
                if answer == "ok":
                    return "ok"
                unsure = unsure or answer == "unknown"
                await trio.sleep(PAUSE_S)
        return "unknown" if unsure else "refused"

    async def _ask(self, http: httpx2.AsyncClient, body: dict[str, Any]) -> Answer:
        up = [node for node in self._nodes if node.up] or self._nodes
        node, began = self._chance.choice(list(up)), trio.current_time()
        try:
            answer = await http.post(f"{node.process.url}/jobs", json=body)
        except httpx2.ConnectError:
            return "refused"
        except (httpx2.HTTPError, OSError):
            return "unknown"
        if answer.status_code in (200, 201):
            return "ok"
        if answer.status_code not in (429, 503) or "retry-after" not in answer.headers:
            self.strange.append(f"{answer.status_code}: {answer.text[:300]}")
            return "unknown"
        self.refusals += 1
        if (took := trio.current_time() - began) > LATE_S and node.thawed_at < began:
            self._slow_refusals.append((took, answer.text[:200]))
        return "unknown" if answer.json().get("outcome_unknown") else "refused"
