"""Middleware: async context managers round the attempts of an application's jobs.

    @jobs.middleware
    @contextlib.asynccontextmanager
    async def timed(job: tickr.Job):
        began = trio.current_time()
        try:
            yield
        finally:
            print(job.type, trio.current_time() - began)

Comes in: the chain of a handler (``Handler.middleware``, the first outermost) and the call of that handler. It runs in
the worker task, under the attempt's cancel scope and time-out, whether the handler runs in that task, in a thread or in
a process. Goes out: what the handler returns, or what gets out of the outermost. ``run.py`` makes the outcome of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

Middleware = Callable[[Any], AbstractAsyncContextManager[Any]]
"""Takes the ``tickr.Job`` and returns what the attempt is made in. What it yields is not looked at."""


async def call_within(chain: Sequence[Middleware], job: object, call: Callable[[], Awaitable[None]]) -> None:
    """Await ``call`` inside ``chain``. The watchdog knows by this frame that what runs inside is theirs.

    Returns also if one of them has swallowed an error; ``call`` may not have been made then.
    """
    if not chain:
        await call()
        return
    try:
        async with chain[0](job):
            await call_within(chain[1:], job, call)
    except RuntimeError as error:
        if _is_of_contextlib(error):
            raise RuntimeError(f"The middleware {_name(chain[0])} must yield once: {error}.") from error
        raise


def joined(outer: Sequence[Middleware], inner: Sequence[Middleware]) -> tuple[Middleware, ...]:
    """Return both as one chain; what is in both runs once, in its outer place."""
    return (*outer, *(one for one in inner if not any(one is other for other in outer)))


def check(middleware: object) -> None:
    """Return if ``middleware`` may be one. Raises: TypeError, with what would be right."""
    if fault := _fault(middleware):
        raise TypeError(f"{_name(middleware)} is no middleware: {fault}")


def _fault(given: Any) -> str | None:
    if not callable(given):
        return "it can not be called; a middleware takes the job and returns an async context manager"
    if inspect.isasyncgenfunction(given):
        return "it is a bare generator; put @contextlib.asynccontextmanager right above it"
    if inspect.iscoroutinefunction(given):
        return "it is a coroutine function; a middleware yields, below @contextlib.asynccontextmanager"
    if inspect.isgeneratorfunction(inspect.unwrap(given)):
        return "it is not async; make it `async def`, below @contextlib.asynccontextmanager"
    if inspect.isclass(given) and not (hasattr(given, "__aenter__") and hasattr(given, "__aexit__")):
        return "its instances are no async context managers: they lack __aenter__ or __aexit__"
    try:
        inspect.signature(given).bind(None)
    except TypeError as error:
        return f"it can not be called with the job alone: {error}"
    except ValueError:  # a callable without a signature: its first call tells
        return None
    return None


def _name(middleware: object) -> str:
    inner = getattr(middleware, "func", middleware)  # of a functools.partial
    name = getattr(inner, "__qualname__", None)
    return f"{inner.__module__}.{name}" if name else f"{middleware!r:.100}"


def _is_of_contextlib(error: RuntimeError) -> bool:
    """Whether ``asynccontextmanager`` itself has raised it: its text names nobody, nor does its traceback."""
    ours = error.__traceback__
    raised = ours.tb_next if ours else None
    return raised is not None and raised.tb_next is None and raised.tb_frame.f_globals.get("__name__") == "contextlib"
