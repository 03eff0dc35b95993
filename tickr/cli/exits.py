"""How a command ends when it cannot do what was asked: one sentence on stderr and an exit code, never a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from tickr.errors import ConfigError, TickrError

REFUSED = 1
"""The job, the store or the server said no."""
MISUSED = 2
"""Flags, variables, the file or the arguments cannot be used."""
UNREACHABLE = 3
"""No Tickr answers."""
FAILED = 4
"""The job that was followed to its end failed."""
CANCELLED = 5
"""The job that was followed to its end was cancelled."""
NOT_ENDED = 6
"""The job that was waited for has not ended in that time."""
INTERRUPTED = 130
"""Ctrl-C ended what would have gone on: 128 + SIGINT, as shells count it."""
PIPE_CLOSED = 141
"""Whoever read the output has gone: 128 + SIGPIPE, as shells count it."""


class Exit(click.ClickException):
    """Ends the command with ``code`` after saying why; nothing is said when ``message`` is empty."""

    def __init__(self, message: str, code: int = REFUSED) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click reads it from the instance, and calls it a class variable

    def show(self, file: object = None) -> None:
        if self.message:
            click.echo(f"Error: {self.message}", err=True)


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
            raise click.Abort from None
        if group.split((TickrError, OSError))[1] is not None:
            raise
        raise _exit(_first(group)) from None


def _exit(error: BaseException) -> Exit:
    # The settings were fine by themselves: the world did not let us have what they ask for.
    return of_config(error, REFUSED) if isinstance(error, ConfigError) else Exit(str(error), REFUSED)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
