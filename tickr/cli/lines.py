"""What an event of the feed looks like in a terminal: one line, cut to the terminal's width.

Comes in: a ``RemoteEvent``. Goes out: rich text whose columns stand below each other from line to line. Job ids are
whole where there is room and otherwise cut to their end, which is what tells jobs of the same hour apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.text import Text

from tickr.cli import screen
from tickr.cli.subscription import EventJob, RemoteEvent

WHOLE_IDS = 120
"""From so many columns on there is room for whole job ids."""
SHORT_ID = 8
"""Signs of the id's end in a short one; 32 random bits."""
WHAT = 10
TYPE, WIDE_TYPE = 14, 24
TRIES = 5
BAR = 10
"""Columns of the event's name, of the type with its queue (where ids are short, where they are whole), of
``attempt/max_attempts``, of a bar."""

COLOURS = {
    "created": "blue",
    "started": "cyan",
    "succeeded": "green",
    "retrying": "yellow",
    "failed": "bold red",
    "cancelled": "magenta",
    "released": "magenta",
    "redriven": "blue",
    "unblocked": "blue",
    "changed": "blue",
    "deleted": "dim",
    "progress": "cyan",
    "log": "dim",
    "emitted": "cyan",
    "schedule.skipped": "yellow",
}
"""Colour of each event's name."""


def line(event: RemoteEvent, *, width: int, ascii_only: bool = False, alone: bool = False) -> Text:
    """Return the event in one line that is at most ``width`` columns wide.

    Args:
      alone: there is only one job, and no need to say which.
    """
    job, what = event.data.job, event.what.rpartition(".")[2]
    parts: list[str | Text] = [
        Text(f"{at(event).astimezone():%H:%M:%S}  ", "dim"),
        Text(f"{one_line(what):{WHAT}} ", COLOURS.get(event.what, "")),
    ]
    if job is None:
        parts.append(_thing(event))
    else:
        parts += _job(event, job, width, ascii_only=ascii_only, alone=alone)
    whole = Text.assemble(*parts)
    whole.rstrip()
    whole.truncate(width, overflow="ellipsis")
    return whole


def _thing(event: RemoteEvent) -> str:
    """Return to what it happened that is no job, and what more there is to say."""
    about = f"{one_line(event.what.partition('.')[0])} {one_line(event.subject)}"
    return f"{about}  {event.data.count} × {one_line(event.data.reason)}" if event.data.count else about


def _job(event: RemoteEvent, job: EventJob, width: int, *, ascii_only: bool, alone: bool) -> Iterator[str | Text]:
    if not alone:
        job_id = job.id if width >= WHOLE_IDS else f"…{job.id[-SHORT_ID:]}"
        yield f"{one_line(job_id)}  "
    if event.what == "log":
        yield Text(_log(event), "dim")
    elif event.data.name is not None:
        yield one_line(f"{event.data.name}  {_data(event) or ('(encrypted)' if event.data.encrypted else '')}")
    elif event.data.progress is not None:
        yield progress(event.data.progress, _said(event), BAR, ascii_only=ascii_only)
    else:
        tries = f"{job.attempt}/{job.max_attempts}" if job.attempt else ""
        if not alone:
            yield _place(job, width)
            yield "  "
        yield f"{tries:{TRIES}}  "
        yield _about(event, job)


def _place(job: EventJob, width: int) -> Text:
    """Return the job's type and, if it is not the usual one, its queue."""
    place = Text(one_line(job.type) + (f" @{one_line(job.queue)}" if job.queue != "default" else ""))
    if width < screen.PIPED_WIDTH:
        place.truncate(WIDE_TYPE if width >= WHOLE_IDS else TYPE, overflow="ellipsis", pad=True)
    return place


def day(event: RemoteEvent) -> str:
    """Return the day of the event by this machine's clock, as ``2030-01-31``."""
    return f"{at(event).astimezone():%Y-%m-%d}"


def at(event: RemoteEvent) -> datetime:
    return datetime.fromisoformat(event.time)


def progress(fraction: float, message: str | None, width: int, *, ascii_only: bool) -> Text:
    """Return a bar of ``width`` columns, the percentage and the message."""
    full, empty = ("#", "-") if ascii_only else ("━", "─")
    done = int(min(max(fraction, 0.0), 1.0) * width)
    told = f"  {one_line(message)}" if message else ""
    return Text.assemble((full * done, "cyan"), (empty * (width - done), "dim"), f" {fraction:4.0%}", told)


def one_line(text: str) -> str:
    """Return ``text`` in one line, and harmless."""
    return screen.harmless(" ".join(text.split()))


def _said(event: RemoteEvent) -> str:
    """Return what a job says beside how far it is: words, data or both."""
    return " ".join(filter(None, [event.data.message, _data(event)]))


def _data(event: RemoteEvent) -> str:
    """Return the data that a job tells, in so many signs as a line has room for; "" for none."""
    data = bytes(event.data.data).decode()
    return "" if data == "null" else screen.cut(data)


def _log(event: RemoteEvent) -> str:
    dropped = f"({event.data.dropped} left out) " if event.data.dropped else ""
    said = event.data.message or ("(encrypted)" if event.data.encrypted else "")
    return dropped + one_line(said)


def _about(event: RemoteEvent, job: EventJob) -> Text:
    """Return what there is to say beside where and how often: until when it waits, its result, its error."""
    data = event.data
    due = ""
    if job.state in ("scheduled", "retrying"):
        due = f"in {screen.span((datetime.fromisoformat(job.run_at) - at(event)).total_seconds())}"
    if data.error:
        error = one_line(data.error.message) or one_line(data.error.kind)
        return Text.assemble(due, ": " if due else "", (error, "red" if event.what == "failed" else ""))
    if data.result_bytes:
        return Text(f"{data.result_bytes:,} bytes of result", "dim")
    if data.encrypted:
        return Text("(encrypted)", "dim")
    if bytes(data.result) != b"null":
        return Text(screen.cut(one_line(bytes(data.result).decode())), "dim")
    return Text(due)
