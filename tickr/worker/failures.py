"""What went wrong, in words: turns whatever a handler raised into a ``Failure`` of bounded size.

Exceptions are written by others: their text may be huge, hold lone surrogates, or raise again when asked for. Nothing
here trusts them, and what comes out can always be stored and shown. Pure.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from itertools import islice
from types import FrameType, TracebackType

from tickr.jobs import Failure

MAX_MESSAGE_BYTES = 4 * 1024
MAX_TRACEBACK_BYTES = 16 * 1024
MAX_LEAVES = 3
"""Of the errors in a group, so many are named in its message."""
MAX_LEAF = 500
"""Characters of each of them."""


class BadResult(Exception):
    """What the handler returned can not be a job's result."""


class ProcessEnded(Exception):
    """The process that ran a handler ended before the handler did."""


class HandlerBlocked(BaseException):
    """Raised by the watchdog inside a handler that keeps the event loop from turning.

    A ``BaseException``, so that an ``except Exception`` in the handler lets it pass.
    """


class Unresponsive(Exception):
    """A handler was asked to stop and did not; ``stack`` is where it hangs."""

    def __init__(self, stack: str) -> None:
        super().__init__("The handler did not stop when it was asked to.")
        self.stack = stack


def failure(kind: str, message: str, traceback: str | None = None) -> Failure:
    """Return a ``Failure`` whose texts are within their bounds and can be encoded."""
    line = " ".join(message[:MAX_MESSAGE_BYTES].splitlines())
    return Failure(kind, _clean(line, MAX_MESSAGE_BYTES), traceback and _clean(traceback, MAX_TRACEBACK_BYTES))


def of_exception(kind: str, error: BaseException) -> Failure:
    """Return the failure that ``error`` is: its type's name and text, and its traceback."""
    return failure(kind, describe(error), trace(error))


def cause(error: BaseException) -> BaseException:
    """Return what ``error`` comes down to: a group of a single error (trio's nurseries make them) is that error."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield every error in ``error`` that is no group, in their order."""
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(reversed(one.exceptions))
        else:
            yield one


def describe(error: BaseException) -> str:
    """Return the name of the error's type and what it says; for a group, its first few errors too."""
    if not isinstance(error, BaseExceptionGroup):
        return _describe(error)
    said = [_describe(one)[:MAX_LEAF] for one in (error, *islice(leaves(error), MAX_LEAVES + 1))]
    more = "; ..." if len(said) > 1 + MAX_LEAVES else ""
    return f"{said[0]}: {'; '.join(said[1 : 1 + MAX_LEAVES])}{more}"


def _describe(error: BaseException) -> str:
    try:
        text = str(error)
    except BaseException as worse:  # a handler's own exception class may do anything
        text = f"<its text can not be had: {type(worse).__name__}>"
    name = type(error).__qualname__
    return f"{name}: {text}" if text else name


def trace(error: BaseException) -> str | None:
    """Return the traceback from the handler's first frame on, its middle left out if it is long."""
    try:
        lines = traceback.TracebackException(
            type(error), error, _from_handler(error.__traceback__), compact=True, max_group_width=8, max_group_depth=4
        ).format()
        return shorten("".join(lines))
    except BaseException:  # as above
        return None


def shorten(text: str) -> str:
    """Return at most what fits a traceback: the beginning says who called, the end what happened."""
    head, tail = MAX_TRACEBACK_BYTES // 4, MAX_TRACEBACK_BYTES // 2
    if len(text) <= head + tail:
        return text
    return f"{text[:head]}\n[... {len(text) - head - tail} characters left out ...]\n{text[-tail:]}"


def is_handlers(frame: FrameType) -> bool:
    """Whether ``frame`` is code of a handler or of what it calls, and not Tickr's own worker."""
    module = frame.f_globals.get("__name__", "")
    return not module.startswith("tickr.worker.") or module.startswith("tickr.worker.builtin.")


def _from_handler(found: TracebackType | None) -> TracebackType | None:
    here = found
    while here is not None and not is_handlers(here.tb_frame):
        here = here.tb_next
    return here or found


def _clean(text: str, limit: int) -> str:
    """Return ``text`` within ``limit`` bytes of UTF-8, lone surrogates replaced."""
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")
