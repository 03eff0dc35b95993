"""Who is told what happens to the job that ``submit --watch`` follows: a person at a terminal, a pipe, a program.

Each gets the same: the whole job, its events, why it waits, how the connection is, and the end. What is about the
connection or about waiting goes to stderr, or into the picture that a terminal has for the moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self

import click
import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tickr.cli import hints, lines, screen
from tickr.cli.remote_records import Answer, RemoteJob
from tickr.cli.subscription import Told

BAR = 30
"""Columns of the bar in the picture."""
PICTURES_PER_S = 4
ABOVE = ("log", "retrying", "released", "redriven")
"""Events that stay above the picture; what the others tell is in it, or at the end."""


class Audience(Protocol):
    """A context manager that lasts from before the submission to the job's end."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def whole(self, answer: Answer) -> None:
        """So it is: when it was submitted, and after a gap in what was told."""
        ...

    def told(self, told: Told, job: RemoteJob) -> None:
        """This happened; ``job`` is as it is afterwards."""
        ...

    def noticed(self, job: RemoteJob) -> None:
        """There may be a new notice on ``job``."""
        ...

    def said(self, words: str, *, lost: bool) -> None:
        """The connection is ``lost``, or it is there again."""
        ...

    def end(self, job: RemoteJob) -> None:
        """It has ended so. Comes after ``__exit__``."""
        ...


def audience(*, as_json: bool) -> Audience:
    """Return whoever looks at stdout."""
    console = screen.console()
    if as_json:
        return _Program()
    return _Terminal(console) if screen.is_watched(console) and not console.is_dumb_terminal else _Pipe()


class _Plain:
    """What a pipe and a program have in common."""

    def __init__(self) -> None:
        self._notice: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def noticed(self, job: RemoteJob) -> None:
        if job.notice and job.notice != self._notice:
            click.echo(screen.harmless(job.notice), err=True)
        self._notice = job.notice

    def said(self, words: str, *, lost: bool) -> None:
        click.echo(words, err=True)


class _Program(_Plain):
    """JSON as the server sent it, one document a line: the job, then its events."""

    def whole(self, answer: Answer) -> None:
        click.echo(answer.raw)

    def told(self, told: Told, job: RemoteJob) -> None:
        click.echo(told.raw)

    def end(self, job: RemoteJob) -> None:
        pass


class _Pipe(_Plain):
    """A line for everything."""

    def whole(self, answer: Answer) -> None:
        click.echo(screen.line(answer.job).plain)

    def told(self, told: Told, job: RemoteJob) -> None:
        click.echo(lines.line(told.event, width=screen.PIPED_WIDTH).plain)

    def end(self, job: RemoteJob) -> None:
        # The result as it is: one line, the last, for whoever cuts it off and reads it.
        for part in _ending(job, screen.harmless(bytes(job.result).decode())):
            click.echo(part.plain)


class _Terminal:
    """A picture of the job at this moment, and above it what must not be lost. Drawn anew by a thread of rich's."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._job: RemoteJob | None = None
        self._connection = ""
        self._live = Live(
            console=console, get_renderable=self._picture, refresh_per_second=PICTURES_PER_S, transient=True
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def whole(self, answer: Answer) -> None:
        self._job = answer.job

    def told(self, told: Told, job: RemoteJob) -> None:
        self._job = job
        if told.event.what in ABOVE:
            width, ascii_only = self._console.width, self._console.options.ascii_only
            self._console.print(lines.line(told.event, width=width, ascii_only=ascii_only, alone=True))

    def noticed(self, job: RemoteJob) -> None:
        self._job = job

    def said(self, words: str, *, lost: bool) -> None:
        self._connection = words if lost else ""
        if not lost:
            self._console.print(Text(words, "yellow"))

    def end(self, job: RemoteJob) -> None:
        for part in _ending(job, screen.pretty(bytes(job.result))):
            self._console.print(part)

    def _picture(self) -> Group:
        parts: list[Text] = []
        if self._job:
            parts += picture(self._job, width=self._console.width, ascii_only=self._console.options.ascii_only)
        if self._connection:
            parts.append(Text(self._connection, "yellow"))
        return Group(*parts)


def picture(job: RemoteJob, *, width: int, ascii_only: bool = False) -> list[Text]:
    """Return the lines that show ``job`` at this moment, each at most ``width`` columns wide."""
    now = datetime.now(UTC)
    if job.state in ("scheduled", "retrying") and datetime.fromisoformat(job.run_at) <= now:
        # The clock has moved it on; no event tells that.
        job = msgspec.structs.replace(job, state="ready")
    tries = f"  {job.attempt}/{job.max_attempts}" if job.attempt else ""
    parts = [
        Text.assemble(job.id, "  ", screen.harmless(job.type), "  ", screen.state(job.state), tries, "  "),
    ]
    parts[0].append(screen.when(job, now), "dim")
    if job.progress is not None and job.state == "running":
        parts.append(lines.progress(job.progress, job.progress_message, BAR, ascii_only=ascii_only))
    for part in parts:
        part.truncate(width, overflow="ellipsis")
    return [*parts, Text(screen.harmless(job.notice), "bold yellow")] if job.notice else parts


def _ending(job: RemoteJob, result: str) -> Iterable[Text]:
    """Yield what is left of a job that has ended: one line, then its result or its error."""
    tries = f"  {job.attempt}/{job.max_attempts}" if job.attempt else ""
    took = screen.took(job.started_at, job.finished_at)
    yield Text.assemble(screen.line(job), tries, f"  took {took}" if took else "")
    if result != "null":
        yield Text(result)
    if job.error:
        yield Text(screen.error_line(job.error), "red")
        if job.error.traceback:
            yield Text(screen.harmless(job.error.traceback.rstrip()), "dim")
        yield from (Text(sentence, "yellow") for sentence in hints.of_payload(job))
