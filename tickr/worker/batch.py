"""Batch: what a handler says that is called once for many jobs, and how its function has to look. Pure.

    @jobs.handler("index", batch=tickr.Batch(size=100, within=0.5))
    async def index(jobs: list[tickr.Job]) -> None: ...

``gathering.py`` brings the jobs together.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from tickr.worker.arguments import NOTHING, Arguments, read_annotations

MAX_SIZE = 1_000
MAX_WITHIN_S = 60.0


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs of a type are handed over together: ``batch=tickr.Batch(size=100, within=0.5)`` of a handler.

    Attributes:
      size: at most so many, 2 to 1,000; each of them has a slot of its node.
      within: so long after the first the handler is called with those that are there, in seconds, above 0, at most 60.
    Raises: TypeError, ValueError: it could not be used.
    """

    size: int
    within: float = 0.1

    def __post_init__(self) -> None:
        size: object = self.size
        if not isinstance(size, int) or isinstance(size, bool) or not 2 <= size <= MAX_SIZE:
            raise ValueError(f"Batch takes size as a whole number from 2 to {MAX_SIZE:,}, not {size!r:.100}")
        within: object = self.within
        if not isinstance(within, int | float) or isinstance(within, bool) or not 0 < within <= MAX_WITHIN_S:
            raise ValueError(f"Batch takes within as seconds above 0, at most {MAX_WITHIN_S:g}, not {within!r:.100}")


def read_batch_signature(function: Callable[..., Any], view: type) -> Arguments:
    """Return what ``function`` takes: one parameter, the list of jobs.

    Raises: TypeError: a list of jobs could not be passed to it, or it wants more; the message says what would do.
    """
    parameters = list(read_annotations(function).values())
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if len(parameters) != 1 or parameters[0].kind not in named:
        raise TypeError("a handler of batches takes the list of its jobs and nothing else: (jobs: list[tickr.Job])")
    (one,) = parameters
    if one.annotation not in (NOTHING, Any, list) and getattr(one.annotation, "__args__", ()) != (view,):
        raise TypeError(f"parameter `{one.name}` receives the list of jobs; annotate it with list[tickr.Job]")
    return Arguments(one.name, {}, NOTHING)
