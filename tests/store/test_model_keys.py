"""Generated programs of submissions with keys, beside a model that says in a few plain lines what should come out.

The model knows nothing of ``tickr/store/keys.py``: it looks at all jobs each time, instead of keeping rows. Whatever
happens, of the jobs that hold a key until they are final at most one is not final. Each example has a fresh store.
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

from tests.store.backends import SECOND, Backend, MysqlBackend, SqliteBackend, assert_lawful, end, join, start, told
from tests.store.keyed import put_keyed, request, requested, unique_job, unique_of
from tickr.errors import IllegalTransition, JobNotFound, UniqueConflict
from tickr.jobs import FINAL, NewJob
from tickr.store.contract import MAX_BATCH, Filter, Keyed, Store

KEYS = ("a", "b")
KEEP_S = 8
JOBS = 6


@dataclasses.dataclass
class Known:
    """What the model knows of one job. ``taken_at``: since when it has had its key; None: it has lost it."""

    id: str
    key: str | None
    until_s: int | None
    taken_at: int | None
    state: str = "ready"

    def holds(self, now: int) -> bool:
        if self.taken_at is None:
            return False
        if self.until_s is None:
            return self.state in ("ready", "running", "retrying")
        return now < self.taken_at + self.until_s * SECOND


@dataclasses.dataclass
class Request:
    """What the model knows of a request that was made under an idempotency key."""

    body: str
    job: str
    made: bool
    until: int


Spec = tuple[str | None, int | None, str, str | None, str, int | None]
"""Unique key, until, on_conflict, idempotency key, body, number of an id of its own."""


class Program:
    """Runs each step on the store and on the model and compares the answers."""

    def __init__(self, store: Store, backend: Backend) -> None:
        self.store = store
        self.clock = backend.clock
        self.jobs: dict[str, Known] = {}
        self.requests: dict[str, Request] = {}
        self.order: list[str] = []
        self.bodies: dict[str, str] = {}
        self.deleted: set[str] = set()

    # -- submissions --------------------------------------------------------------------------------------------------

    async def submit(self, specs: Sequence[Spec]) -> None:
        new = [self.new(spec) for spec in specs]
        answers = await put_keyed(self.store, *new)
        for spec, one, answer in zip(specs, new, answers, strict=True):
            assert self.seen(answer) == self.expected(spec, one), spec

    def new(self, spec: Spec) -> NewJob:
        key, until_s, on_conflict, asked, body, number = spec
        fields: dict[str, Any] = {} if number is None else {"id": f"00000000-0000-7000-8000-{number:012d}"}
        fields |= {"delay_us": 3 * SECOND, "payload": f'"{body}"'}
        if key is None:
            return requested(asked or "none", body, keep_s=KEEP_S, **fields)
        named = request(asked, body, keep_s=KEEP_S) if asked else None
        return unique_job(key, until_s=until_s, on_conflict=on_conflict, request=named, **fields)

    def seen(self, answer: Keyed) -> tuple[object, ...]:
        job, created = answer
        return job.id, created, answer.fate.value, answer.replayed, answer.replaced and answer.replaced.id

    def expected(self, spec: Spec, new: NewJob) -> tuple[object, ...]:
        key, until_s, on_conflict, asked, body, _ = spec
        now = self.clock()
        asked = asked or (None if key else "none")
        before = self.requests.get(asked or "")
        if before is not None and now < before.until:
            if before.body != body:
                return before.job, False, "reused", False, None
            if before.made:
                return before.job, False, "created", True, None
            if before.job in self.jobs:
                return before.job, False, "same" if before.job == new.id else "held", True, None
        if new.id in self.jobs:
            return self.told_of_the_same(new, key, until_s, asked, body)
        holder = self.holder(key)
        if holder is not None and (on_conflict != "replace" or holder.state == "running"):
            if on_conflict == "return":
                self.keep(asked, body, holder.id, made=False)
            return holder.id, False, "held", False, None
        replaced = None
        if holder is not None and holder.state in ("ready", "retrying"):
            holder.state, replaced = "cancelled", holder.id
        self.take(key, new.id, until_s)
        self.keep(asked, body, new.id, made=True)
        return new.id, True, "created", False, replaced

    def told_of_the_same(
        self, new: NewJob, key: str | None, until_s: int | None, asked: str | None, body: str
    ) -> tuple[object, ...]:
        known = self.jobs[new.id]
        if (known.key, known.until_s, self.bodies[new.id]) == (key, until_s if key else None, body):
            self.keep(asked, body, new.id, made=False)
        return new.id, False, "same", False, None

    def holder(self, key: str | None) -> Known | None:
        held = [one for one in self.jobs.values() if key and one.key == key and one.holds(self.clock())]
        assert len(held) <= 1
        return held[0] if held else None

    def take(self, key: str | None, job_id: str, until_s: int | None) -> None:
        for one in self.jobs.values():
            if key and one.key == key:
                one.taken_at = None
        self.jobs[job_id] = Known(job_id, key, until_s if key else None, self.clock() if key else None)
        self.order.append(job_id)

    def keep(self, asked: str | None, body: str, job_id: str, *, made: bool) -> None:
        self.bodies.setdefault(job_id, body)
        if asked:
            self.requests[asked] = Request(body, job_id, made, self.clock() + KEEP_S * SECOND)

    # -- what becomes of jobs -----------------------------------------------------------------------------------------

    def some(self, number: int) -> Known | None:
        """Return the job that was stored as the last but so many, if it is stored still."""
        found = [self.jobs[name] for name in self.order if name in self.jobs]
        return found[-1 - number] if number < len(found) else None

    async def tick(self, seconds: int) -> None:
        self.clock.advance(seconds)

    async def finish(self, number: int, kind: str) -> None:
        one = self.some(number)
        job = await self.store.get(one.id) if one else None
        if one is None or job is None or one.state in FINAL or job.run_at > self.clock():
            return
        if one.state != "running":
            (job,) = await start(self.store, job)
        assert await end(self.store, job, kind) is not None
        one.state = {"retried": "retrying"}.get(kind, kind)

    async def run(self, number: int) -> None:
        one = self.some(number)
        job = await self.store.get(one.id) if one else None
        if one is not None and job is not None and one.state in ("ready", "retrying") and job.run_at <= self.clock():
            await start(self.store, job)
            one.state = "running"

    async def cancel(self, number: int) -> None:
        one = self.some(number)
        if one is not None and one.state in ("ready", "retrying"):
            await self.store.cancel(one.id)
            one.state = "cancelled"

    async def redrive(self, number: int) -> None:
        one = self.some(number)
        if one is None:
            return
        holder = self.holder(one.key)
        try:
            await self.store.redrive(one.id)
        except IllegalTransition:
            assert one.state not in FINAL
        except UniqueConflict as error:
            refused = error.job_id
            assert one.until_s is None
            assert holder is not None
            assert refused == holder.id != one.id
        else:
            assert one.state in FINAL
            one.state = "ready"
            if one.key and one.until_s is None:
                assert holder is None or holder is one
                for other in self.jobs.values():
                    if other.key == one.key:
                        other.taken_at = None
                one.taken_at = self.clock()

    async def prune_jobs(self) -> None:
        for state in sorted(FINAL):
            await self.store.prune_jobs(state, self.clock() - 2 * SECOND, MAX_BATCH)
        for one in list(self.jobs.values()):
            if await self.store.get(one.id) is None:
                assert one.state in FINAL
                self.deleted.add(one.id)
                del self.jobs[one.id], self.bodies[one.id]

    async def prune_keys(self, limit: int) -> None:
        """Nobody can tell the difference."""
        while await self.store.prune_keys(limit) == limit:
            continue

    async def check(self) -> None:
        for key in KEYS:
            holder, found = self.holder(key), await self.store.holder(unique_of(key))
            assert (found and found.id) == (holder and holder.id), key
            alive = [
                one
                for one in self.jobs.values()
                if one.key == key and one.until_s is None and one.state not in FINAL and one.taken_at is not None
            ]
            assert len(alive) <= 1
        stored = (await self.store.list_jobs(Filter(), limit=1000)).jobs
        assert {job.id: job.state.value for job in stored} == {one.id: one.state for one in self.jobs.values()}
        # An id that was deleted may be another job's since then, which begins at its version 1.
        commits = [[event for event in commit if event.job not in self.deleted] for commit in await told(self.store)]
        assert_lawful(commits)
        with pytest.raises(JobNotFound):
            await self.store.redrive("00000000-0000-7000-8000-999999999999")


number = st.integers(0, JOBS - 1)
unique = st.tuples(
    st.sampled_from(KEYS),
    st.sampled_from([None, None, 2, 5]),
    st.sampled_from(["return", "reject", "replace"]),
    st.sampled_from([None, None, None, "x", "y"]),
    st.sampled_from(["1", "1", "2"]),
    st.sampled_from([None, None, None, 1, 2]),
)
plain = st.tuples(
    st.none(),
    st.none(),
    st.just("return"),
    st.sampled_from(["x", "y"]),
    st.sampled_from(["1", "1", "2"]),
    st.sampled_from([None, None, None, 1, 2]),
)
submitting = st.tuples(st.just("submit"), st.lists(st.one_of(unique, unique, plain), min_size=1, max_size=4))
step = st.one_of(
    submitting,
    submitting,
    st.tuples(st.just("tick"), st.sampled_from([1, 2, 3, 3, 5, 7_200])),
    st.tuples(st.just("finish"), number, st.sampled_from(["succeeded", "failed", "retried", "cancelled"])),
    st.tuples(st.sampled_from(["run", "cancel", "redrive"]), number),
    st.tuples(st.just("prune_jobs")),
    st.tuples(st.just("prune_keys"), st.integers(1, 3)),
)


async def run(backend: Backend, steps: list[tuple[Any, ...]]) -> None:
    async with backend.open() as store:
        await join(store, "n1")
        program = Program(store, backend)
        for name, *arguments in steps:
            await getattr(program, name)(*arguments)
            for job in (await store.list_jobs(Filter(), limit=1000)).jobs:
                assert program.jobs[job.id].state == job.state.value, (name, arguments)
        await program.check()


ANY_SPEED = [HealthCheck.too_slow]


@settings(max_examples=200, deadline=None, suppress_health_check=ANY_SPEED)
@given(steps=st.lists(step, max_size=40))
def test_the_memory_store_does_what_the_model_says(steps: list[tuple[Any, ...]]) -> None:
    trio.run(run, Backend("memory:"), steps)


@settings(max_examples=60, deadline=None, suppress_health_check=ANY_SPEED)
@given(steps=st.lists(step, max_size=40))
def test_the_sqlite_store_does_what_the_model_says(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trio.run(run, SqliteBackend(Path(folder) / "tickr.db"), steps)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=ANY_SPEED)
@given(steps=st.lists(step, max_size=100))
def test_the_memory_store_does_what_the_model_says_for_long(steps: list[tuple[Any, ...]]) -> None:
    trio.run(run, Backend("memory:"), steps)


EMPTY = "; ".join(f"DELETE FROM {table}" for table in ("jobs", "attempts", "events", "unique_keys", "queues", "nodes"))


@pytest.mark.slow
def test_mysql_does_what_the_model_says(mysql_url: str) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=ANY_SPEED, database=None)
    @given(steps=st.lists(step, min_size=10, max_size=40))
    def on_mysql(steps: list[tuple[Any, ...]]) -> None:
        backend = MysqlBackend(mysql_url)
        trio.run(run, backend, steps)
        backend.execute(f"{EMPTY}; UPDATE feed_head SET seq = 0")

    on_mysql()
