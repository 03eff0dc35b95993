"""Lifespan: what a node's handlers share, from before its first claim until its last attempt has ended.

    @jobs.lifespan
    @contextlib.asynccontextmanager
    async def with_pool():
        async with open_pool() as pool:
            yield pool

Here is the function of each ``Jobs``, and what is wrong with one; ``living.py`` enters it. What it yields is
``job.shared`` for the handlers of that ``Jobs``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

Function = Callable[[], AbstractAsyncContextManager[Any]]


class Lifespan:
    """Of one ``Jobs``, whose handlers point to it: it may be registered after them. ``function``: None without one."""

    __slots__ = ("function",)

    def __init__(self) -> None:
        self.function: Function | None = None


def check(function: object) -> None:
    """Return if ``function`` may be a lifespan. Raises: TypeError, with what would be right."""
    if fault := _fault(function):
        raise TypeError(f"{name_of(function)} is no lifespan: {fault}")


def _fault(given: Any) -> str | None:
    if not callable(given):
        return "it can not be called; a lifespan takes nothing and returns an async context manager"
    if inspect.isasyncgenfunction(given) or inspect.isgeneratorfunction(inspect.unwrap(given)):
        return "make it `async def`, with @contextlib.asynccontextmanager right above it"
    if inspect.iscoroutinefunction(given):
        return "it is a coroutine function; a lifespan yields, below @contextlib.asynccontextmanager"
    try:
        inspect.signature(given).bind()
    except TypeError as error:
        return f"it can not be called without arguments: {error}"
    except ValueError:  # a callable without a signature: its call tells
        return None
    return None


def name_of(function: object) -> str:
    name = getattr(function, "__qualname__", None)
    return f"{getattr(function, '__module__', '')}.{name}" if name else f"{function!r:.100}"
