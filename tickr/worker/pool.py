"""Pool: the tasks that run claimed jobs, the slots they stand for, and what becomes of those that do not stop.

Claimed jobs come in through ``start``, outcomes go out to ``outcomes.put``, each exactly once, after the last of what
its handler said. A fixed number of worker tasks runs one job after the other, each directly, without a task of its own.
The price: a handler that ignores its cancellation keeps the worker task. Once a second ``run`` looks for those; it
writes the task off as a *zombie*, gives the outcome in its stead and starts a fresh task. What the zombie still does
counts for nothing. While there is nothing to look for, nobody looks.

Threads that do not stop are abandoned in ``elsewhere.py``. Up to as many tasks and as many threads as there are slots
are made up for; of those beyond, each costs a slot until it ends, and the log says so (``worker.slots_lost``).

A zombie can not be ended from inside Python. The worker tasks live in a nursery that is given to ``run`` and must be
the outermost of the program: it can not be left while ``zombies`` holds a task, and a program that has stored and
closed everything ends itself by ``os._exit`` then.

State: ``_held`` (attempts without outcome) and ``_zombies`` are written here only, in trio's thread.
"""

from __future__ import annotations

import contextvars
import math
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import trio

from tickr.failpoints import reach
from tickr.jobs import Job
from tickr.reports import Outcome
from tickr.sealing import NO_VAULT, Vault
from tickr.worker import stacks
from tickr.worker.attempt import RunningJob, Sink, StopReason, Zombie, left_behind
from tickr.worker.elsewhere import Elsewhere
from tickr.worker.gathering import Gatherings
from tickr.worker.handlers import Jobs
from tickr.worker.inbox import Inbox
from tickr.worker.leash import Leash
from tickr.worker.pace import Pace
from tickr.worker.retirement import UNBOUNDED, Bounds
from tickr.worker.run import Conditions, not_started, run_attempt, tell, unresponsive
from tickr.worker.suspect import Suspects

LOOK_S = 1.0
"""Time between two looks for handlers that do not stop, in seconds."""
UNSTARTED_S = 0.5
"""A job for which there was no slot for so long goes back, in seconds; it is looked for at every ``LOOK_S``."""
PARTS = 4
"""One of so many parts of the slots is for direct starts (``direct.py``)."""
TURNS = 16
"""A worker task lets others run at least every so many jobs."""


class Pool:
    """The slots of one node.

    Args:
      slots: how many jobs run at once, >= 1.
      max_result_bytes: longer results fail their job.
      unresponsive_after_s: how long a handler may take to end after it was asked to, in seconds.
      bounds: of its processes. chance: returns 0 <= x < 1, for the jitter of delays.
    Attributes:
      elsewhere: its threads and processes.
    """

    def __init__(
        self,
        jobs: Jobs,
        outcomes: Sink,
        *,
        slots: int,
        max_result_bytes: int,
        unresponsive_after_s: float = 5.0,
        bounds: Bounds = UNBOUNDED,
        chance: Callable[[], float] = random.random,
        vault: Vault = NO_VAULT,
    ) -> None:
        self._jobs, self._outcomes = jobs, outcomes
        self._slots = self._most = slots
        self.elsewhere = Elsewhere(
            slots=slots,
            patience_s=unresponsive_after_s,
            bounds=bounds,
            on_thread_abandoned=partial(self._tell_left_behind, where="thread"),
            on_thread_ended=self._thread_ended,
        )
        self._gatherings = Gatherings(self._is_full, patience_s=unresponsive_after_s)
        self._conditions = Conditions(
            max_result_bytes=max_result_bytes,
            patience_s=unresponsive_after_s,
            elsewhere=self.elsewhere,
            gatherings=self._gatherings,
            chance=chance,
            vault=vault,
        )
        self._inbox, self._pace = Inbox(), Pace()
        self._held: dict[tuple[str, int], RunningJob] = {}
        self._zombies: dict[RunningJob, Zombie] = {}
        self._suspects = Suspects(self.holds)
        self._reserved = self._lost_tasks = self._told_lost = 0
        self._tasks: trio.Nursery | None = None
        self._freed, self._ended, self._rested, self._closed = trio.Event(), trio.Event(), trio.Event(), False

    def resize(self, slots: int) -> None:
        """Run up to ``slots`` jobs at once from now on; what runs beyond that goes on."""
        if self._tasks and not self._closed:
            for _ in range(slots - self._most):
                self._start_task()
        self._slots, self._most = slots, max(slots, self._most)
        self.elsewhere.resize(slots)
        self._freed.set()

    def work_as(self, node: str) -> None:
        """See ``Conditions.work_as``."""
        self._conditions.work_as(node)

    # -- for the claim loop --------------------------------------------------------------------------------------

    @property
    def free(self) -> int:
        """How many slots no job has or is to have; less than 0 when there are jobs without a slot."""
        return self._slots - len(self._held) - self._reserved - self.lost

    @property
    def lost(self) -> int:
        """How many slots are gone to handlers that were left behind."""
        return self._lost_tasks + self.elsewhere.lost

    @property
    def room(self) -> int:
        """How many jobs may be claimed now: for the free slots, and ahead of those that are free in a moment."""
        return max(0, self.free + self._pace.ahead())

    @property
    def part(self) -> int:
        """How many jobs may start here past the claim loop: few enough that other nodes get their share of a burst."""
        return max(0, min(self.free, -(-self._slots // PARTS) - len(self._held) - self._reserved))

    def reserve(self, count: int) -> None:
        """Keep so many of the free slots for jobs that are about to be started, until ``release``."""
        self._reserved += count

    def release(self, count: int) -> None:
        """Give back so many slots that were kept: those jobs have been started, or will not be."""
        self._reserved -= count
        self._freed.set()

    async def wait_free(self) -> int:
        """Return ``room`` as soon as a slot is free, or will be in a moment; and outcomes have room."""
        await self._outcomes.wait_room()
        while (room := self.room) < 1 + self._pace.ahead() // 2:
            self._freed = trio.Event()
            await self._freed.wait()
        return room

    @property
    def has_suspect(self) -> bool:
        """Whether a suspect runs here of which it is not known yet that it does no harm."""
        return self._suspects.one_runs

    def _is_full(self) -> bool:
        """Whether nothing can start before something ends: all slots are taken, and what waits here finds no task."""
        waiting, tasks = len(self._inbox), self._most - self._lost_tasks
        return len(self._held) >= self._slots - self.lost and (not waiting or len(self._held) - waiting >= tasks)

    def start(self, jobs: Sequence[Job]) -> None:
        """Start claimed jobs: at most ``room``, of types that have a handler here."""
        if self._ended.is_set():  # a claim that was in flight when the pool was closed and empty
            self._ended = trio.Event()
        if self._inbox.closed:  # an error has ended the node during this claim; its lease gives the jobs back
            return
        self._inbox.put([self._held_from_now(job) for job in jobs])
        self._rested.set()

    def _held_from_now(self, job: Job) -> RunningJob:
        handler = self._jobs.get(job.type)
        assert handler is not None, f"claimed a job of type {job.type!r}, for which there is no handler here"
        running = self._held[job.id, job.fence] = RunningJob(job, handler, self._outcomes)
        if job.suspect:
            self._suspects.started(job)
        return running

    # -- for the service -----------------------------------------------------------------------------------------

    async def run(self, tasks: trio.Nursery) -> None:
        """Run what is started, until ``close`` was called and all of it has its outcome.

        Args:
          tasks: where the worker tasks live; see the module for what it must be.
        Cancellation: every attempt is stopped for SHUTDOWN; nobody waits for their outcomes.
        """
        self._tasks, self._context = tasks, contextvars.copy_context()
        async with self.elsewhere.open():
            for _ in range(self._most):
                self._start_task()
            try:
                while self._held or not self._closed:
                    with trio.move_on_after(LOOK_S):
                        await self._ended.wait()
                    self._look_for_unresponsive()
                    self._hand_back_unstarted()
                    await self._rest()
            finally:
                self.close()
                self.stop_all(StopReason.SHUTDOWN)
                for zombie in self._zombies:
                    zombie.expose()
                self._inbox.close()

    def close(self) -> None:
        """Nothing more will be started; ``run`` returns when what was has ended."""
        self._closed = True
        self._rested.set()
        if not self._held:
            self._ended.set()

    async def _rest(self) -> None:
        """Return when it is worth looking again: an attempt begins, nears its end or is to stop; or some did not."""
        self._rested = trio.Event()
        if not (self._closed or self._zombies):
            with trio.move_on_at(min((one.quiet_until for one in self._held.values()), default=math.inf)):
                await self._rested.wait()

    def stop(self, job_id: str, reason: StopReason, *, fence: int | None = None) -> None:
        """Ask the attempt of ``job_id`` (the one with ``fence``, if given) to stop, if it is here."""
        for running in list(self._held.values()):
            if running.job.id == job_id and fence in (None, running.job.fence):
                running.stop(reason)
        self._rested.set()

    def change_timeout(self, job: Job) -> None:
        """Have the very attempt that ``job`` is in end in the time that it has now, if it is here."""
        if running := self._held.get((job.id, job.fence)):
            running.change_timeout(job)
            self._rested.set()

    def stop_all(self, reason: StopReason) -> None:
        self._rested.set()
        for running in list(self._held.values()):
            running.stop(reason)

    def holds(self, job_id: str, fence: int) -> bool:
        """Whether this very attempt is here and has no outcome yet."""
        return (job_id, fence) in self._held

    @property
    def running(self) -> list[Job]:
        """The jobs that were started and have no outcome yet."""
        return [running.job for running in self._held.values()]

    def stack(self, job_id: str) -> str:
        """Return where the handler of a job stands that runs here, or was left behind; "" if there is none."""
        found = (one for one in (*self._held.values(), *self._zombies) if one.job.id == job_id)
        return "".join(map(stacks.of_attempt, found))

    @property
    def zombies(self) -> list[Zombie]:
        """The handlers left behind; those of ``where == "task"`` keep trio, and so the program, from ending."""
        return [*self._zombies.values(), *(left_behind(one, "thread") for one in self.elsewhere.abandoned)]

    def find(self, task: trio.lowlevel.Task) -> RunningJob | None:
        """Return the attempt that runs directly in ``task``, zombies included. Any thread may ask: for the watchdog."""
        held, zombies = self._held.copy(), self._zombies.copy()
        return next((one for one in (*held.values(), *zombies) if one.task is task), None)

    # -- the worker tasks ----------------------------------------------------------------------------------------

    def _start_task(self) -> None:
        assert self._tasks, "run has not begun"
        self._context.run(self._tasks.start_soon, self._host)

    async def _host(self) -> None:
        """Hold one worker task: what a handler leaves open in it ends with it, and breaks nothing else."""
        left_open = trio.Event()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._work, left_open)
        except* RuntimeError:
            if not left_open.is_set():
                raise

    async def _work(self, left_open: trio.Event) -> None:
        """Run one job after the other, until there will be no more or this task is no longer fit for others' jobs."""
        leash = Leash()
        while (running := await self._inbox.take()) is not None:
            turns = 1
            try:
                while await self._run_one(running, leash, left_open):
                    if turns == TURNS or (following := self._inbox.take_nowait()) is None:
                        break
                    running, turns = following, turns + 1
                else:
                    return
            finally:
                leash.drop()
            if turns == TURNS:
                await trio.lowlevel.checkpoint()

    async def _run_one(self, running: RunningJob, leash: Leash, left_open: trio.Event) -> bool:
        """Run one attempt and give its outcome. Returns whether this task is fit for another one."""
        task = running.task = trio.lowlevel.current_task()
        try:
            await reach("run.before_handler")
            if running.handler.batch is None:
                self._gatherings.look()  # it may have taken the last slot
            outcome = await run_attempt(running, leash, self._conditions)
            await reach("run.after_handler")
        except BaseException:
            self._forget(running)
            raise
        finally:
            running.task = None
            if task.child_nurseries:  # an async generator that was left in the middle does that
                left_open.set()
        if not self._settle(running, outcome):
            self._bury(running)  # a fresh task has taken this one's place long since
            return False
        # What a handler sets in its context or leaves open is not for the jobs after it.
        if left_open.is_set() or contextvars.copy_context() != self._context:
            self._start_task()
            return False
        return True

    def _settle(self, running: RunningJob, outcome: Outcome) -> bool:
        """Give the attempt's outcome, unless it has one already: then nothing happens and False comes back."""
        if running.settled:
            return False
        running.close()
        tell(outcome, running, self._conditions)
        self._outcomes.put(outcome)
        self._forget(running)
        return True

    def _forget(self, running: RunningJob) -> None:
        self._held.pop((running.job.id, running.job.fence), None)
        self._pace.job_ended()
        self._freed.set()
        if self._closed and not self._held:
            self._ended.set()

    # -- those that do not stop ----------------------------------------------------------------------------------

    def _look_for_unresponsive(self) -> None:
        for zombie in self._zombies:
            zombie.remind()
        now = trio.current_time()
        patience_ends_at = now - self._conditions.patience_s
        for running in list(self._held.values()):
            running.look_at_clock(now)
            running.notice_timeout()
            if running.task is None or running.stopped_at is None or running.stopped_at > patience_ends_at:
                continue
            if not self._conditions.is_looked_after(running):
                self._write_off(running, running.task)

    def _hand_back_unstarted(self) -> None:
        """Hand back what was claimed ahead when slots did not get free as expected: others may have some."""
        for running in self._inbox.take_older(trio.current_time() - UNSTARTED_S):
            self._settle(running, not_started(running, self._conditions))

    def _write_off(self, running: RunningJob, task: trio.lowlevel.Task) -> None:
        outcome = unresponsive(running, stacks.of_task(task), self._conditions)
        self._zombies[running] = left_behind(running, "task")
        if len(self._zombies) <= self._slots:
            self._start_task()
        else:
            self._lost_tasks += 1  # or a type that never listens would fill the memory with tasks
        self._settle(running, outcome)
        self._tell_left_behind(running, "task")

    def _bury(self, running: RunningJob) -> None:
        del self._zombies[running]
        if self._lost_tasks:
            self._lost_tasks -= 1
            self._start_task()
            self._freed.set()
        self._tell_end(running)

    def _thread_ended(self, running: RunningJob) -> None:
        self._freed.set()
        self._tell_end(running)

    def _tell_left_behind(self, running: RunningJob, where: Literal["task", "thread"]) -> None:
        job, zombies = running.job, len(self.zombies)
        self._conditions.log.error("job.left_behind", job=job.id, type=job.type, where=where, zombies=zombies)
        self._tell_lost()

    def _tell_end(self, running: RunningJob) -> None:
        job, zombies = running.job, len(self.zombies)
        self._conditions.log.warning("job.left_behind_ended", job=job.id, type=job.type, zombies=zombies)
        self._tell_lost()

    def _tell_lost(self) -> None:
        """Say how many slots are lost, each time that has changed."""
        if self.lost != self._told_lost:
            self._told_lost = self.lost
            left = {"tasks": len(self._zombies), "threads": len(self.elsewhere.abandoned)}
            self._conditions.log.warning("worker.slots_lost", lost=self.lost, slots=self._slots, **left)
