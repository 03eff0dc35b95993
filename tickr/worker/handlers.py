"""Handlers: the registry of what runs which type of job, and what a handler sees and may say.

    jobs = tickr.Jobs()

    @jobs.handler("thumbnail", timeout=30, max_attempts=5)
    async def thumbnail(job: tickr.Job, url: str, width: int = 200) -> dict: ...

An ``async`` function runs in trio, a plain one in a thread, ``run_in="process"`` takes a plain one to another process.
The payload's keys become keyword arguments (``arguments.py``). Everything wrong with a handler is said when it is
registered. The value it returns becomes the job's result if msgspec can write it as JSON. What it says meanwhile
(``Job.progress``, ``Job.log``) goes to the ``Listener`` of its attempt.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections.abc import Awaitable, Callable, Generator, Iterator
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

import msgspec
import trio

from tickr import jobs, retry
from tickr.instants import datetime_of
from tickr.worker.arguments import Arguments, read_signature
from tickr.worker.notes import MAX_LOG_MESSAGE, MAX_PROGRESS_MESSAGE, cut

Function = TypeVar("Function", bound=Callable[..., Any])
Place = Literal["loop", "thread", "process"]


class RetryLater(Exception):
    """Raised by a handler: this attempt came to nothing, start the next one after exactly ``seconds``.

    It spends an attempt as any error does: after the last one the job is failed (kind ``retry_later``). The job's
    back-off is not asked.
    """

    def __init__(self, seconds: float, reason: str = "The handler asked to be run again later.") -> None:
        if not (math.isfinite(seconds) and 0 <= seconds <= retry.MAX_DELAY_S):
            raise ValueError(f"RetryLater takes 0 to {retry.MAX_DELAY_S:g} seconds, not {seconds!r}")
        super().__init__(seconds, reason)
        self.seconds = seconds
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class GiveUp(Exception):
    """Raised by a handler: no attempt will ever succeed. The job is failed at once (kind ``give_up``)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Listener(Protocol):
    """Who takes what a handler says; ``RunningJob`` in ``worker/attempt.py``."""

    def say(self, fraction: float | None, message: str | None) -> None:
        """Take a progress, or with ``fraction`` None a line. Never waits; called in any thread, at any time."""
        ...


class Job:
    """The job as its handler sees it: how it was when this attempt began. Can be pickled, and is mute then.

    ``payload`` and ``labels`` are read from their JSON when they are first asked for. ``fence`` grows with each start,
    so (id, fence) names this very one, for writes elsewhere that must not come from an older one.
    """

    __slots__ = ("_labels", "_listener", "_payload", "_record")

    def __init__(self, record: jobs.Job, listener: Listener | None = None) -> None:
        self._record = record
        self._listener = listener

    def __reduce__(self) -> tuple[type[Job], tuple[jobs.Job]]:
        return Job, (self._record,)

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

    def progress(self, fraction: float, message: str | None = None) -> Awaitable[None]:
        """Say how far this attempt is: ``await job.progress(0.4, "resizing")``; in a thread without the ``await``.

        Shown with the job, and told on the feed. Call it as often as you like: at most 10 a second are kept of this and
        of ``log`` together, and the last one always. Does nothing after the end of the attempt.

        Args:
          fraction: from 0 to 1.
          message: a few words for a person; cut after 500 characters.
        Returns: what an async handler awaits. It has been taken by then, and never waits for the store.
        Raises: TypeError, ValueError: it can not be said like this. RuntimeError: this is another process.
        Cancellation: a checkpoint; what was said is kept all the same.
        """
        text = None if message is None else _text("progress", message, MAX_PROGRESS_MESSAGE)
        return self._say(_fraction(fraction), text)

    def log(self, message: str) -> Awaitable[None]:
        """Say a line for the log of this attempt, on the feed: ``await job.log("done with page 7")``.

        How often, where and when it may be called, and what it returns and raises: as ``progress``. Of lines that come
        too fast the last is kept; the event says how many before it are not.

        Args:
          message: cut after 2,000 characters.
        """
        return self._say(None, _text("log", message, MAX_LOG_MESSAGE))

    def _say(self, fraction: float | None, message: str | None) -> Awaitable[None]:
        if self._listener is None:
            raise RuntimeError("job.progress and job.log work in async handlers and in threads, not in other processes")
        self._listener.say(fraction, message)
        return job_progress_or_log() if trio.lowlevel.in_trio_task() else SAID


def _fraction(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        raise TypeError(f"progress takes a number from 0 to 1, not {given!r:.100}")
    if given < 0 or not given <= 1:  # nothing compares with NaN
        raise ValueError(f"progress takes a number from 0 to 1, not {given!r:.100}")
    return abs(float(given))  # there is a -0.0


def _text(method: str, message: object, limit: int) -> str:
    if not isinstance(message, str):
        raise TypeError(f"{method} takes a message that is a str, not {message!r:.100}")
    return cut(message, limit)


async def job_progress_or_log() -> None:
    """Named for Python's warning to who forgot the ``await``."""
    await trio.lowlevel.checkpoint()


class _Said:
    """What there is to await in a thread: nothing, and nobody has to."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


SAID = _Said()


class Handler(msgspec.Struct, frozen=True, kw_only=True):
    """What runs one type of job.

    ``timeout`` (seconds), ``max_attempts`` and ``backoff`` are wishes for jobs of this type whose submitter says
    nothing, None where the handler says nothing either; an attempt goes by what its job's record holds.
    """

    type: str
    function: Callable[..., Any]
    arguments: Arguments
    place: Place
    timeout: float | None = None
    max_attempts: int | None = None
    backoff: retry.Backoff | None = None


class Jobs:
    """The handlers of an application, by job type."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def handler(
        self,
        type: str,
        *,
        timeout: float | None = None,
        max_attempts: int | None = None,
        backoff: retry.Backoff | None = None,
        run_in: Literal["thread", "process"] | None = None,
    ) -> Callable[[Function], Function]:
        """Register the decorated function, which stays as it is, for jobs of ``type``.

        Args:
          timeout: seconds after which an attempt is stopped, at most 30 days.
          max_attempts: attempts in all before the job is failed, 1 to 100.
          run_in: for plain functions: ``thread`` (the default), or ``process`` for what needs a processor to itself;
            such a function must be found by its name when its module is imported there.
        Raises: TypeError, ValueError: the registration or the function can not be used, and why.
        """

        given: object = type
        if not isinstance(given, str):  # @jobs.handler without parentheses hands the function over as the type
            name = getattr(given, "__name__", "type")
            raise TypeError(f'handler takes the name of a job type, not {given!r}; write @jobs.handler("{name}")')

        def register(function: Function) -> Function:
            self._add(_read(type, function, timeout=timeout, max_attempts=max_attempts, backoff=backoff, run_in=run_in))
            return function

        return register

    def include(self, other: Jobs) -> None:
        """Take over all handlers of ``other``. Raises: ValueError: a type is in both; nothing was taken over."""
        for type in other:
            self._refuse_double(type)
        self._handlers.update(other._handlers)

    def get(self, type: str) -> Handler | None:
        return self._handlers.get(type)

    @property
    def types(self) -> frozenset[str]:
        return frozenset(self._handlers)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._handlers))

    def __len__(self) -> int:
        return len(self._handlers)

    def __contains__(self, type: object) -> bool:
        return type in self._handlers

    def _add(self, handler: Handler) -> None:
        self._refuse_double(handler.type)
        self._handlers[handler.type] = handler

    def _refuse_double(self, type: str) -> None:
        if type in self._handlers:
            raise ValueError(f"job type {type!r} already has a handler: {self._handlers[type].function!r}")


def _read(
    type: str,
    function: Callable[..., Any],
    *,
    timeout: float | None,
    max_attempts: int | None,
    backoff: retry.Backoff | None,
    run_in: str | None,
) -> Handler:
    """Return the handler, or raise TypeError or ValueError with everything a reader needs to repair it."""
    if not jobs.is_type(type):
        raise ValueError(f"{type!r} is not the name of a job type; one looks like {jobs.TYPE_PATTERN}")
    if timeout is not None and not (_is_number(timeout, int, float) and 0 < timeout <= jobs.MAX_TIMEOUT_S):
        days = f"{jobs.MAX_TIMEOUT_S / 86_400:g} days"
        raise ValueError(f"handler {type!r}: timeout must be a number of seconds above 0, at most {days}")
    if max_attempts is not None and not (_is_number(max_attempts, int) and 1 <= max_attempts <= jobs.MAX_ATTEMPTS):
        raise ValueError(f"handler {type!r}: max_attempts must be a whole number from 1 to {jobs.MAX_ATTEMPTS}")
    for field, problem in backoff.faults() if backoff is not None else ():
        raise ValueError(f"handler {type!r}: backoff.{field} {problem}")
    try:
        place = _place(function, run_in)
        arguments = read_signature(function, Job)
    except TypeError as error:
        raise TypeError(f"handler {type!r}: {error}") from error
    return Handler(
        type=type,
        function=function,
        arguments=arguments,
        place=place,
        timeout=timeout,
        max_attempts=max_attempts,
        backoff=backoff,
    )


def _is_number(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _place(function: Callable[..., Any], run_in: str | None) -> Place:
    if not callable(function):
        raise TypeError(f"{function!r} can not be called")
    inner = function.func if isinstance(function, functools.partial) else function
    called = inner if inspect.isroutine(inner) or inspect.isclass(inner) else type(inner).__call__
    if inspect.isasyncgenfunction(called) or inspect.isgeneratorfunction(called):
        raise TypeError("it is a generator; a handler returns its result")
    if inspect.iscoroutinefunction(called):
        if run_in is not None:
            raise TypeError(f"it is async and runs in trio's loop; run_in={run_in!r} is for plain functions")
        return "loop"
    if run_in not in (None, "thread", "process"):
        raise TypeError(f"run_in takes 'thread' or 'process', not {run_in!r}")
    if run_in != "process":
        return "thread"
    if "<" in getattr(inner, "__qualname__", "<"):
        raise TypeError("run_in='process' needs a function at the top of a module, where the other process finds it")
    return "process"
