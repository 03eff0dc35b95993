"""What the tests of the worker share: claimed jobs, a place for outcomes, and a pool that runs."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import trio

from tickr import jobs as records
from tickr.reports import Checkpoint, Note, Outcome, Statement
from tickr.store.ended import statement
from tickr.worker.bookmark import Bookmark
from tickr.worker.emitter import Emitter
from tickr.worker.handlers import Jobs
from tickr.worker.notes import Notepad, Notes
from tickr.worker.pool import Pool

NONE: Mapping[str, Any] = {}
_numbers = itertools.count(1)


def claimed(type: str, payload: Any = None, **fields: Any) -> records.Job:
    """Return a job as a claim returns it: running its first attempt, unless ``fields`` say otherwise."""
    fields = {"run_at": 0, "created_at": 0, "attempt": 1, "fence": 1, "state": records.State.RUNNING, **fields}
    text = payload if isinstance(payload, str) else json.dumps({} if payload is None else payload)
    return records.Job(id=f"00000000-0000-7000-8000-{next(_numbers):012}", type=type, payload=text, **fields)


class Outcomes:
    """Takes outcomes; ``all`` keeps them, ``next`` waits for the next one. ``in_line`` has the last words too."""

    def __init__(self) -> None:
        self.all: list[Outcome] = []
        self.in_line: list[Outcome | Note | Checkpoint] = []
        self.full = False
        self.asked_ends: list[str | None] = []
        self._notes = Notes(lambda: 0, self._put_notes)
        self._send, self._receive = trio.open_memory_channel[Outcome](10_000)

    def put(self, outcome: Outcome) -> None:
        self.all.append(outcome)
        self.in_line.append(outcome)
        self._send.send_nowait(outcome)

    async def wait_room(self) -> None:
        await trio.lowlevel.checkpoint()

    def open_notepad(self, job: records.Job) -> Notepad:
        return self._notes.open(job)

    def open_bookmark(self, job: records.Job) -> Bookmark:
        return Bookmark(job, self, trio.lowlevel.current_trio_token())

    def end_statement(self, job: records.Job, result: str | None, schema: str | None) -> Statement:
        self.asked_ends.append(result)
        return statement("sqlite", job, result, schema)

    def open_emitter(self, pad: Notepad) -> Emitter:
        return Emitter(pad, trio.lowlevel.current_trio_token())

    def keep(self, checkpoint: Checkpoint) -> trio.Event:
        self.in_line.append(checkpoint)
        return trio.Event()

    async def recall(self, job: records.Job) -> str | None:
        raise AssertionError("nobody has kept anything here")

    def _put_notes(self, notes: Sequence[Note]) -> trio.Event:
        self.in_line.extend(notes)
        return trio.Event()

    async def next(self) -> Outcome:
        return await self._receive.receive()


class Bench:
    """A running pool and its outcomes."""

    def __init__(self, pool: Pool, outcomes: Outcomes, tasks: trio.Nursery) -> None:
        self.pool = pool
        self.outcomes = outcomes
        self.tasks = tasks

    async def run(self, job: records.Job) -> Outcome:
        """Run one job to its outcome."""
        await self.pool.wait_free()
        self.pool.start([job])
        outcome = await self.outcomes.next()
        assert outcome.job is job
        return outcome


@contextlib.asynccontextmanager
async def running_pool(jobs: Jobs, *, slots: int = 2, **options: Any) -> AsyncIterator[Bench]:
    """A pool in the right nurseries. Leaving the block closes it and waits until what runs has ended, zombies too."""
    outcomes = Outcomes()
    options = {"max_result_bytes": 1_000, "chance": lambda: 0.5, **options}
    pool = Pool(jobs, outcomes, slots=slots, **options)
    pool.work_as("node-1")
    async with trio.open_nursery() as tasks, trio.open_nursery() as nursery:
        nursery.start_soon(pool.run, tasks)
        yield Bench(pool, outcomes, tasks)
        pool.close()


async def outcome_of(
    function: Any, payload: Any = None, *, options: Mapping[str, Any] = NONE, **fields: Any
) -> Outcome:
    """Run one job whose handler is ``function``, registered with ``options``."""
    jobs = Jobs()
    jobs.handler("t", **options)(function)
    async with running_pool(jobs) as bench:
        return await bench.run(claimed("t", payload, **fields))
