"""The client for async programs, on trio and on asyncio.

Any number of tasks of one event loop may share one ``AsyncClient``; that is how their submissions travel together. It
has no task of its own. What is done is decided in ``submission.py``, ``calls.py`` and ``subscription.py``; here it is
done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, Unpack

import anyio
import anyio.lowlevel
import httpx2

from tickr.client import connection
from tickr.client.address import address
from tickr.client.bodies import CurrentTrace, Prepare, preparation
from tickr.client.calls import Calls
from tickr.client.connection import Departure
from tickr.client.errors import Closed
from tickr.client.event_records import Event
from tickr.client.listing import Pages
from tickr.client.nodes import AsyncNodes
from tickr.client.operation_records import Changes, Count, Filters, History, Names
from tickr.client.operations import AsyncOperations
from tickr.client.queues import AsyncQueues
from tickr.client.records import (
    Broadcast,
    BroadcastOptions,
    Job,
    JobRef,
    Log,
    NewJob,
    Options,
    Results,
    Submitted,
    Tree,
)
from tickr.client.schedules import AsyncSchedules
from tickr.client.steps import Lost, Reply, Request, Send, Step, Steps, Until, Value
from tickr.client.submission import Submission
from tickr.client.subscription import SILENCE_S, Subscription

CLOSE_S = 1.0
"""Longest time that the end of a connection may take once nobody needs it, in seconds."""


class _Signal:
    """Wakes the one task that waits. Set by tasks of the same loop."""

    __slots__ = ("_event", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._event: anyio.Event | None = None

    def set(self) -> None:
        self._is_set = True
        if self._event is not None:
            self._event.set()

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> None:
        if self._is_set:
            await anyio.lowlevel.checkpoint()
            return
        self._event = anyio.Event()
        try:
            await self._event.wait()
        finally:
            self._event = None


class AsyncClient:
    """One Tickr, asked by tasks. An async context manager; every method raises ``ClientError``.

    Args:
      url: of the server; TICKR_URL or http://127.0.0.1:8080 if it is None.
      token: sent with every request; TICKR_TOKEN if it is None.
      ca: file (PEM) of an authority of your own that vouches for a server at https://…; TICKR_CA if it is None.
      total_s: how long a submission, or another call, is tried in seconds, pauses and all.
      trace: returns what is handed in with each job that has no ``traceparent`` of its own: ``tickr.otel.current``.
      prepare: called with the fields of each job while its caller hands it in, and may change them: labels for all of a
        program, the queue by a rule of yours. What it raises goes to the caller, and nothing is sent.
      compress_above: a longer request, in bytes, is sent compressed (gzip); None: none is.
    Attributes:
      schedules: what may be asked about schedules; ``operations``: about what is done to many jobs.
      queues: how they stand, and what is set on them; ``nodes``: who is there, and what they are told.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        ca: str | None = None,
        total_s: float = 30.0,
        trace: CurrentTrace | None = None,
        prepare: Prepare | None = None,
        compress_above: int | None = None,
    ) -> None:
        found = address(url, token, ca)
        self.url = found.url
        self._http = httpx2.AsyncClient(**connection.options(found))
        before = preparation(prepare, trace)
        self._submission = Submission(
            self.url,
            total_s=total_s,
            now=anyio.current_time,
            signal=_Signal,
            prepare=before,
        )
        self._calls = Calls(self.url, total_s=total_s, now=anyio.current_time)
        self.schedules = AsyncSchedules(self._run, self._calls)
        self.queues = AsyncQueues(self._run, self._calls)
        self.nodes = AsyncNodes(self._run, self._calls)
        self.operations = AsyncOperations(self._run, self._calls)
        self._total_s = total_s
        self._compress_above = compress_above

    async def submit(self, type: str, payload: Any = None, **options: Unpack[Options]) -> Submitted:
        """Hand in a job and return once it is durable.

        Submissions of several tasks travel together.

        Cancellation: the job may be stored or not; who has to know gives it an ``id`` and looks.
        """
        return await self._run(self._submission.one({"type": type, "payload": payload, **options}))

    async def submit_many(self, jobs: Iterable[NewJob | Mapping[str, Any]]) -> Results:
        """Hand in all ``jobs`` and return what became of each, in order: what is stored, or an error."""
        return await self._run(self._submission.many(jobs))

    async def broadcast(self, type: str, payload: Any = None, **options: Unpack[BroadcastOptions]) -> Broadcast:
        """Have every node that handles ``type`` run a job of it; return these jobs once they are durable."""
        return await self._run(self._calls.broadcast({"type": type, "payload": payload, **options}))

    async def get(self, job: JobRef, *, decrypt: bool = False) -> Job:
        """Return the job; ``decrypt``: with what is encrypted of it in the clear."""
        return await self._run(self._calls.get(job, decrypt))

    async def log(
        self, job: JobRef, *, after: str | None = None, attempt: int | None = None, decrypt: bool = False
    ) -> Log:
        """Return what the job has logged, as far as it is kept, the oldest line first.

        ``after``: only what is behind the ``cursor`` of an earlier answer. ``attempt``: only of this one. ``decrypt``:
        with what is encrypted of it in the clear.
        """
        return await self._run(self._calls.log(job, after, attempt, decrypt))

    async def tree(self, job: JobRef) -> Tree:
        """Return the job with all that its handler, and theirs, have submitted."""
        return await self._run(self._calls.tree(job))

    async def wait(self, job: JobRef, timeout_s: float | None = None, *, decrypt: bool = False) -> Job:
        """Return the job once it has ended; ``decrypt`` as in ``get``. Raises: NotFinal after ``timeout_s`` seconds."""
        return await self._run(self._calls.wait(job, timeout_s, decrypt))

    async def cancel(self, job: JobRef, *, version: int | None = None, reason: str | None = None) -> Job:
        """Keep a waiting job from running, tell the worker of a running one to stop it.

        ``version``: only if the job is still at this one. ``reason``: for the job's error.
        """
        return await self._run(self._calls.cancel(job, version, reason))

    async def edit(self, job: JobRef, *, version: int | None = None, **changes: Unpack[Changes]) -> Job:
        """Change a job that waits, or the ``timeout`` of one that runs. ``delay=0``: run it now."""
        return await self._run(self._calls.edit(job, version, changes))

    async def delete(self, job: JobRef, *, version: int | None = None, cancel: bool = False) -> None:
        """Delete a job that has ended for good; ``cancel``: also one that waits. Not repeated like ``retry``."""
        await self._run(self._calls.delete(job, version, cancel))

    async def retry(self, job: JobRef, *, version: int | None = None, **changes: Unpack[Changes]) -> Job:
        """Start a job over that has ended, changed as said. Not repeated where a first try may have done it."""
        return await self._run(self._calls.retry(job, version, changes))

    async def attempts(self, job: JobRef) -> History:
        """Return every start of a job and how it ended, over all its retries."""
        return await self._run(self._calls.attempts(job))

    async def dead_letters(self, **filters: Unpack[Filters]) -> Count:
        """Return how many failed jobs there are, in groups of the same type and kind of error."""
        return await self._run(self._calls.dead_letters(filters))

    def list(self, *, limit: int | None = None, **filters: Unpack[Filters]) -> AsyncJobList:
        """Return an iterator over jobs, newest first, ``limit`` at most; read page by page."""
        return AsyncJobList(self, Pages(self._calls, filters, limit))

    def events(
        self,
        *,
        after: str | None = None,
        job: JobRef | Iterable[str] | None = None,
        queue: Names = None,
        type: Names = None,
        event: Names = None,
        name: Names = None,
    ) -> AsyncEvents:
        """Return a subscription to the feed: ``async with client.events() as events: async for event …``.

        ``after``: a cursor, or ``earliest``; None for what happens once the block has begun.
        """
        filters = {"job": job, "queue": queue, "type": type, "event": event, "name": name}
        told = Subscription(self.url, filters, after, total_s=self._total_s, now=anyio.current_time)
        return AsyncEvents(self, self._http, told)

    async def aclose(self) -> None:
        """End all connections; who still waits in another task is told ``Closed``."""
        self._submission.close()
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _run(self, steps: Steps[Value]) -> Value:
        try:
            done = None
            while True:
                done = await self._do(steps.send(done))
        except StopIteration as end:
            returned: Value = end.value
            return returned
        finally:
            steps.close()

    async def _do(self, step: Step) -> Reply | Lost | None:
        if isinstance(step, Send):
            return await self._send(step.request, step.within_s)
        if isinstance(step, Until):
            assert isinstance(step.signal, _Signal)
            with anyio.move_on_after(step.within_s):
                await step.signal.wait()
        else:
            await anyio.sleep(step.seconds)
        return None

    async def _send(self, request: Request, within_s: float) -> Reply | Lost:
        if self._http.is_closed:
            raise Closed("The client is closed.")
        departure = Departure()
        try:
            with anyio.fail_after(within_s):
                answer = await self._http.request(
                    **connection.parts(self.url, request, within_s, self._compress_above),
                    extensions={"trace": departure.anote},
                )
        except TimeoutError:
            return departure.too_late(within_s)
        except httpx2.RequestError as error:
            return departure.lost(error)
        return Reply(answer.status_code, answer.headers, answer.content)


class AsyncJobList:
    """An async iterator over jobs. ``feed_cursor``: see ``Pages``."""

    def __init__(self, client: AsyncClient, pages: Pages) -> None:
        self._client = client
        self._pages = pages

    @property
    def feed_cursor(self) -> str | None:
        return self._pages.feed_cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Job:
        while not self._pages.ready:
            if self._pages.over:
                raise StopAsyncIteration
            await self._client._run(self._pages.turn())
        return self._pages.ready.popleft()


class AsyncEvents:
    """A subscription to the feed: an async context manager and, inside, an async iterator without end. For one task.

    ``cursor``: the place after the last event that was handed out; moves on, too, while nothing happens.
    """

    def __init__(self, client: AsyncClient, http: httpx2.AsyncClient, told: Subscription) -> None:
        self._client = client
        self._http = http
        self._told = told
        self._answer: httpx2.Response | None = None
        self._chunks: AsyncGenerator[bytes, None] | None = None
        self._ready: deque[Event] = deque()
        self.cursor = told.cursor

    async def __aenter__(self) -> Self:
        try:
            while not self._told.opened:
                await self._read_on()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Cancellation: no event is lost; the next call goes on where this one was."""
        while not self._ready:
            await self._read_on()
            self.cursor = self.cursor if self._ready else self._told.cursor
        event = self._ready.popleft()
        self.cursor = event.cursor
        return event

    async def aclose(self) -> None:
        answer, chunks, self._answer, self._chunks = self._answer, self._chunks, None, None
        if chunks is not None:
            # Closing the outermost of httpx2's generators would leave the inner ones to the garbage collector, which
            # trio warns of; a read that is cancelled ends them all.
            with suppress(httpx2.RequestError), anyio.CancelScope(shield=True) as scope:
                scope.cancel()
                async for _ in chunks:
                    pass
        if answer is not None:
            with anyio.move_on_after(CLOSE_S, shield=True):
                await answer.aclose()

    async def _read_on(self) -> None:
        try:
            if self._chunks is None:
                await self._connect()
                return
            chunk = await anext(self._chunks, None)
        except httpx2.RequestError as error:
            await self.aclose()
            self._told.lost(Departure().lost(error))
            return
        except BaseException:
            await self.aclose()  # what was read of the next event is gone; the cursor is before it
            raise
        if chunk is None:
            await self.aclose()
            self._told.lost(Lost("it ended the feed", sent=False))
            return
        self._ready.extend(self._told.told(chunk))

    async def _connect(self) -> None:
        await anyio.sleep(self._told.pause_s())
        request = self._http.build_request(**connection.parts(self._client.url, self._told.request(), SILENCE_S))
        answer = await self._http.send(request, stream=True)
        if answer.status_code == httpx2.codes.OK:
            self._answer, self._chunks = answer, answer.aiter_bytes()
            return
        try:
            await answer.aread()
        finally:
            await answer.aclose()
        self._told.lost(Reply(answer.status_code, answer.headers, answer.content))
