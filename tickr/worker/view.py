"""View: the job as its handler and its middleware see it, and what they may say of it.

Comes in: the record of a claimed job. Goes out: what the attempt says (``Job.progress``, ``Job.log``) and keeps
(``Job.checkpoint``), to its ``Listener``; what it submits and asks of other jobs (``kin.py``); and the headers by which
a server that it asks knows for whom (``Job.headers``). Whatever a middleware changes here is seen in this attempt
alone: the record stays as it is.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import trio

from tickr import jobs, traces
from tickr.instants import datetime_of
from tickr.reports import Statement
from tickr.worker.bookmark import Bookmark, written
from tickr.worker.emitter import Emitter, read_name
from tickr.worker.failures import BadResult
from tickr.worker.kin import JobEnd, Kin
from tickr.worker.notes import MAX_LOG_MESSAGE
from tickr.worker.results import encode
from tickr.worker.speech import read_data, read_fraction, read_progress, read_text, said

MAX_END_BYTES = 1024 * 1024
"""The longest result that an end may be written with, in bytes of JSON."""


class Listener(Protocol):
    """Who takes what a handler says, and knows of its attempt; ``RunningJob`` in ``worker/attempt.py``."""

    @property
    def stop_reason(self) -> str | None: ...

    @property
    def kin(self) -> Kin: ...

    @property
    def shared(self) -> Any: ...

    def say(self, fraction: float | None, message: str | None, data: str | None = None) -> None:
        """Take a progress, or with ``fraction`` None a line. Never waits; called in any thread, at any time."""
        ...

    def open_emitter(self) -> Emitter:
        """Return what the attempt emits events with. Raises: RuntimeError: it has ended."""
        ...

    def open_bookmark(self) -> Bookmark:
        """Return what the attempt keeps values in. Raises: RuntimeError: it has ended."""
        ...

    def end_statement(self, result: str | None, schema: str | None) -> Statement:
        """Return by what the end of the attempt is written. Raises: RuntimeError: it has ended, or it cannot be."""
        ...


class Tick(NamedTuple):
    """What a job was made for: the name of its schedule, and the instant, in UTC; None for one asked for at once."""

    schedule: str
    at: datetime | None


def tick_of(job: jobs.Job) -> Tick | None:
    made_by, at = job.extras.schedule, job.extras.tick
    return None if made_by is None else Tick(made_by, None if at is None else datetime_of(at))


class Job:
    """The job as its handler sees it: how it was when this attempt began. Can be pickled, and is mute then.

    ``payload`` and ``labels`` are read from their JSON when they are first asked for.
    """

    __slots__ = ("_is_in_span", "_labels", "_listener", "_payload", "_record", "_result")

    def __init__(self, record: jobs.Job, listener: Listener | None = None) -> None:
        self._record = record
        self._listener = listener

    def __reduce__(self) -> tuple[type[Job], tuple[jobs.Job], tuple[None, dict[str, bool]]]:
        return Job, (self._record,), (None, {"_is_in_span": getattr(self, "_is_in_span", False)})

    def __repr__(self) -> str:
        return f"<tickr.Job {self.id} {self.type!r} attempt {self.attempt}/{self.max_attempts}>"

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def type(self) -> str:
        return self._record.type

    @property
    def queue(self) -> str:
        return self._record.queue

    @property
    def priority(self) -> int:
        return self._record.priority

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return self._record.attempt

    @property
    def max_attempts(self) -> int:
        return self._record.max_attempts

    @property
    def fence(self) -> int:
        """Grows with each start of the job. Who keeps it with what was written can refuse a write with a lower one."""
        return self._record.fence

    @property
    def payload(self) -> Any:
        """The payload as Python values; the same object each time."""
        try:
            return self._payload
        except AttributeError:
            self._payload: Any = msgspec.json.decode(self._record.payload)
            return self._payload

    @property
    def encrypted(self) -> bool:
        """Whether it is stored encrypted. What it says is sealed as well; what a handler writes elsewhere is not."""
        return self._record.extras.sealed is not None

    @property
    def labels(self) -> dict[str, str]:
        try:
            return self._labels
        except AttributeError:
            text = self._record.labels
            self._labels: dict[str, str] = msgspec.json.decode(text, type=dict[str, str]) if text else {}
            return self._labels

    @property
    def created_at(self) -> datetime:
        return datetime_of(self._record.created_at)

    @property
    def run_at(self) -> datetime:
        """The instant from which this attempt was due."""
        return datetime_of(self._record.run_at)

    @property
    def tick(self) -> Tick | None:
        """The tick of a schedule that the job was made for; the same in each attempt. None: no schedule made it."""
        return tick_of(self._record)

    @property
    def stop_reason(self) -> str | None:
        """Why this attempt was asked to stop: ``timeout``, ``cancelled``, ``shutdown``, ``lease_lost``, ``children``.

        None: it was not, or this is another process.
        """
        return self._listener.stop_reason if self._listener else None

    @property
    def shared(self) -> Any:
        """What the ``lifespan`` of its handler's ``Jobs`` has yielded on this node; None without one.

        Raises: RuntimeError: this is another process.
        """
        if self._listener is None:
            raise RuntimeError("job.shared is there for async handlers and threads, not for other processes")
        return self._listener.shared

    @property
    def result(self) -> Any:
        """What the handler has returned, for a middleware behind its ``yield``; None where it has not returned."""
        return getattr(self, "_result", None)

    def returned(self, value: Any) -> None:
        """Let middleware see what the handler has returned; called by ``run.py``."""
        self._result = value

    @property
    def traceparent(self) -> str | None:
        """The trace that this attempt belongs to: the one it was submitted in, or as a middleware has set it."""
        return self._record.extras.traceparent

    @property
    def tracestate(self) -> str | None:
        return self._record.extras.tracestate

    def set_trace(self, traceparent: str, tracestate: str | None = None) -> None:
        """Go on under another span; for a middleware that makes one of this attempt.

        Raises: ValueError: ``traceparent`` is none (W3C Trace Context). A ``tracestate`` that is none is left out.
        """
        trace = traces.read([traceparent], [tracestate] if tracestate else [])
        if trace is None:
            raise ValueError(f"{traceparent!r:.100} is no traceparent")
        extras = msgspec.structs.replace(self._record.extras, **trace._asdict())
        self._record, self._is_in_span = msgspec.structs.replace(self._record, extras=extras), True

    def headers(self) -> dict[str, str]:
        """Return the headers that tell a server for whom a request is made; made anew for each request.

        ``Tickr-Job-Id``, ``Tickr-Attempt`` and ``Tickr-Fence``, by which it can refuse an attempt that is not the
        newest; and where there is a trace ``traceparent`` (a new span, or a middleware's) and ``tracestate``.
        """
        headers = {"Tickr-Job-Id": self.id, "Tickr-Attempt": str(self.attempt), "Tickr-Fence": str(self.fence)}
        if self.traceparent is not None:
            trace = traces.Trace(self.traceparent, self.tracestate)
            if not getattr(self, "_is_in_span", False):
                trace = trace.in_span(random.randrange(1, 1 << 64))
            headers |= {name: value for name, value in trace._asdict().items() if value}
        return headers

    def progress(self, fraction: float, message: Any = None, data: Any = None) -> Awaitable[None]:
        """Say how far this attempt is: ``await job.progress(0.4, "resizing")``; in a thread without the ``await``.

        Or in data: ``job.progress(0.4, {"rows": 1200})``; or both: ``job.progress(0.4, "resizing", {"rows": 1200})``.

        Shown with the job, and told on the feed. Call it as often as you like: at most 10 a second are kept of this and
        of ``log`` together, and the last one always. Does nothing after the end of the attempt.

        Args:
          fraction: from 0 to 1.
          message: a few words for a person, cut after 500 characters; or data, if it is a dict, a list or a tuple.
          data: what JSON can hold, up to 16 KiB of it. The next progress takes the place of all of this one.
        Returns: what an async handler awaits. It has been taken by then, and never waits for the store.
        Raises: TypeError, ValueError: it can not be said like this. RuntimeError: this is another process.
        Cancellation: a checkpoint; what was said is kept all the same.
        """
        return self._say(read_fraction(fraction), *read_progress(message, data))

    def log(self, message: str) -> Awaitable[None]:
        """Say a line for the log of this attempt, on the feed: ``await job.log("done with page 7")``.

        How often, where and when it may be called, and what it returns and raises: as ``progress``. Of lines that come
        too fast the last is kept; the event says how many before it are not.

        Args:
          message: cut after 2,000 characters.
        """
        return self._say(None, read_text("log", message, MAX_LOG_MESSAGE))

    def emit(self, name: str, data: Any = None) -> Awaitable[None]:
        """Put an event of the application's own on the feed: ``await job.emit("invoice.sent", {"id": 7})``.

        In a thread without the ``await``. None is left out: of one attempt 10 in a second are told, and who is faster
        waits for his turn. An attempt that runs a second time emits a second time.

        Args:
          name: up to 100 letters, digits and ``_ . : -``.
          data: what JSON can hold, up to 16 KiB of it.
        Returns: what an async handler awaits; then, and when a thread comes back, it is stored. While the store is away
          that takes as long as it does.
        Raises: TypeError, ValueError: it can not be told. RuntimeError: this is another process, or the end is past.
        Cancellation: it is told or not.
        """
        if self._listener is None:
            raise RuntimeError("job.emit works in async handlers and in threads, not in other processes")
        told: Awaitable[None] | None = self._listener.open_emitter().emit(read_name(name), read_data("emit", data))
        return said() if told is None else told

    def submit(self, type: str, payload: Any = None, *, name: str | None = None, **options: Any) -> Awaitable[str]:
        """Submit a job as a child of this one, and return its id once it is durable. In async handlers.

        This job has ended only when its children have: it fails if one of them does not succeed, and if it ends without
        success itself, they are cancelled. An attempt that submits the same again, be it in its place or by its
        ``name``, has the same child: nothing is submitted twice.

        Args:
          name: tells it from its siblings; without one it is the first, second, third … that this attempt submits.
          options: the other fields of ``POST /jobs``, but for ``id``, ``unique``, ``sequence``; those in ``depends_on``
            are siblings.
        Raises: SpecRejected: it can not be taken. DuplicateJob: a former attempt has submitted another job in this
          place, or by this name. AttemptOver: this attempt has lost its lease.
        Cancellation: it may have been submitted or not; the next attempt does it again.
        """
        trace = {"traceparent": self.traceparent, "tracestate": self.tracestate}
        options = {name_: value for name_, value in trace.items() if value} | options
        return self._kin().submit(type, payload, name, options)

    def children(self, *, failed: Literal["raise", "return"] = "raise") -> Awaitable[list[JobEnd]]:
        """Return how the jobs have ended that this attempt has submitted, in that order. In async handlers.

        While some have not, this attempt ends here, and its slot is free: the handler is run again from its beginning
        when they have, which costs no attempt. So what is done before should be quick, or a child's work.

        Args:
          failed: ``raise``: as soon as one has not succeeded. ``return``: wait for all, and have the handler deal with
            it; then, and whenever it has been told by the exception, a child's failure is not this job's own.
        Raises: ChildrenFailed. StoreUnavailable. ValueError: ``failed`` is something else.
        Cancellation: nothing has happened.
        """
        if failed not in ("raise", "return"):
            raise ValueError(f'failed is "raise" or "return", not {failed!r:.100}')
        return self._kin().children(failed)

    def dependencies(self) -> Awaitable[list[JobEnd]]:
        """Return how the jobs have ended that this one depends on, in the order of ``depends_on``. In async handlers.

        One that is not kept any more is left out. Raises: StoreUnavailable.
        """
        return self._kin().dependencies()

    def _kin(self) -> Kin:
        if self._listener is None or not trio.lowlevel.in_trio_task():
            raise RuntimeError("job.submit, job.children and job.dependencies are for async handlers")
        return self._listener.kin

    def checkpoint(self, value: Any) -> Awaitable[None]:
        """Keep how far the work has got: ``await job.checkpoint({"page": 7})``; in a thread without the ``await``.

        It takes the place of the one before. The job's next attempt gets it from ``resume``, however this one ends: by
        an error, a time-out, a stop or the loss of its node. It is gone when the job is final, also if it is started
        over then.

        Args:
          value: what JSON can hold, up to 64 KiB of it.
        Returns: what an async handler awaits; then, and when a thread comes back, it is stored. While the store is away
          that takes as long as it does.
        Raises: TypeError, ValueError: it can not be kept. RuntimeError: this is another process, or the end is past.
        Cancellation: a checkpoint, in trio's sense, too; the value is stored with the attempt's end all the same.
        """
        kept: Awaitable[None] | None = self._bookmark().keep(written(value))
        return said() if kept is None else kept

    def resume(self, default: Any = None) -> Any:
        """Return the last checkpoint: ``page = await job.resume(default=1)``; in a thread without the ``await``.

        That is the one that this attempt has kept, or else one before it; ``default`` where there is none. Nothing is
        asked of the store before the first start of a job, nor of who has kept something himself.

        Raises: RuntimeError: this is another process, or the attempt has ended.
        """
        return self._bookmark().recall(default)

    def end_statement(self, result: Any = None, *, schema: str | None = None) -> Statement:
        """Return the statement that writes the end of this job: ``cursor.execute(*job.end_statement())``.

        For a handler that works on the database in which this store is, in a transaction of its own: whatever it does
        there and the job's success are one COMMIT. Make it the last statement before the COMMIT, as it locks the job.
        It fails, and so must the transaction, if others have taken this job over (a NOT NULL constraint of
        ``ended.running_since``), and at a second time.

        Args:
          result: what the job's result is if this attempt ends otherwise than by returning one; up to 1 MiB of JSON.
          schema: MySQL: the database that Tickr's tables are in, unless it is the connection's own. SQLite: the name
            under which the file is attached.
        Returns: the SQL, with ``%s`` or ``?`` where the parameters go, and those.
        Raises: ValueError: it cannot be the result. RuntimeError: this is another process, the attempt has ended, or
          the store is in memory.
        """
        if self._listener is None:
            raise RuntimeError("job.end_statement is there for async handlers and threads, not for other processes")
        if schema is not None and not schema.isidentifier():
            raise ValueError(f"{schema!r:.100} is not the name of a database")
        if self.encrypted and result is not None:
            raise ValueError("the result of an encrypted job cannot be written in the clear: return it instead")
        return self._listener.end_statement(_end_of(result), schema)

    def _bookmark(self) -> Bookmark:
        if self._listener is None:
            raise RuntimeError(
                "job.checkpoint and job.resume work in async handlers and in threads, not in other processes"
            )
        return self._listener.open_bookmark()

    def _say(self, fraction: float | None, message: str | None, data: str | None = None) -> Awaitable[None]:
        if self._listener is None:
            raise RuntimeError("job.progress and job.log work in async handlers and in threads, not in other processes")
        self._listener.say(fraction, message, data)
        return said()


def _end_of(result: Any) -> str | None:
    """Return ``result`` as JSON text. Raises: ValueError: it is none, or too long."""
    try:
        return encode(result, MAX_END_BYTES)
    except BadResult as error:
        raise ValueError(str(error)) from error
