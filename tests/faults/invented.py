"""Histories that were never lived, for the tests of the checker: lives of jobs as a good Tickr would leave them.

In come ``Plan``s: what becomes of each attempt of a job. Goes out a ``History`` in which all ten invariants hold. Every
attempt has a node of its own, so that a fault strikes no other.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace

from tests.faults.history import Answer, Fault, History, Mark, StoredEvent, StoredJob, Submission

Step = Literal["success", "error", "give up", "hand back", "kill", "freeze", "kill unstarted", "cancel", "redrive"]
MS, S = 1_000, 1_000_000
BEGAN = 1_800_000_000 * S
MAX_ATTEMPTS = 3
LEASE_S = 15.0


@dataclass(frozen=True)
class Plan:
    """One job: how its attempts end, in turn. What comes after its end is left out, a success ends what has no end."""

    steps: Sequence[Step] = ()
    delay_s: float = 0.0
    answer: Answer = "ok"
    poison: bool = False
    noisy: bool = False


@dataclass
class _Life:
    """One job as it is written down."""

    plan: Plan
    number: int
    at: int
    events: list[StoredEvent] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    state: str | None = None
    version: int = 0
    fence: int = 0
    attempt: int = 0
    crashes: int = 0
    run_at: int = 0

    def __post_init__(self) -> None:
        self.id = str(uuid.UUID(int=self.number))
        self.asked_at = self.at - 5 * MS
        self.created_at = self.at
        self.run_at = self.at + round(self.plan.delay_s * S)
        self.tell("created", "scheduled" if self.plan.delay_s else "ready")
        for step in self.plan.steps:
            if step == "redrive":
                self.redrive()
            elif self.state in ("ready", "scheduled", "retrying"):
                self.run(step)
        if self.state in ("ready", "scheduled", "retrying"):
            self.run("success")

    @property
    def pid(self) -> int:
        return 1_000 * self.number + self.fence

    def tell(self, what: str, state: str, why: str | None = None) -> None:
        self.version += 1
        previous, self.state = self.state, state
        if previous == "scheduled" and self.at >= self.run_at:
            previous = "ready"
        node = f"node {self.number}.{self.fence}"
        self.events.append(
            StoredEvent(0, self.id, what, self.version, previous, state, self.attempt, self.at, self.run_at, why, node)
        )

    def mark(self, what: Literal["start", "done", "failed", "cancelled"], pid: int) -> None:
        self.at += MS
        self.marks.append(Mark(self.id, self.number, self.fence, self.attempt, what, self.at, pid))
        self.at += 10 * MS

    def run(self, step: Step) -> None:
        if step == "cancel":
            self.at += MS
            return self.tell("cancelled", "cancelled", "cancelled")
        self.at = max(self.at, self.run_at) + MS
        self.fence, self.attempt = self.fence + 1, self.attempt + 1
        self.tell("started", "running")
        if step == "kill unstarted":
            return self.lose("kill")
        self.mark("start", self.pid)
        if step in ("kill", "freeze"):
            return self.lose(step)
        if self.plan.noisy:
            self.events += [self._note(number) for number in (1, 2)]
        self.mark("done" if step == "success" else "cancelled" if step == "hand back" else "failed", self.pid)
        if step == "success":
            return self.tell("succeeded", "succeeded")
        if step == "hand back":
            self.attempt -= 1
            return self.tell("released", "ready", "shutdown")
        if step == "give up" or self.attempt >= MAX_ATTEMPTS:
            return self.tell("failed", "failed", "give_up" if step == "give up" else "exception")
        self.run_at = self.at + 2 * S
        return self.tell("retrying", "retrying", "exception")

    def _note(self, number: int) -> StoredEvent:
        return StoredEvent(0, self.id, "log", None, "running", "running", self.attempt, self.at, note=number)

    def lose(self, kind: str) -> None:
        """The node dies or freezes, and the store takes the attempt back when its lease is over."""
        began = self.at
        ended = began + (30 * S if kind == "freeze" else 0)
        if not self.plan.poison:
            self.faults.append(Fault(kind, "node", began, ended, self.pid))
        self.at += 16 * S
        self.attempt, self.crashes = self.attempt - 1, self.crashes + 1
        if self.crashes == 3:
            return self.tell("failed", "failed", "crashed")
        return self.tell("released", "ready", "lease_lost")

    def redrive(self) -> None:
        if self.state in ("succeeded", "failed", "cancelled"):
            self.at += MS
            self.attempt, self.crashes, self.run_at = 0, 0, self.at
            self.tell("redriven", "ready")

    def submission(self) -> Submission:
        assert self.state is not None
        quarantined = self.state == "failed" and self.crashes == 3
        return Submission(
            self.id,
            self.number,
            "quick",
            self.asked_at,
            self.created_at + MS,
            self.plan.answer,
            self.asked_at + round(self.plan.delay_s * S) if self.plan.delay_s else None,
            ends=("succeeded",) if quarantined else (self.state,),
            crashes_it=self.plan.poison,
        )

    def stored(self) -> StoredJob:
        assert self.state is not None
        return StoredJob(
            self.id,
            self.number,
            "quick",
            self.state,
            self.version,
            self.fence,
            self.attempt,
            MAX_ATTEMPTS,
            self.crashes,
            self.run_at,
            self.created_at,
        )


def history(plans: Sequence[Plan], *, rows_of: int = 3, apart_us: int = 7 * MS) -> History:
    """Return what is left behind by jobs that lived by ``plans``; one begins ``apart_us`` after the other.

    Args:
      rows_of: events in one row of the log.
    """
    lives = [_Life(plan, number, BEGAN + number * apart_us) for number, plan in enumerate(plans, 1)]
    stored = [life for life in lives if life.plan.answer != "refused"]
    told = sorted((event for life in stored for event in life.events), key=lambda event: event.at)
    events = [replace(event, seq=1 + place // rows_of) for place, event in enumerate(told)]
    return History(
        submissions=[life.submission() for life in lives],
        marks=sorted((mark for life in stored for mark in life.marks), key=lambda mark: mark.at),
        jobs=[life.stored() for life in stored],
        events=events,
        faults=[fault for life in stored for fault in life.faults],
        lease_s=LEASE_S,
        workers=2,
        ended=max((life.at for life in lives), default=BEGAN) + S,
    )
