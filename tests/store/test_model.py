"""Whole generated programs against the store, beside a model that says in a few plain lines what should come out.

The model knows nothing of ``tickr/jobs.py``: it states the rules of the design once more, so that slips in either show.
Each example is one ``trio.run`` with a fresh store.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.backends import (
    MANY_BYTES,
    OOPS,
    SECOND,
    Backend,
    SqliteBackend,
    a_node,
    assert_lawful,
    new_job,
    noted,
)
from tickr import events
from tickr.errors import IllegalTransition, JobNotFound
from tickr.events import Event
from tickr.jobs import Job
from tickr.reports import Outcome
from tickr.store.contract import Filter, Start, Store

JOBS = 5
NODES = ("n0", "n1")
LEASE_S = 4


@dataclasses.dataclass
class Known:
    """What the model knows of one job."""

    id: str
    priority: int
    run_at: int
    expires_at: int | None = None
    state: str = "ready"
    attempt: int = 0
    crashes: int = 0
    fence: int = 0
    version: int = 1
    node: str | None = None
    cancel_requested: bool = False
    progress: float | None = None
    ended: list[tuple[int, str]] = dataclasses.field(default_factory=list)

    def move(self, state: str, *, leaves_attempt: str | None = None) -> None:
        if leaves_attempt is not None:
            self.ended.append((self.fence, leaves_attempt))
        if self.state == "running" or state == "ready":
            self.cancel_requested = False
        self.state = state
        self.version += 1

    def start(self, node: str) -> None:
        self.move("running")
        self.attempt, self.fence, self.node, self.progress = self.attempt + 1, self.fence + 1, node, None

    def late(self, now: int) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def facts(self) -> tuple[object, ...]:
        return (
            self.id, self.priority, self.run_at, self.state, self.attempt, self.crashes, self.fence, self.version,
            self.node, self.cancel_requested, self.expires_at, self.progress,
        )  # fmt: skip


def facts(job: Job) -> tuple[object, ...]:
    return (
        job.id, job.priority, job.run_at, job.state.value, job.attempt, job.crashes, job.fence, job.version, job.node,
        job.cancel_requested, job.extras.expires_at, job.progress and job.progress.fraction,
    )  # fmt: skip


class Program:
    """Runs each step on the store and on the model and compares the answers."""

    def __init__(self, store: Store, backend: Backend) -> None:
        self.store = store
        self.clock = backend.clock
        self.jobs: dict[str, Known] = {}
        self.nodes: dict[str, int] = {}
        self.handed_out: dict[str, list[Job]] = {}
        self.notes = 0
        self.said: list[int] = []
        self.log: list[list[Event]] = []
        self.pruned = 0

    @staticmethod
    def id(number: int) -> str:
        return f"00000000-0000-7000-8000-{number:012d}"

    async def insert(
        self, numbers: Sequence[int], delay_s: int, priority: int, node: str | None = None, lives_s: int | None = None
    ) -> None:
        """``node``: starts half of them at once."""
        wish: dict[str, Any] = {"delay_us": delay_s * SECOND, "priority": priority}
        if lives_s is not None:
            wish["expires_in_us"] = lives_s * SECOND
        new = [new_job(id=self.id(number), **wish) for number in numbers]
        start = node and Start(node, frozenset([one.id for one in new[::2]]))
        answers = await self.store.insert(new, start=start or None)
        for one, (job, created) in zip(new, answers, strict=True):
            assert created == (one.id not in self.jobs)
            if created:
                now = self.clock()
                ends = None if lives_s is None else now + lives_s * SECOND
                known = self.jobs[one.id] = Known(one.id, priority, now + delay_s * SECOND, ends)
                if start and one.id in start.ids and not delay_s and node in self.nodes and not known.late(now):
                    known.start(node)
                    self.handed_out.setdefault(job.id, []).append(job)
            assert facts(job) == self.jobs[one.id].facts()

    async def tick(self, seconds: int) -> None:
        self.clock.advance(seconds)

    def claimable(self) -> list[Known]:
        due = [one for one in self.jobs.values() if one.state in ("ready", "retrying") and one.run_at <= self.clock()]
        return sorted(due, key=lambda one: (one.priority, one.run_at, one.id))

    async def claim(self, numbers: Sequence[int], node: str) -> None:
        ids = [self.id(number) for number in numbers]
        self.claimed(
            await self.store.claim(ids, node=node, types=["mail"]),
            [one for one in self.claimable() if one.id in ids],
            node,
        )

    async def claim_due(self, limit: int, node: str) -> None:
        self.claimed(await self.store.claim_due(limit, node=node, types=["mail"]), self.claimable()[:limit], node)

    def claimed(self, answer: list[Job], expected: list[Known], node: str) -> None:
        found = expected if node in self.nodes else []
        expected = [one for one in found if not one.late(self.clock())]
        for one in found:
            if one in expected:
                one.start(node)
            else:
                one.move("cancelled")
        assert [facts(job) for job in answer] == [one.facts() for one in expected]
        for job in answer:
            self.handed_out.setdefault(job.id, []).append(job)

    async def finish(self, wishes: Sequence[tuple[int, int, str, int]]) -> None:
        outcomes, expected = [], []
        for number, which, kind, delay_s in wishes:
            attempts = self.handed_out.get(self.id(number))
            if not attempts or any(outcome.job.id == self.id(number) for outcome in outcomes):
                continue
            job = attempts[max(-len(attempts), -1 - which)]  # mostly the last attempt, at times an older one
            failure = None if kind == "succeeded" else OOPS
            outcomes.append(Outcome(job=job, kind=kind, failure=failure, delay_us=delay_s * SECOND))  # type: ignore[arg-type]
            expected.append(self.finished(self.jobs[job.id], job.fence, kind, delay_s))
        if outcomes:
            answers = await self.store.finish(outcomes)
            # Without the last, the progress: it may be missing here. That it is stored shows in what is listed.
            assert [answer and facts(answer)[:-1] for answer in answers] == [one and one[:-1] for one in expected]

    def finished(self, one: Known, fence: int, kind: str, delay_s: int) -> tuple[object, ...] | None:
        if one.state != "running" or one.fence != fence:
            return None
        if (one.cancel_requested or one.late(self.clock())) and kind in ("retried", "released"):
            kind = "cancelled"
        if kind == "released":
            one.move("ready", leaves_attempt="released")
            one.attempt -= 1
            one.run_at = self.clock() + delay_s * SECOND if delay_s else min(one.run_at, self.clock())
        elif kind == "retried":
            one.move("retrying", leaves_attempt="retrying")
            one.run_at = self.clock() + delay_s * SECOND
        else:
            one.move(kind, leaves_attempt=None if kind == "succeeded" else kind)
        return one.facts()

    async def note(self, wishes: Sequence[tuple[int, int, float | None]]) -> None:
        notes, kept = [], []
        for number, which, fraction in wishes:
            if attempts := self.handed_out.get(self.id(number)):
                job = attempts[max(-len(attempts), -1 - which)]
                self.notes += 1
                said = {} if fraction is None else {"fraction": fraction}
                notes.append(noted(job, self.notes, at=self.clock(), **said))
                one = self.jobs[job.id]
                if one.state == "running" and one.fence == job.fence:
                    kept.append(self.notes)
                    one.progress = one.progress if fraction is None else fraction
        if notes:
            assert await self.store.note(notes) == len(kept)
            self.said += kept

    async def read(self, limit: int = 100) -> None:
        """Read what is new in the log; ``limit`` rows at once."""
        while page := await self.store.event_rows(len(self.log), limit, MANY_BYTES):
            assert len(page) <= limit
            for seq, body in page:
                self.log.append(events.decode(body))
                assert seq == len(self.log)

    async def prune(self, age_s: int, limit: int) -> None:
        await self.read()
        before, expected = self.clock() - age_s * SECOND, 0
        for row in self.log[self.pruned : self.pruned + limit]:
            if row[0].time >= before:
                break
            expected += 1
        assert await self.store.prune_events(before, limit) == expected
        self.pruned += expected

    async def cancel(self, number: int) -> None:
        one = self.jobs.get(self.id(number))
        try:
            job = await self.store.cancel(self.id(number))
        except JobNotFound:
            assert one is None
        except IllegalTransition:
            assert one is not None
            assert one.state in ("succeeded", "failed")
        else:
            assert one is not None
            if one.state == "running":
                one.cancel_requested = True
            elif one.state != "cancelled":
                one.move("cancelled")
            assert facts(job) == one.facts()

    async def redrive(self, number: int) -> None:
        one = self.jobs.get(self.id(number))
        try:
            job = await self.store.redrive(self.id(number))
        except (JobNotFound, IllegalTransition):
            assert one is None or one.state in ("ready", "running", "retrying")
        else:
            assert one is not None
            one.move("ready", leaves_attempt="succeeded" if one.state == "succeeded" else None)
            one.attempt, one.crashes, one.run_at = 0, 0, self.clock()
            one.expires_at = None if one.late(self.clock()) else one.expires_at
            assert facts(job) == one.facts()

    async def register(self, node: str) -> None:
        await self.store.register(a_node(id=node), lease_s=LEASE_S)
        self.nodes[node] = self.clock() + LEASE_S * SECOND

    async def beat(self, node: str) -> None:
        running = await self.store.heartbeat(node, lease_s=LEASE_S)
        if node not in self.nodes:
            assert running is None
        else:
            assert running is not None
            held = [one for one in self.jobs.values() if one.state == "running" and one.node == node]
            assert sorted(one[:3] for one in running) == sorted(
                (one.id, one.fence, one.cancel_requested) for one in held
            )
            self.nodes[node] = self.clock() + LEASE_S * SECOND

    async def leave(self, node: str) -> None:
        await self.store.deregister(node)
        self.nodes.pop(node, None)

    async def expire(self, node: str, seen_s: int) -> None:
        """``seen_s``: how long before now the one who expires has last seen the row."""
        seen = self.clock() + (LEASE_S - seen_s) * SECOND
        held = self.nodes.get(node) == seen
        assert await self.store.expire(node, lease_until=seen) is held
        if held:
            del self.nodes[node]

    async def reap(self) -> None:
        lost = [one for one in self.jobs.values() if one.state == "running" and one.node not in self.nodes]
        for one in lost:
            one.attempt -= 1
            one.crashes += 1
            if one.cancel_requested:
                one.move("cancelled", leaves_attempt="cancelled")
            elif one.crashes == 3:
                one.move("failed", leaves_attempt="failed")
            elif one.late(self.clock()):
                one.move("cancelled", leaves_attempt="cancelled")
            else:
                one.move("ready", leaves_attempt="released")
                one.run_at = min(one.run_at, self.clock())
        assert sorted(facts(job) for job in await self.store.reap(100)) == sorted(one.facts() for one in lost)

    def expiring(self) -> list[Known]:
        waits = [one for one in self.jobs.values() if one.state in ("ready", "retrying") and one.expires_at is not None]
        return sorted(waits, key=lambda one: (one.expires_at or 0, one.id))

    async def end_expired(self, limit: int) -> None:
        ended, next_at = await self.store.end_expired(limit)
        expected = [one for one in self.expiring()[:limit] if one.late(self.clock())]
        for one in expected:
            one.move("cancelled")
        assert sorted(facts(job) for job in ended) == sorted(one.facts() for one in expected)
        assert next_at == next((one.expires_at for one in self.expiring()), None)

    async def check(self) -> None:
        """Compare everything that is stored, and what was told of it, with the model."""
        stored = (await self.store.list_jobs(Filter(), limit=100)).jobs
        assert {job.id: facts(job) for job in stored} == {one.id: one.facts() for one in self.jobs.values()}
        for one in self.jobs.values():
            current = [(one.fence, one.state)] if one.state in ("running", "succeeded") else []
            found = [(attempt.fence, attempt.outcome) for attempt in await self.store.attempts(one.id)]
            assert found == one.ended + current
        entries, end = await self.store.waiting_after(None, 100)
        assert end is None
        waits = [one.id for one in self.jobs.values() if one.state in ("ready", "retrying")]
        assert sorted(entry.id for entry in entries) == sorted(waits)
        await self.read()
        assert all(self.log)
        assert_lawful(self.log)
        told = [event for row in self.log for event in row]
        assert {event.job: event.version for event in told} == {one.id: one.version for one in self.jobs.values()}
        assert [event.note for event in told if event.note] == self.said
        assert (await self.store.feed_state())[1:] == (self.pruned + 1, len(self.log))


number = st.integers(0, JOBS - 1)
numbers = st.lists(number, min_size=1, max_size=JOBS)
node = st.sampled_from(NODES)
lives_s = st.integers(0, 4)
kind = st.sampled_from(["succeeded", "retried", "failed", "cancelled", "released"])
wish = st.tuples(number, st.sampled_from([0, 0, 0, 1]), kind, st.integers(0, 3))
saying = st.tuples(number, st.sampled_from([0, 0, 0, 1]), st.sampled_from([None, 0.0, 0.5, 1.0]))
step = st.one_of(
    st.tuples(
        st.just("insert"), numbers, st.integers(0, 3), st.sampled_from([0, 5]), st.none() | node, st.none() | lives_s
    ),
    st.tuples(st.just("end_expired"), st.integers(1, 3)),
    st.tuples(st.just("claim"), numbers, node),
    st.tuples(st.just("claim_due"), st.integers(1, 3), node),
    st.tuples(st.just("note"), st.lists(saying, min_size=1, max_size=JOBS)),
    st.tuples(st.just("read"), st.integers(1, 3)),
    st.tuples(st.just("prune"), st.integers(0, 3), st.integers(1, 3)),
    st.tuples(st.just("finish"), st.lists(wish, min_size=1, max_size=JOBS)),
    st.tuples(st.just("tick"), st.sampled_from([1, 2, 3, 100])),
    st.tuples(st.sampled_from(["cancel", "redrive"]), number),
    st.tuples(st.sampled_from(["register", "beat", "leave"]), node),
    st.tuples(st.just("expire"), node, st.integers(0, 3)),
    st.tuples(st.just("reap")),
)


async def run(backend: Backend, steps: list[tuple[object, ...]]) -> None:
    async with backend.open() as store:
        program = Program(store, backend)
        await program.insert(range(3), 0, 5)
        await program.register(NODES[0])
        for name, *arguments in steps:
            await getattr(program, str(name))(*arguments)
        await program.check()


ANY_SPEED = [HealthCheck.too_slow]


@settings(max_examples=150, deadline=None, suppress_health_check=ANY_SPEED)
@given(steps=st.lists(step, max_size=40))
def test_the_memory_store_does_what_the_model_says(steps: list[tuple[object, ...]]) -> None:
    trio.run(run, Backend("memory:"), steps)


@settings(max_examples=60, deadline=None, suppress_health_check=ANY_SPEED)
@given(steps=st.lists(step, max_size=40))
def test_the_sqlite_store_does_what_the_model_says(steps: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trio.run(run, SqliteBackend(Path(folder) / "tickr.db"), steps)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=ANY_SPEED)
@given(steps=st.lists(step, max_size=100))
def test_the_memory_store_does_what_the_model_says_for_long(steps: list[tuple[object, ...]]) -> None:
    trio.run(run, Backend("memory:"), steps)
