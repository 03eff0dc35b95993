"""A job's life as its events tell it: every edge, its version, its attempts and fences.

The table of edges is the drawing in the design, written down by hand; ``scheduled`` becomes ``ready`` by the clock
alone and without an event. In come a stored job and its events in the order of the log, out go the claims of that job,
and violations of I3 (successes, attempts, fences), I4 (claims), I5 and I6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.checker.verdict import Verdict
from tests.faults.history import StoredEvent, StoredJob, Submission

MAX_CRASHES = 3
"""So many lost nodes end a job."""

FINAL = frozenset({"succeeded", "failed", "cancelled"})


def _edges() -> Iterator[tuple[str, str | None, str]]:
    for state in ("scheduled", "ready", "blocked"):
        yield "created", None, state
    for state in ("ready", "retrying"):
        yield "started", state, "running"
    for state in ("succeeded", "retrying", "failed", "cancelled"):
        yield state, "running", state
    for state in ("ready", "scheduled"):
        yield "released", "running", state
    for state in ("scheduled", "ready", "retrying", "blocked"):
        yield "cancelled", state, "cancelled"
    for state in FINAL:
        yield "deleted", state, state
        yield "redriven", state, "ready"
        yield "redriven", state, "scheduled"
    for state in ("ready", "scheduled"):
        yield "unblocked", "blocked", state
        yield "changed", "ready", state
        yield "changed", "scheduled", state
    for state in ("retrying", "blocked", "running"):
        yield "changed", state, state


EDGES = frozenset(_edges())
"""(event, state before, state after) of every legal edge."""


def _legal(event: StoredEvent) -> bool:
    """Whether the event is an edge. Of what is handed back, only what its handler has put off has to wait."""
    put_off = event.what == "released" and event.state == "scheduled"
    return (event.what, event.previous_state, event.state) in EDGES and not (put_off and event.why != "snoozed")


@dataclass(slots=True)
class Claim:
    """One attempt as the store has told it.

    Attributes:
      version: of its ``started``.
      at: when it was claimed; ``due``: not before this, if known.
      end: the event that ended it, if one did.
    """

    fence: int
    attempt: int
    version: int
    at: int
    due: int | None
    node: str | None
    end: StoredEvent | None = None


@dataclass(slots=True)
class Life:
    """What came of a job.

    Attributes:
      whole: no event is missing, so that the n-th claim has the fence n.
      losses: how often its node was lost at most, since it was last started over.
      last: the last event.
    """

    claims: list[Claim] = field(default_factory=list)
    whole: bool = True
    losses: int = 0
    last: StoredEvent | None = None


def live(job: StoredJob, events: list[StoredEvent], asked: Submission | None, verdict: Verdict) -> Life:
    """Return the life that ``events`` tell of ``job``, having judged it. ``asked``: as its client wished."""
    changes = [event for event in events if event.version is not None]
    versions = [event.version or 0 for event in changes]
    if versions != sorted(versions):
        verdict.add("I6", job.id, f"told out of order: versions {versions}")
        changes.sort(key=lambda event: event.version or 0)
    elif len(changes) < len(events):
        _judge_notes(job, events, verdict)
    walk = _Walk(job, asked, verdict)
    for event in changes:
        walk.take(event)
    walk.finish()
    return walk.life


class _Walk:
    """The way through one job's events."""

    def __init__(self, job: StoredJob, asked: Submission | None, verdict: Verdict) -> None:
        self.job = job
        self.verdict = verdict
        self.life = Life()
        self.version = 0
        self.state: str | None = None
        self.attempt = 0
        self.due = self.asked = asked.run_at if asked else None
        self.expires_in = asked.expires_in if asked else None
        self.expires: int | None = None
        self.succeeded = False

    def take(self, event: StoredEvent) -> None:
        if event.version == self.version:
            return self._twice(event)
        if not (follows := event.version == self.version + 1):
            self.life.whole = False
            self.verdict.add("I6", self.job.id, f"no event between versions {self.version} and {event.version}")
        if event.what == "succeeded" and self.succeeded:
            self._second_success(event)
        elif not _legal(event) or (follows and _stored(event.previous_state) != _stored(self.state)):
            self.verdict.add("I5", self.job.id, f"{_edge(event)} where it was {self.state}")
        elif follows:
            self._count(event)
        self._move(event)
        return None

    def _twice(self, event: StoredEvent) -> None:
        last = self.life.last
        assert last is not None
        if (event.what, event.at, event.attempt) == (last.what, last.at, last.attempt):
            self.verdict.add("I6", self.job.id, f"told twice, in rows {last.seq} and {event.seq}: {_edge(event)}")
        elif event.what == "succeeded" == last.what:
            self._second_success(event)
        else:
            self.verdict.add("I5", self.job.id, f"two moves made version {event.version}: {last.what}, {_edge(event)}")

    def _second_success(self, event: StoredEvent) -> None:
        self.verdict.table.duplicated_successes += 1
        self.verdict.add("I3", self.job.id, f"succeeded twice, the second time with version {event.version}")

    def _count(self, event: StoredEvent) -> None:
        """Judge the number of the attempt: a start takes one, a hand-back or a lost node gives it back."""
        now, before, what = event.attempt, self.attempt, event.what
        if what == "started":
            legal = now == before + 1 <= self.job.max_attempts
        elif what == "released":
            legal = now == before - 1
        elif what == "retrying":
            legal = now == before < self.job.max_attempts
        elif what == "failed" and event.why is not None:
            legal = now == before - (event.why == "crashed")
        elif what in ("failed", "cancelled") and event.previous_state == "running":
            legal = now in (before, before - 1)
        else:
            legal = now == (0 if what == "redriven" else before)
        if not legal:
            of = f"of at most {self.job.max_attempts}"
            self.verdict.add("I3", self.job.id, f"{what} with attempt {now} {of}, where it was {before}")

    def _move(self, event: StoredEvent) -> None:
        life, what = self.life, event.what
        if what == "created" and self.expires_in is not None:
            self.expires = event.at + self.expires_in
        if what == "started":
            self._claim(event)
        elif event.previous_state == "running" and what != "changed" and life.claims:
            life.claims[-1].end = life.claims[-1].end or event
        if what == "redriven":
            life.losses, self.succeeded = 0, False
            self.expires = None if self._has_expired(event) else self.expires
        elif what == "released" or (what in ("failed", "cancelled") and event.attempt < self.attempt):
            life.losses += 1
        if event.why == "expired" and self.expires_in is not None and not self._has_expired(event):
            self.verdict.add("I4", self.job.id, "ended as expired, and has not")
        self.succeeded |= what == "succeeded"
        if event.run_at is not None:
            self.due = event.run_at if what != "created" else max(event.run_at, self.asked or 0)
        assert event.version is not None
        self.version, self.state, self.attempt, life.last = event.version, event.state, event.attempt, event

    def _claim(self, event: StoredEvent) -> None:
        claims = self.life.claims
        assert event.version is not None
        claims.append(Claim(len(claims) + 1, event.attempt, event.version, event.at, self.due, event.node))
        if self.due is not None and event.at < self.due:
            self.verdict.table.early += 1
            self.verdict.add("I4", self.job.id, f"claimed {self.due - event.at} us before its time")

        if self._has_expired(event):
            self.verdict.add("I4", self.job.id, "claimed after it had expired")

    def _has_expired(self, event: StoredEvent) -> bool:
        return self.expires is not None and event.at >= self.expires

    def finish(self) -> None:
        """Compare the end with the stored row."""
        job, life = self.job, self.life
        if (self.version, _stored(self.state)) != (job.version, _stored(job.state)):
            told = f"version {self.version}, {self.state}"
            self.verdict.add("I6", job.id, f"stored with version {job.version}, {job.state}; told last: {told}")
        elif life.whole:
            if (len(life.claims), self.attempt) != (job.fence, job.attempt):
                told = f"{len(life.claims)} starts, attempt {self.attempt}"
                self.verdict.add("I3", job.id, f"stored with fence {job.fence}, attempt {job.attempt}; told: {told}")
            if job.crashes > min(life.losses, MAX_CRASHES):
                self.verdict.add("I3", job.id, f"{job.crashes} crashes; lost or handed back {life.losses} times")


def _judge_notes(job: StoredJob, events: list[StoredEvent], verdict: Verdict) -> None:
    """What a running attempt says is told once, and never after its end."""
    state, fence, seen = "", 0, set()
    for event in events:
        if event.version is not None:
            state, fence = event.state, fence + (event.what == "started")
        elif state != "running":
            verdict.add("I3", job.id, f"{event.what} told while {state or 'not created'}")
        elif event.note:
            if (fence, event.note) in seen:
                verdict.add("I6", job.id, f"told twice: {event.what}, note {event.note} of fence {fence}")
            seen.add((fence, event.note))


def _stored(state: str | None) -> str | None:
    """``scheduled`` and ``ready`` are one but for the time."""
    return "ready" if state == "scheduled" else state


def _edge(event: StoredEvent) -> str:
    return f"{event.what}, {event.previous_state} -> {event.state} (version {event.version})"
