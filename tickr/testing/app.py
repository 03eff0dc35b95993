"""App: a Tickr in virtual time as its test sees it: it submits, lets time pass, and looks at what happened.

Nothing that tests look at changes while they do not wait: all of it is the store's and the ledger's, of this instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Literal

import trio

from tickr.errors import JobNotFound
from tickr.handle import Handle
from tickr.instants import EPOCH, datetime_of
from tickr.jobs import Job as Stored
from tickr.jobs import State
from tickr.operations import Operation
from tickr.store.contract import us_of
from tickr.testing.life import Life
from tickr.testing.node import RUNNING_IN
from tickr.testing.records import Event, Job, Run, of_job, short, since
from tickr.testing.unfinished import MOST_JOBS, Left, NotSucceeded, Unfinished

Which = str | Stored | Job
"""A job: its id, or a record of it."""
Span = float | timedelta
"""How long: seconds, or a ``timedelta``."""

MONTH_S = 31 * 86_400.0
DUE = (State.READY, State.RETRYING)


class App:
    """One Tickr, alone with its store, in virtual time. ``running`` makes it."""

    def __init__(self, life: Life, types: frozenset[str]) -> None:
        self._life = life
        self._types = types
        self._left = Left(types, life.time.start_us, life.stack)
        self._runs: list[Run] = []
        self._numbers = 0
        self._waiting = 0

    def __repr__(self) -> str:
        return f"<App {since(self._life.time.now_us() - self._life.time.start_us)}, {len(self.jobs())} jobs>"

    # -- what a client may ask ----------------------------------------------------------------------------------------

    async def submit(self, type: str, payload: Any = None, **options: Any) -> Stored:
        """Store a job and return it; see ``Handle.submit``. Should the node die, the next one is asked for the same.

        Raises: SpecRejected, DuplicateJob: the job as described cannot be taken.
        Cancellation: it may have been stored or not.
        """
        if RUNNING_IN.get() is None:
            self._life.time.goes_on()
        options.setdefault("id", self._next_id())
        return await self._life.ask(lambda handle: handle.submit(type, payload, **options))

    async def cancel(self, job: Which) -> None:
        """Cancel a job that waits, or have one that runs stopped. Raises: JobNotFound, IllegalTransition."""
        await self._life.ask(lambda handle: handle.cancel(_id(job)))

    async def retry(self, job: Which, **changes: Any) -> None:
        """Run a job that has ended once more, from its first attempt, with ``changes``; see ``Handle.retry``.

        Raises: JobNotFound, IllegalTransition, SpecRejected.
        """
        await self._life.ask(lambda handle: handle.retry(_id(job), **changes))

    async def operate(self, action: Literal["retry", "cancel"], *, within: Span = MONTH_S, **wish: Any) -> Operation:
        """Retry or cancel all jobs that match, and let time pass until that is done; see ``Handle.operate``.

        Returns: the operation as it ended. Raises: SpecRejected. Unfinished: it has not within so much virtual time.
        """
        wish.setdefault("id", self._next_id())
        begun = await self._life.ask(lambda handle: handle.operate(action, **wish))
        store = self._life.store
        await self._until(lambda: store.operation_of(begun.id).due_at is None, "done", within, lambda _: False)
        return store.operation_of(begun.id)

    @property
    def handle(self) -> Handle:
        """The node that serves, for code that takes a ``tickr.Handle``. After a crash or a restart there is another.

        Raises: RuntimeError: there is none at the moment.
        """
        handle = self._life.node.handle if self._life.node is not None and self._life.serves else None
        if handle is None:
            raise RuntimeError("No node serves at the moment: the one before has ended, and the next is about to come.")
        return handle

    def _next_id(self) -> str:
        """Return ids that grow as those of submissions do, and are the same in each run of a test."""
        self._numbers += 1
        instant = f"{self._life.time.now_us() // 1000:012x}"
        return f"{instant[:8]}-{instant[8:]}-7000-8000-{self._numbers:012x}"

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The instant that it is."""
        return self._life.time.now

    async def advance(self, span: Span) -> None:
        """Let so much time pass: all that is due meanwhile happens, in its order, and at the end of it as well.

        Cancellation: so much has passed as has.
        """
        with self._patience():
            await self._life.time.pass_for(_seconds(span))

    async def advance_to(self, instant: datetime) -> None:
        """Let time pass until ``instant``; see ``advance``. Raises: ValueError: it is past."""
        at_us = _us(instant)
        if at_us < self._life.time.now_us():
            raise ValueError(f"{instant} is past: it is {self.now}")
        with self._patience():
            await self._life.time.pass_until(at_us)

    async def idle(self, *, within: Span = MONTH_S) -> None:
        """Let time pass until nothing runs and nothing is due; jobs that are for later, or retry later, may be left.

        Raises: Unfinished: not within so much virtual time.
        """
        await self._until(self._is_idle, "idle", within, lambda job: not _is_later(job, self._life.time.now_us()))

    async def drained(self, *, within: Span = MONTH_S) -> None:
        """Let time pass until every job has ended. Raises: Unfinished: not within so much virtual time."""
        await self._until(lambda: not self._life.ledger.open, "drained", within, lambda _: True)

    async def result(self, job: Which, *, within: Span = MONTH_S) -> Any:
        """Let time pass until ``job`` has ended, and return its result as Python values.

        Raises:
          NotSucceeded: it has failed or was cancelled.
          Unfinished: it has not ended within so much virtual time.
        """
        job_id = self.job(job).id
        await self._until(lambda: self._life.ledger.has_ended(job_id), "done", within, lambda one: one.id == job_id)
        ended = self.job(job_id)
        if ended.state != State.SUCCEEDED:
            raise NotSucceeded(f"There is no result: {ended}")
        return ended.result

    def _is_idle(self) -> bool:
        return self._life.ledger.is_idle(self._life.time.now_us())

    async def _until(
        self, holds: Callable[[], bool], what: str, within: Span, concerns: Callable[[Stored], bool]
    ) -> None:
        """Return when ``holds``, a node serves, and nothing goes on at this instant any more."""

        def has_come() -> bool:
            return self._life.serves and holds()

        with self._patience():
            with trio.move_on_after(_seconds(within)):
                while True:
                    await self._life.ledger.wait(has_come)
                    await self._life.time.settle()
                    if has_come():
                        return
            await self._life.time.settle()  # what is due at the last instant happens, too
            if has_come():
                return
        passed = since(us_of(_seconds(within)))
        down = "" if self._life.serves else "No node serves: a handler of the one before has not ended yet.\n"
        raise Unfinished(f"Not {what} within {passed} of virtual time.\n{down}{self.told_left(concerns)}")

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """A block in which the test waits for Tickr alone."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    @property
    def is_waited_for(self) -> bool:
        """Whether the test waits for Tickr just now, and no handler runs."""
        return self._waiting > 0 and not self._life.ledger.running

    # -- the end of nodes ---------------------------------------------------------------------------------------------

    def crash_at(self, point: str, nth: int = 1, *, elsewhere: bool = False) -> None:
        """Have the node die, as by kill -9, at the ``nth`` time from now on that it reaches a failpoint.

        The next node comes a second later. Every crash that was asked for has to come, or the test fails at its end.

        Args:
          point: one of those in ``docs/faults.md``.
          elsewhere: the next node is on another machine: it takes the jobs over when the lease of the dead one is over.
            Otherwise it is on the same one, sees that the other is dead, and takes them over at once.
        Raises: ValueError: there is no such failpoint.
        """
        self._life.crashes.plan(point, nth, elsewhere=elsewhere)

    async def crash(self, *, elsewhere: bool = False) -> None:
        """Have the node die now, as by kill -9, and return when the next one serves; see ``crash_at``."""
        with self._patience():
            await self._life.kill(elsewhere=elsewhere)

    async def restart(self) -> None:
        """Have the node stop gracefully, and return when the next one serves.

        What runs has the time of ``grace``; what does not end in it is handed back and runs again on the next node.
        """
        with self._patience():
            await self._life.restart()

    # -- what happened ------------------------------------------------------------------------------------------------

    def job(self, job: Which) -> Job:
        """Return a job as it is at this instant. Raises: JobNotFound."""
        stored = self._life.store.find(_id(job))
        if stored is None:
            raise JobNotFound(_id(job))
        return self._shown(stored)

    def jobs(self, *, state: str | None = None, type: str | None = None) -> list[Job]:
        """Return the jobs of a state, a type or both, in the order in which they were created.

        Raises: ValueError: there is no such state, or nobody has ever heard of such a type.
        """
        if state is not None and state not in list(State):
            raise ValueError(f"{state!r} is no state of a job; there are {', '.join(State)}")
        self._check_type(type)
        found = [self._shown(job) for job in self._life.store.all_jobs if type in (None, job.type)]
        return [job for job in found if state in (None, job.state)]

    @property
    def events(self) -> list[Event]:
        """All that happened, in order: what the feed tells."""
        return list(self._life.ledger.events)

    def runs(self, type: str | None = None) -> list[Run]:
        """Return every call of a handler, or of those of ``type``, in order. Raises: ValueError: see ``jobs``."""
        self._check_type(type)
        return [run for run in self._runs if type in (None, run.type)]

    def note_run(self, job: Stored, arguments: dict[str, Any]) -> None:
        """Called just before a handler is."""
        now_us, ledger = self._life.time.now_us(), self._life.ledger
        self._runs.append(
            Run(
                type=job.type,
                job=job.id,
                attempt=job.attempt,
                fence=job.fence,
                time=datetime_of(now_us),
                arguments=arguments,
                since_us=now_us - self._life.time.start_us,
                look_up=lambda: ledger.next_of(job.id, job.version),
            )
        )

    def _shown(self, job: Stored) -> Job:
        life, vault = self._life, self._life.vault
        attempts = [vault.open_attempt(one, job.id) for one in life.store.attempts_of(job)]
        return of_job(vault.open_job(job), life.time.now_us(), attempts, life.ledger.of_job(job.id))

    def _check_type(self, type: str | None) -> None:
        if type is None or type in self._types:
            return
        known = self._types | {job.type for job in self._life.store.all_jobs}
        if type not in known:
            near = get_close_matches(type, known, n=1)
            raise ValueError(f"{type!r} has no handler and no job" + (f"; did you mean {near[0]!r}?" if near else ""))

    def told_left(self, concerns: Callable[[Stored], bool] = lambda _: True) -> str:
        """Return what has not ended and why, for errors."""
        return self._left.told(self._open(concerns), self._life.time.now_us())

    @property
    def story(self) -> str:
        """What has happened so far, a line for each job, of many for those to which something happened last."""
        life, told = self._life, list(dict.fromkeys(event.job for event in reversed(self._life.ledger.events)))
        jobs = [self.job(one) for one in reversed(told[:MOST_JOBS]) if life.store.find(one)]
        lines = [f"  {job.type} {short(job.id)} {job.state}: {job.timeline}" for job in jobs]
        more = [f"  … {len(told) - MOST_JOBS} jobs more …"] if len(told) > MOST_JOBS else []
        return "\n".join([f"What Tickr did until {since(life.time.now_us() - life.time.start_us)}:", *more, *lines])

    def _open(self, concerns: Callable[[Stored], bool]) -> Iterable[tuple[Stored, Job]]:
        for job_id in self._life.ledger.open:
            job = self._life.store.find(job_id)
            if job is not None and concerns(job):
                yield job, self._shown(job)


def _id(job: Which) -> str:
    return job if isinstance(job, str) else job.id


def _seconds(span: Span) -> float:
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if not seconds >= 0:
        raise ValueError(f"time passes forwards, not by {span!r}")
    return seconds


def _us(instant: datetime) -> int:
    if instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no time zone, so nobody knows when that is; give it tzinfo=datetime.UTC")
    return round((instant - EPOCH) / timedelta(microseconds=1))


def _is_later(job: Stored, now_us: int) -> bool:
    return job.state is State.BLOCKED or (job.state in DUE and job.run_at > now_us)
