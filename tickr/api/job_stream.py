"""``GET /jobs/stream``: a websocket on which a client submits jobs, many in flight, each answered once it is durable.

Comes in: text frames, each a job with a ``ref``, or an array of such. Goes out: an answer for each ref. Two tasks do
it. The one that reads the connection calls ``hear``: it reads jobs, puts them into the intake's line, and waits there
when too much is unanswered, so that nothing more is read. The other (``serve``) waits for what was entered, oldest
first as the line has it, and alone writes: what is pending goes together. A stop ends the taking; what was taken is
answered.

State: everything in ``JobStream``; ``hear`` adds to ``_entered`` and ``_told``, ``serve`` takes out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import trio
from msgspec import Raw
from quart import Response

from tickr.api import job_frames, parts
from tickr.api.connection import Reading, has_room_for, too_much_at_once
from tickr.api.event_socket import LINGER_S, close_code
from tickr.api.job_frames import Ref, is_array
from tickr.api.jobs import ANSWERED_WITHIN_S
from tickr.api.parts import Pace
from tickr.api.problems import Problem, problem_of
from tickr.api.results import Refusals
from tickr.batching import Ticket
from tickr.failpoints import reach
from tickr.intake import MAX_BATCH_BYTES, Stored
from tickr.jobs import NewJob
from tickr.scopes import Scope
from tickr.store.contract import MAX_BATCH
from tickr.store.links import has_dependencies
from tickr.traces import Trace

if TYPE_CHECKING:
    from tickr.api.app import Edge

PATH = "/jobs/stream"
MAX_UNANSWERED = 5_000
"""Jobs of one connection that are taken and not answered; with so many, nothing more is read from it."""
MAX_UNANSWERED_BYTES = 16 * 1024 * 1024
"""The same in bytes; a single frame may be as large (``messages.py``)."""
PING_EVERY_S = 15.0
"""When nothing was said for so long, a ping is: a client that has gone without a word is noticed (TCP_USER_TIMEOUT)."""


def add_routes(app: Edge) -> None:
    async def plain() -> Response:
        detail = "This is a websocket: ask for it with Connection: Upgrade and Upgrade: websocket."
        raise Problem(426, "upgrade_required", detail, headers={"Upgrade": "websocket"})

    app.add_call("GET", PATH, "stream", plain, Scope.JOBS_WRITE)


class _Load:
    """Jobs that were read and go into the line together: all are plain, or none, as these have a line of their own."""

    def __init__(self) -> None:
        self.refs: list[Ref] = []
        self.new: list[NewJob] = []
        self.size_bytes = 0

    def add(self, ref: Ref, new: NewJob, size_bytes: int) -> None:
        self.refs.append(ref)
        self.new.append(new)
        self.size_bytes += size_bytes

    @property
    def full(self) -> bool:
        return len(self.new) >= MAX_BATCH or self.size_bytes >= MAX_BATCH_BYTES


class _Entered(NamedTuple):
    """Jobs that are in the line; ``until``: when they are answered in any case, by trio's clock."""

    ticket: Ticket[NewJob, Stored]
    load: _Load
    until: float


class JobStream:
    """One client.

    Args:
      refusal: why it is let in only to be told so; None: it is welcome.
      send: ASGI's.
      trace: of the handshake; counts for every job that has none of its own.
    """

    def __init__(self, app: Edge, refusal: Problem | None, send: Any, trace: Trace | None = None) -> None:
        self._app = app
        self._intake = app.context.intake
        self._store = app.context.store
        self._defaults = app.context.defaults
        self._most_bytes = app.context.config.max_body
        self._send = send
        self._trace = trace
        self._ending = refusal
        self._in_arrays = False
        self._entered: deque[_Entered] = deque()
        self._told: list[bytes] = []
        self._refusals = Refusals()
        self._unanswered = 0
        self._unanswered_bytes = 0
        self._held_bytes = 0
        self._half_said: Reading | None = None
        self._news = trio.Event()
        self._room = trio.lowlevel.ParkingLot()

    # -- the task that reads ------------------------------------------------------------------------------------------

    @property
    def half_said(self) -> Reading | None:
        """The long message that is not whole, if there is one; it may be given up when others need its room."""
        return self._half_said

    @half_said.setter
    def half_said(self, message: Reading | None) -> None:
        if message is not self._half_said:
            if self._half_said is not None:
                self._app.half_said.pop(self._half_said, None)
            if message is not None and not self._over():
                self._app.half_said[message] = trio.current_time()
            self._half_said = message

    def hold(self, count: int) -> None:
        """Count ``count`` bytes more of this client's in memory. Raises: Problem: they are not to be kept."""
        if self._ending is not None:
            raise self._ending
        if not has_room_for(self._app, count):
            raise too_much_at_once()
        self._app.body_bytes += count
        self._held_bytes += count

    def drop(self, count: int) -> None:
        count = min(count, self._held_bytes)  # at the end of ``serve`` all of it was dropped
        self._app.body_bytes -= count
        self._held_bytes -= count

    def _over(self) -> bool:
        """Whether nothing more is taken."""
        return self._ending is not None

    async def hear(self, messages: Sequence[bytes | Problem]) -> None:
        """Take the jobs in what the client said; return when more may be read.

        Cancellation: those that have been put into the line are stored, and nobody is told.
        """
        try:
            await self._hear(messages)
        except Exception as error:
            self._end_with(problem_of(error))

    async def _hear(self, messages: Sequence[bytes | Problem]) -> None:
        loads, pace, most = {True: _Load(), False: _Load()}, Pace(), self._most_bytes
        for message in messages:
            if self._over():
                return
            try:
                if isinstance(message, Problem):
                    raise message
                objects = await self._objects(message)
            except Problem as problem:
                await self._refuse(None, problem)
                continue
            for raw in objects:
                await pace.keep(len(raw))
                if self._over():
                    return
                try:
                    ref, new = self._read(raw, most)
                except Problem as problem:
                    await self._refuse(job_frames.ref_of(raw), problem)
                    continue
                load = loads[new.plain]
                load.add(ref, new, len(raw) + parts.JOB_BYTES)
                if load.full:
                    if not new.plain:  # which may depend on plain ones that came before
                        await self._enter_rest(loads[True])
                        loads[True] = _Load()
                    loads[new.plain] = _Load()
                    await self._enter(load)
        for load in loads.values():
            await self._enter_rest(load)

    async def _enter_rest(self, load: _Load) -> None:
        if load.new:
            await self._enter(load)

    def _read(self, raw: bytes | Raw, most_bytes: int) -> tuple[Ref, NewJob]:
        return job_frames.read(
            raw, most_bytes=most_bytes, now=self._store.now_us(), defaults=self._defaults, trace=self._trace
        )

    async def _objects(self, message: bytes) -> Sequence[bytes | Raw]:
        """Return the jobs in ``message``. Raises: Problem."""
        if not is_array(message):
            return (message,)
        self._in_arrays = True
        return await parts.split(message)

    async def _enter(self, load: _Load) -> None:
        """Put ``load`` into the line once there is room in it, and for so much unanswered.

        Jobs that depend on others wait until all that came before them is answered.
        """
        if has_dependencies(load.new):
            while not self._over() and self._unanswered:
                await self._room.park()
        await self._wait_room(len(load.new), load.size_bytes)
        with trio.move_on_after(ANSWERED_WITHIN_S):
            await self._intake.wait_room(load.new)
        if self._over():
            return
        self._unanswered += len(load.new)
        self._unanswered_bytes += load.size_bytes
        try:
            self.hold(load.size_bytes)
            ticket = self._intake.enter(load.new)
        except Exception as error:
            if not isinstance(error, Problem):
                self.drop(load.size_bytes)
            self._unanswered_bytes -= load.size_bytes
            for ref, new in zip(load.refs, load.new, strict=True):
                self._told.append(self._refused(ref, new, error))
        else:
            self._entered.append(_Entered(ticket, load, trio.current_time() + ANSWERED_WITHIN_S))
        self._news.set()

    async def _refuse(self, ref: Ref | None, problem: Problem) -> None:
        await self._wait_room(1, 0)
        self._unanswered += 1
        self._told.append(job_frames.refused(ref, Refusals.document(problem)))
        self._news.set()

    async def _wait_room(self, count: int, size_bytes: int) -> None:
        while (
            not self._over()
            and self._unanswered
            and (
                self._unanswered + count > MAX_UNANSWERED or self._unanswered_bytes + size_bytes > MAX_UNANSWERED_BYTES
            )
        ):
            await self._room.park()

    # -- the task that writes -----------------------------------------------------------------------------------------

    async def serve(self, receive: Any) -> None:
        """Answer until the client goes or the node stops, and say goodbye.

        Cancellation: what was taken is stored and nobody is told; the connection is cut if something is being said.
        """
        try:
            async with trio.open_nursery() as tasks:
                tasks.start_soon(self._hear_end, receive, tasks)
                tasks.start_soon(self._watch_stop)
                with ExitStack() as seat:
                    try:
                        seat.enter_context(self._app.audience.seat())
                    except Problem as refusal:
                        self._end_with(refusal)  # what has been taken meanwhile is answered all the same
                    try:
                        await self._answer_all()
                    except Exception as error:
                        self._end_with(problem_of(error))
                await self._say_goodbye()
                tasks.cancel_scope.cancel()
        finally:
            self._end_with(_gone())
            self.half_said = None
            self.drop(self._held_bytes)

    async def _hear_end(self, receive: Any, tasks: trio.Nursery) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass
        tasks.cancel_scope.cancel()

    async def _watch_stop(self) -> None:
        await self._app.context.stopping.wait()
        detail = "This node stops. What it has not answered is to be sent again."
        self._end_with(Problem(503, "stopping", detail, headers={"Retry-After": "1"}))

    def _end_with(self, why: Problem) -> None:
        """Take nothing more; the first reason counts."""
        if self._ending is None:
            self._ending = why
        self._news.set()
        self._room.unpark_all()

    async def _answer_all(self) -> None:
        while self._entered or self._told or not self._over():
            if self._entered:
                await self._await_entered()
            if self._told:
                await self._say()
            else:
                await self._wait_news()

    async def _wait_news(self) -> None:
        self._news = trio.Event()
        with trio.move_on_after(PING_EVERY_S) as quiet:
            await self._news.wait()
        if quiet.cancelled_caught:
            await self._send({"type": "websocket.ping"})

    async def _await_entered(self) -> None:
        """Wait for the oldest jobs that were entered; take along what else is done."""
        while self._entered:
            ticket, load, until = self._entered[0]
            within_s = max(0.0, until - trio.current_time())
            answers = await self._intake.answers(ticket, within_s=within_s)
            self._entered.popleft()
            now = self._store.now_us()
            for ref, new, answer in zip(load.refs, load.new, answers, strict=True):
                told = (
                    self._refused(ref, new, answer)
                    if isinstance(answer, Exception)
                    else job_frames.done(ref, answer, now)
                )
                self._told.append(told)
            self._unanswered_bytes -= load.size_bytes
            self.drop(load.size_bytes)
            if self._entered and not self._entered[0].ticket.settled:
                break
        self._refusals = Refusals()

    def _refused(self, ref: Ref, new: NewJob, error: Exception) -> bytes:
        return job_frames.refused(ref, self._refusals.of(error, new)[1])

    async def _say(self) -> None:
        told, self._told = self._told, []
        await reach("api.before_answer")
        texts = [text.decode() for text in (job_frames.arrays(told) if self._in_arrays else told)]
        await self._send({"type": "websocket.send", "bytes": None, "text": None, "texts": texts})
        self._unanswered -= len(told)
        self._room.unpark_all()

    async def _say_goodbye(self) -> None:
        assert self._ending is not None
        if self._ending.code != "stopping":
            text = job_frames.refused(None, Refusals.document(self._ending)).decode()
            await self._send({"type": "websocket.send", "bytes": None, "text": text})
        close = {"type": "websocket.close", "code": close_code(self._ending), "reason": self._ending.code}
        await self._send(close)
        # The client's close ends the wait.
        await trio.sleep(LINGER_S)


def _gone() -> Problem:
    return Problem(503, "stopping", "This connection is over.")
