"""Handlers: the registry of what runs which type of job, inside which middleware.

    jobs = tickr.Jobs()

    @jobs.handler("thumbnail", timeout=30, max_attempts=5)
    async def thumbnail(job: tickr.Job, url: str, width: int = 200) -> dict: ...

An ``async`` function runs in trio, a plain one in a thread, ``run_in="process"`` takes a plain one to another process.
The payload's keys become keyword arguments (``arguments.py``). Everything wrong with a handler is said when it is
registered. The value it returns becomes the job's result if msgspec can write it as JSON. ``view.py`` has what it sees.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeVar, Unpack

import msgspec

from tickr import jobs, retry
from tickr.worker import lifespan
from tickr.worker.arguments import Arguments, read_signature
from tickr.worker.batch import Batch, read_batch_signature
from tickr.worker.declarations import Declarations, Wish
from tickr.worker.lifespan import Lifespan
from tickr.worker.middleware import Middleware, check, joined
from tickr.worker.view import Job, Listener
from tickr.worker.wishes import Unique, checked

Function = TypeVar("Function", bound=Callable[..., Any])
Wrapper = TypeVar("Wrapper", bound=Middleware)
Span = TypeVar("Span", bound=lifespan.Function)
Place = Literal["loop", "thread", "process"]
Errors = tuple[type[Exception], ...]
Pause = Callable[[int, BaseException], float | None]
"""Returns, for the number of an attempt and the error that it ended with, the seconds until the next one."""


class Handler(msgspec.Struct, frozen=True, kw_only=True):
    """What runs one type of job, inside its ``middleware``, the first of them outermost.

    ``timeout`` (seconds), ``max_attempts``, ``backoff`` and what is in ``wishes.py`` are wishes for jobs of this type
    whose submitter says nothing, None where the handler says nothing either; an attempt goes by its job's record.
    ``pause`` is asked when an attempt has failed, and goes before the record. With a ``batch`` the function is called
    with the list of views of many jobs in the place of one. ``lifespan`` is that of the ``Jobs`` that
    it was registered with, ``shared`` what that has yielded on this node.
    """

    type: str
    function: Callable[..., Any]
    arguments: Arguments
    place: Place
    timeout: float | None = None
    max_attempts: int | None = None
    queue: str | None = None
    priority: int | None = None
    unique: Unique | None = None
    max_crashes: int | None = None
    keep: float | None = None
    backoff: retry.Backoff | None = None
    pause: Pause | None = None
    give_up_on: Errors = ()
    middleware: tuple[Middleware, ...] = ()
    batch: Batch | None = None
    lifespan: Lifespan | None = None
    shared: Any = None

    def bind(self, record: jobs.Job, listener: Listener, view: Job | None = None) -> dict[str, Any]:
        """Return the keyword arguments that the function is called with for this attempt.

        Args:
          view: what its middleware has been shown of the job, if it has any.
        Raises: BadPayload.
        """
        arguments = self.arguments.bind(record.payload)
        if self.arguments.job_name is not None:
            arguments[self.arguments.job_name] = view or Job(record, listener)
        return arguments


class Jobs:
    """The handlers of an application, by job type, the middleware round all of them, and the schedules it declares."""

    def __init__(self) -> None:
        self.schedules = Declarations()
        self._handlers: dict[str, Handler] = {}
        self._middleware: list[Middleware] = []
        self._lifespan = Lifespan()

    def handler(
        self,
        type: str,
        *,
        timeout: float | None = None,
        max_attempts: int | None = None,
        backoff: retry.Backoff | Pause | None = None,
        give_up_on: Errors = (),
        queue: str | None = None,
        priority: int | None = None,
        unique: Unique | None = None,
        max_crashes: int | None = None,
        keep: float | timedelta | str | None = None,
        run_in: Literal["thread", "process"] | None = None,
        middleware: Sequence[Middleware] = (),
        batch: Batch | None = None,
    ) -> Callable[[Function], Function]:
        """Register the decorated function, which stays as it is, for jobs of ``type``.

        Args:
          timeout: seconds after which an attempt is stopped, at most 30 days.
          max_attempts: attempts in all before the job is failed, 1 to 1,000,000.
          backoff: how long to wait after an attempt that failed: data, or a function of the attempt's number and its
            error (``TimeoutError`` for a time-out) that returns seconds, or None for the job's own back-off. The
            function runs in the event loop, so it has to return at once.
          give_up_on: errors after which no other attempt is made.
          queue, priority: where its jobs wait, and before whom: 0 runs first, 9 last.
          unique: what no second job is stored for, while one holds it.
          max_crashes: how many lost nodes a job outlives, 0 (never again after a crash) to 2.
          keep: how long a job is kept after it has ended, instead of what the settings say: seconds, a
            ``timedelta`` or a text like ``"1h"``; 0 to 10 years.
          run_in: for plain functions: ``thread`` (the default), or ``process`` for what needs a processor to itself;
            such a function must be found by its name when its module is imported there.
          middleware: round jobs of this type alone, inside the others, the first outermost; see ``middleware``.
          batch: call it for many jobs at once; it takes the list of them and nothing else, and returns nothing or a
            list with a result for each, an exception for one that has failed. It does not run in other processes.
        Raises: TypeError, ValueError: the registration or the function can not be used, and why.
        """

        given: object = type
        if not isinstance(given, str):  # @jobs.handler without parentheses hands the function over as the type
            name = getattr(given, "__name__", "type")
            raise TypeError(f'handler takes the name of a job type, not {given!r}; write @jobs.handler("{name}")')

        def register(function: Function) -> Function:
            policy, pause = (None, backoff) if callable(backoff) else (backoff, None)
            read = _read(
                type,
                function,
                timeout=timeout,
                max_attempts=max_attempts,
                backoff=policy,
                run_in=run_in,
                batch=batch,
            )
            for one in middleware:
                check(one)
            read = msgspec.structs.replace(read, lifespan=self._lifespan)
            errors, more = _errors(type, give_up_on), tuple(middleware)
            wishes = checked(type, queue=queue, priority=priority, unique=unique, max_crashes=max_crashes, keep=keep)
            self._add(msgspec.structs.replace(read, pause=pause, give_up_on=errors, middleware=more, **wishes))
            return function

        return register

    def schedule(self, name: str, payload: Any = None, **wish: Unpack[Wish]) -> Callable[[Function], Function]:
        """Declare that a schedule makes jobs for the decorated handler; every node that is given this ``Jobs`` puts it.

        It stands above ``@jobs.handler``; several may stand above each other. For a type that is handled elsewhere:
        ``jobs.schedules.add``, which has the arguments and errors.

        Raises: TypeError, ValueError: the function is no handler here, or the schedule cannot be declared, and why.
        """

        def declare(function: Function) -> Function:
            types = [type for type, handler in self._handlers.items() if handler.function is function]
            if len(types) != 1:
                problem = f"runs {', '.join(types)}; use jobs.schedules.add" if types else "is no handler here yet"
                raise TypeError(f"schedule {name!r}: {function!r} {problem}; @jobs.schedule stands above @jobs.handler")
            self.schedules.add(name, types[0], payload, **wish)
            return function

        return declare

    def middleware(self, function: Wrapper) -> Wrapper:
        """Have every attempt of every job here run inside ``function(job)``, an async context manager.

        The first that is registered is outermost. It counts for all handlers of this ``Jobs``, also for those that were
        registered or included before, and for the built-in ones of the node that runs them.

        Raises: TypeError: it is no such function. ValueError: it is registered already.
        """
        check(function)
        if any(one is function for one in self._middleware):
            raise ValueError(f"{function!r} is registered as middleware already")
        outer = len(self._middleware)
        self._middleware.append(function)
        for type, handler in self._handlers.items():
            chain = joined(self._middleware, handler.middleware[outer:])
            self._handlers[type] = msgspec.structs.replace(handler, middleware=chain)
        return function

    def lifespan(self, function: Span) -> Span:
        """Have every node that runs these handlers enter ``function()``, an async context manager, at its start.

        It is entered before the first claim and left after the last attempt has ended. What it yields is ``job.shared``
        of the handlers of this ``Jobs``, wherever they are included; an included ``Jobs`` has a lifespan of its own.

        Raises: TypeError: it is no such function. ValueError: there is one already.
        """
        lifespan.check(function)
        if self._lifespan.function is not None:
            raise ValueError(f"there is a lifespan already: {self._lifespan.function!r}")
        self._lifespan.function = function
        return function

    @property
    def lifespans(self) -> list[Lifespan]:
        """The lifespans of all handlers, each once, in the order of registration."""
        found = (handler.lifespan for handler in self._handlers.values())
        return list(dict.fromkeys(one for one in found if one is not None and one.function is not None))

    def share(self, lifespan: Lifespan, value: Any) -> None:
        """Let the handlers of ``lifespan`` have what it has yielded. For a node, on its own copy."""
        for type, handler in self._handlers.items():
            if handler.lifespan is lifespan:
                self._handlers[type] = msgspec.structs.replace(handler, shared=value)

    def include(self, other: Jobs) -> None:
        """Take over all handlers of ``other``, with what middleware they have now, inside the middleware from here.

        And the schedules that it declares. Raises: ValueError: a type or a schedule is in both; nothing was taken over.
        """
        for type in other:
            self._refuse_double(type)
        self.schedules.include(other.schedules)
        for handler in other._handlers.values():
            self._add(handler)

    def copy(self) -> Jobs:
        """Return another ``Jobs`` with the same handlers, middleware and schedules, to which more can be added."""
        copied = Jobs()
        copied.schedules.include(self.schedules)
        copied._handlers, copied._middleware = dict(self._handlers), list(self._middleware)
        copied._lifespan = self._lifespan
        return copied

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
        chain = joined(self._middleware, handler.middleware)
        self._handlers[handler.type] = msgspec.structs.replace(handler, middleware=chain)

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
    batch: Batch | None,
) -> Handler:
    """Return the handler, or raise TypeError or ValueError with everything a reader needs to repair it."""
    if not jobs.is_type(type):
        raise ValueError(f"{type!r} is not the name of a job type; one looks like {jobs.TYPE_PATTERN}")
    if timeout is not None and not (_is_number(timeout, int, float) and 0 < timeout <= jobs.MAX_TIMEOUT_S):
        days = f"{jobs.MAX_TIMEOUT_S / 86_400:g} days"
        raise ValueError(f"handler {type!r}: timeout must be a number of seconds above 0, at most {days}")
    if max_attempts is not None and not (_is_number(max_attempts, int) and 1 <= max_attempts <= jobs.MAX_ATTEMPTS):
        raise ValueError(f"handler {type!r}: max_attempts must be a whole number from 1 to {jobs.MAX_ATTEMPTS}")
    if backoff is not None and not isinstance(backoff, retry.Backoff):
        raise TypeError(f"handler {type!r}: backoff takes a tickr.Backoff or a function, not {backoff!r}")
    for field, problem in backoff.faults() if backoff is not None else ():
        raise ValueError(f"handler {type!r}: backoff.{field} {problem}")
    if batch is not None and not isinstance(batch, Batch):
        raise TypeError(f"handler {type!r}: batch takes a tickr.Batch, not {batch!r:.100}")
    try:
        place = _place(function, run_in)
        if batch is not None and place == "process":
            raise TypeError("batches run in the loop or in a thread, not in other processes")
        arguments = read_signature(function, Job) if batch is None else read_batch_signature(function, Job)
    except TypeError as error:
        raise TypeError(f"handler {type!r}: {error}") from error
    return Handler(
        type=type,
        function=function,
        arguments=arguments,
        place=place,
        batch=batch,
        timeout=timeout,
        max_attempts=max_attempts,
        backoff=backoff,
    )


def _errors(name: str, given: Errors) -> Errors:
    for one in given:
        if not (isinstance(one, type) and issubclass(one, Exception)):
            raise TypeError(f"handler {name!r}: give_up_on takes a tuple of exception classes, not {one!r}")
    return tuple(given)


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
