"""How a command ends: an exit code, and where it could not do what was asked a sentence on stderr; never a traceback.

With ``--json`` the sentence is a problem document (RFC 9457), one a line: the server's own where it has said no,
otherwise one of the same form. Either has ``exit_code``, too.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NoReturn, TextIO

import click

from tickr.errors import ConfigError, StoreUnavailable, TickrError

REFUSED = 1
"""The server or the store said no, or what was done failed."""
MISUSED = 2
"""Flags, variables, the file or the arguments cannot be used."""
UNREACHABLE = 3
"""No Tickr answers, or it cannot do it just now; the same again may work."""
FAILED = 4
"""The job that was followed to its end failed."""
CANCELLED = 5
"""The job that was followed to its end was cancelled."""
NOT_ENDED = 6
"""The job that was waited for has not ended in that time."""
NOT_FOUND = 7
"""There is no such job, queue, schedule, node or operation."""
CONFLICT = 8
"""It is there, and not in a state in which this can be done."""
NOT_ALLOWED = 9
"""The token is missing, or does not allow this."""
INTERRUPTED = 130
"""Ctrl-C ended what would have gone on: 128 + SIGINT, as shells count it."""
PIPE_CLOSED = 141
"""Whoever read the output has gone: 128 + SIGPIPE, as shells count it."""

NAMES: Mapping[int, str] = {
    0: "done",
    REFUSED: "refused",
    MISUSED: "usage",
    UNREACHABLE: "unavailable",
    FAILED: "failed",
    CANCELLED: "cancelled",
    NOT_ENDED: "not_ended",
    NOT_FOUND: "not_found",
    CONFLICT: "conflict",
    NOT_ALLOWED: "not_allowed",
    INTERRUPTED: "interrupted",
    PIPE_CLOSED: "pipe_closed",
}
"""Every exit code there is, and its name: the ``code`` of a problem that is not the server's."""

_OF_STATUS = {
    **dict.fromkeys((400, 413, 415, 422), MISUSED),
    **dict.fromkeys((401, 403), NOT_ALLOWED),
    **dict.fromkeys((404, 410), NOT_FOUND),
    **dict.fromkeys((409, 412), CONFLICT),
    **dict.fromkeys((408, 429, 502, 503, 504), UNREACHABLE),
}

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a file that takes no more fails with."""

_as_json: ContextVar[bool] = ContextVar("as_json", default=False)
"""Whether problems are told as JSON. Set by ``leaving`` for one command."""


def of_status(status: int) -> int:
    """Return the exit code for a request that was answered with the HTTP status ``status``, 4xx or 5xx."""
    return _OF_STATUS.get(status, REFUSED)


class Exit(click.ClickException):
    """Ends the command with ``code`` after saying why; nothing is said when ``message`` is empty.

    Args:
      problem: the server's problem document, if it was the server that said no.
    """

    def __init__(self, message: str, code: int = REFUSED, *, problem: bytes = b"") -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click reads it from the instance, and calls it a class variable
        self.problem = problem

    def show(self, file: object = None) -> None:
        if not self.message:
            return
        click.echo(self._document() if _as_json.get() else f"Error: {self.message}", err=True)

    def _document(self) -> bytes:
        import msgspec  # not before it is needed: `tickr --help` has no use for it

        said: dict[str, Any] = {}
        if self.problem:
            said = msgspec.json.decode(self.problem, type=dict[str, Any])
        else:
            name = NAMES[self.exit_code]
            said = {"type": "about:blank", "title": name.replace("_", " ").capitalize(), "code": name}
            said["detail"] = self.message
        return msgspec.json.encode({**said, "exit_code": self.exit_code})


@contextmanager
def leaving(*, as_json: bool) -> Iterator[None]:
    """Tell what ends the block, and end the program with its exit code.

    Args:
      as_json: tell it as a problem document.
    """
    told = _as_json.set(as_json)
    try:
        yield
    except click.Abort as abort:
        _leave(_aborted(abort))
    except Exit as end:
        _leave(end)
    except click.ClickException as error:
        if as_json:
            _leave(Exit(error.format_message(), error.exit_code))
        error.show()
        sys.exit(error.exit_code)
    finally:
        _as_json.reset(told)


def _leave(end: Exit) -> NoReturn:
    end.show()
    sys.exit(end.exit_code)


def _aborted(abort: click.Abort) -> Exit:
    """Return the end after Ctrl-C, or after a question that was answered with no."""
    if isinstance(abort.__cause__ or abort.__context__, KeyboardInterrupt):
        return Exit("Interrupted.", INTERRUPTED)
    return Exit("Nothing was done.", REFUSED)


@contextmanager
def minding_the_output() -> Iterator[None]:
    """End the command without a word where nobody reads stdout any more, with a sentence where nothing more fits."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        give_up(sys.stdout)
        raise Exit("", PIPE_CLOSED) from None
    except OSError as error:
        if error.errno not in _FULL:
            raise
        give_up(sys.stdout)
        raise Exit(f"The output cannot be written: {error.strerror}.") from None


def give_up(stream: TextIO) -> None:
    """Write to nowhere from now on: what Python still holds for ``stream`` must not fail once more at its end."""
    with suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def of_config(error: ConfigError, code: int = MISUSED) -> Exit:
    """Return the exit that tells every fault of a configuration."""
    if len(error.faults) == 1:
        return Exit(error.faults[0], code)
    faults = "".join(f"\n  {fault}" for fault in error.faults)
    return Exit(f"{len(error.faults)} settings cannot be used:{faults}", code)


@contextmanager
def plainly() -> Iterator[None]:
    """Turn what the operator can do something about into an ``Exit``; a bug goes on with its traceback.

    Understands groups: trio puts what a nursery's tasks raise into one. The first known error speaks for the others.
    """
    try:
        yield
    except (TickrError, OSError) as error:
        raise _exit(error) from None
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt):
            raise KeyboardInterrupt from None
        if group.split((TickrError, OSError))[1] is not None:
            raise
        raise _exit(_first(group)) from None


def _exit(error: BaseException) -> Exit:
    if isinstance(error, ConfigError):
        # The settings were fine by themselves: the world did not let us have what they ask for.
        return of_config(error, REFUSED)
    return Exit(str(error), UNREACHABLE if isinstance(error, StoreUnavailable) else REFUSED)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
