"""Gathering: the attempts of one type that meet on a node, so that their handler is called once for all of them.

Comes in: attempts of types whose handler has a ``Batch``, each in a worker task of its own, inside its own middleware.
The first opens a gathering of its type. It closes when there are ``size``, when ``within`` is over, or when nobody else
can come because all slots are taken. Then the one that came first, the *leader*, calls the handler in its task, and the
others wait. Goes out: to each attempt its own result, or its own error.

None of them ends before the handler has: a member that is asked to stop stops the handler, and with it all the others,
who are handed back (``StopReason.BATCH``). Who is asked to stop while the gathering is open simply leaves.

State: ``Gatherings`` belongs to the pool of a node and is written by its worker tasks only.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

import trio

from tickr.worker import stacks
from tickr.worker.attempt import RunningJob, StopReason
from tickr.worker.batch import Batch
from tickr.worker.failures import BadResult, Unresponsive
from tickr.worker.view import Job

Call = Callable[[list[Job]], Awaitable[Any]]
"""Calls the handler with the jobs, wherever it runs, and returns what it returns."""

_CONCERNS_ALL = (StopReason.SHUTDOWN, StopReason.LEASE_LOST)


class Gatherings:
    """The gatherings of one node; of each type one is open at most.

    Args:
      is_full: whether all slots are taken, and nothing that was claimed can start before one is free.
      patience_s: how long a handler may take to end after it was asked to, in seconds.
    Attributes:
      waiting: who waits for a handler in another task to end, and sees to its own end.
    """

    def __init__(self, is_full: Callable[[], bool], *, patience_s: float) -> None:
        self._is_full = is_full
        self._patience_s = patience_s
        self._open: dict[str, _Gathering] = {}
        self._coming: defaultdict[str, set[RunningJob]] = defaultdict(set)
        self.waiting: set[RunningJob] = set()

    @contextlib.contextmanager
    def expecting(self, running: RunningJob) -> Iterator[None]:
        """Have its gathering wait for ``running``, which is in its middleware, until it joins or the block ends."""
        coming = self._coming[running.job.type]
        coming.add(running)
        self.look()
        try:
            yield
        finally:
            if running in coming:  # its middleware has ended it
                coming.discard(running)
                self.look()

    def look(self) -> None:
        """Close what nobody else can join: called whenever an attempt has begun, once those know of it."""
        if self._open and self._is_full():
            for type, gathering in list(self._open.items()):
                if not self._coming[type]:
                    self._close(gathering)

    async def join(self, running: RunningJob, view: Job, batch: Batch, call: Call) -> Any:
        """Return what the handler has returned for this attempt, or raise what it has for it.

        Args:
          view: the job as its middleware and the handler see it.
          call: made if this attempt is the leader.
        Raises: BadResult: what it returned is no list of results. Unresponsive: it was to end, and did not.
        Cancellation: the handler and all others of its batch are stopped; returns when the handler has ended, or after
          ``patience_s``. A success then is a success.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        gathering = self._open.get(running.job.type)
        if gathering is None:
            gathering = self._open[running.job.type] = _Gathering(running.job.type, batch)
        gathering.members[running] = view
        self._coming[running.job.type].discard(running)
        if len(gathering.members) >= batch.size:
            self._close(gathering)
        else:
            self.look()
        await self._wait_closed(gathering, running)
        if gathering.leader is running:
            return await gathering.lead(call)
        self.waiting.add(running)
        try:
            return await gathering.follow(running, self._patience_s)
        finally:
            self.waiting.remove(running)

    async def _wait_closed(self, gathering: _Gathering, running: RunningJob) -> None:
        """Return when the handler may be called, with ``running`` among its jobs. Cancellation: it has left."""
        if not gathering.closed.is_set():
            try:
                with trio.move_on_at(gathering.closes_at):
                    await gathering.closed.wait()
            except trio.Cancelled:
                if not gathering.closed.is_set():
                    self._leave(gathering, running)
                raise
        if not gathering.closed.is_set():
            self._close(gathering)
        if running not in gathering.members:
            await trio.sleep_forever()  # it was asked to stop just before, and ends here

    def _leave(self, gathering: _Gathering, running: RunningJob) -> None:
        del gathering.members[running]
        if not gathering.members:
            del self._open[gathering.type]

    def _close(self, gathering: _Gathering) -> None:
        del self._open[gathering.type]
        gathering.close()


class _Gathering:
    """Attempts of one type that are in one batch; the first of ``members`` is the leader."""

    def __init__(self, type: str, batch: Batch) -> None:
        self.type = type
        self.members: dict[RunningJob, Job] = {}
        self.closes_at = trio.current_time() + batch.within
        self.closed = trio.Event()
        self._ended = trio.Event()
        self._stopped = False
        self._results: dict[RunningJob, Any] = {}
        self._error: BaseException | None = None
        self._raised_at: TracebackType | None = None

    @property
    def leader(self) -> RunningJob:
        return next(iter(self.members))

    def close(self) -> None:
        """Let nobody else in; those that are asked to stop by now are on their way out. The others' time runs."""
        for one in self.members:
            one.notice_timeout()
        self.members = {one: view for one, view in self.members.items() if one.reason is None}
        for one in self.members:
            one.company = self
            one.start_clock()
        self.closed.set()

    def stop(self, reason: StopReason) -> None:
        """Stop all, as one of them was stopped for ``reason`` (``attempt.Company``)."""
        if not self._stopped and not self._ended.is_set():
            self._stopped = True
            for one in self.members:
                one.stop(reason if reason in _CONCERNS_ALL else StopReason.BATCH)

    async def lead(self, call: Call) -> Any:
        """Have the handler called for all and return what it has for the leader, or raise it.

        Cancellation: when the handler has ended, or as ``call`` has it; the others have the same error then.
        """
        leader = self.leader
        try:
            self._results = self._read(await call(list(self.members.values())))
        except BaseException as error:  # the boundary to code of others, and it goes on
            leader.notice_timeout()  # so that it is known why the others are stopped
            self._error, self._raised_at = error, error.__traceback__
            raise
        finally:
            self._ended.set()
        return self._result_of(leader)

    async def follow(self, running: RunningJob, patience_s: float) -> Any:
        """Wait for the end of the handler and return what it has for ``running``, or raise it."""
        try:
            await self._ended.wait()
        except trio.Cancelled:
            running.notice_timeout()  # so that the leader is stopped, if it is not yet
            with trio.move_on_after(patience_s, shield=True):
                await self._ended.wait()
            if not self._ended.is_set():
                raise Unresponsive(stacks.of_attempt(running)) from None
        return self._result_of(running)

    def _read(self, value: Any) -> dict[RunningJob, Any]:
        """Return the result of each member, an exception for one that has failed. Raises: BadResult."""
        if value is None:
            return dict.fromkeys(self.members)
        if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) != len(self.members):
            of = f"{len(value)} of them" if isinstance(value, list | tuple) else type(value).__qualname__
            raise BadResult(
                f"The handler of a batch returns None, or a list of results: one for each of its {len(self.members)} "
                f"jobs, in their order, an exception for one that has failed. This one returned {of}."
            )
        return dict(zip(self.members, value, strict=True))

    def _result_of(self, running: RunningJob) -> Any:
        if self._error is not None:  # the same for all, and each as it came from the handler
            raise self._error.with_traceback(self._raised_at)
        result = self._results[running]
        if isinstance(result, BaseException):
            raise result
        return result
