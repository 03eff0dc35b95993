"""What jobs look like in a terminal: one line, a list, a whole job with its attempts.

80 columns are enough for everything; what is piped is neither coloured nor cut. Text that came with a job may hold
anything, so nothing of it reaches the terminal before ``harmless`` has looked at it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

import msgspec
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from tickr.cli.remote_records import RemoteAttempt, RemoteError, RemoteExplanation, RemoteJob, RemoteQueue

if TYPE_CHECKING:
    from tickr.store.contract import Check

PIPED_WIDTH = 100_000
"""Columns of an output that is no terminal: nothing is cut or folded."""
WIDE = 110
"""From so many columns on a list also shows queue and priority."""
NARROW = 80
"""With fewer columns a list leaves out what is not needed to go on with an id."""
ID = 36
"""Columns of an id, which is whole or of no use."""
IDS = {"ID", "EXAMPLE", "JOB"}
NUMBERS = {
    *("READY", "RUNNING", "SCHEDULED", "RETRYING", "PRIORITY", "TRIES", "JOBS", "DONE", "SKIPPED", "TRY", "LIFE"),
    *("TOOK", "BUSY", "TO RUN", "ENDED", "SCHEDULES", "NODES", "ATTEMPT"),
}
"""Columns with an id, and columns with a number, by what stands above them."""

MUCH_TEXT = 160
"""Characters of an error in a table, or of a result in a line; the job's own is shown in full elsewhere."""
MANY_LINES = 24
"""JSON that would take more lines than this is not indented."""

COLOURS = {
    "scheduled": "magenta",
    "ready": "blue",
    "blocked": "magenta",
    "running": "cyan",
    "retrying": "yellow",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "dim",
    "released": "dim",
}
"""Colour of each state, and of each outcome of an attempt."""

LEVELS = {"ok": "green", "warn": "yellow", "fail": "bold red"}

# C0 and C1 controls, and what turns the direction of text.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def console(file: IO[str] | None = None) -> Console:
    """Return a console on ``file`` (stdout) that colours a terminal only, and not with NO_COLOR."""
    file = sys.stdout if file is None else file
    return Console(file=file, highlight=False, emoji=False, markup=False, width=None if file.isatty() else PIPED_WIDTH)


def is_watched(console: Console) -> bool:
    """Whether a person sees the console. Not what rich thinks: FORCE_COLOR makes a terminal of every pipe."""
    return console.file.isatty()


def harmless(text: str) -> str:
    """Return ``text`` with everything that could steer a terminal written out."""
    return _UNSAFE.sub(lambda found: repr(found[0])[1:-1], text)


def state(name: str) -> Text:
    return Text(harmless(name), COLOURS.get(name, ""))


# -- time ------------------------------------------------------------------------------------------------------------


def span(seconds: float) -> str:
    """Return a duration as a person says it: ``0.2 s``, ``45 s``, ``3 min``, ``2 h``, ``5 d``."""
    seconds = abs(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    for size, unit, up_to in ((1, "s", 100), (60, "min", 6000), (3600, "h", 172_800)):
        if seconds < up_to:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def relative(at: str, now: datetime) -> str:
    ahead = (_parsed(at) - now).total_seconds()
    return f"in {span(ahead)}" if ahead > 0 else f"{span(ahead)} ago"


def absolute(at: str, now: datetime) -> str:
    """Return the instant in local time and how far away it is."""
    return f"{_parsed(at).astimezone().isoformat(' ', 'seconds')}  ({relative(at, now)})"


def _parsed(at: str) -> datetime:
    return datetime.fromisoformat(at)


def took(started: str | None, finished: str | None) -> str:
    """Return how long it took; "" if that cannot be said."""
    return span((_parsed(finished) - _parsed(started)).total_seconds()) if started and finished else ""


def when(job: RemoteJob, now: datetime) -> str:
    """Return the instant that matters most in the job's state."""
    if job.finished_at and job.state in ("succeeded", "failed", "cancelled"):
        return relative(job.finished_at, now)
    if job.state == "blocked":
        return "after others"
    if job.state == "running" and job.started_at:
        return f"for {span((now - _parsed(job.started_at)).total_seconds())}"
    return relative(job.run_at, now) if job.state in ("scheduled", "retrying") else f"due {relative(job.run_at, now)}"


# -- jobs ------------------------------------------------------------------------------------------------------------


def line(job: RemoteJob) -> Text:
    """Return a job in one line; its id is the first word."""
    due = f", due {relative(job.run_at, _now())}" if job.state in ("scheduled", "retrying") else ""
    return Text.assemble(job.id, "  ", harmless(job.type), "  ", state(job.state), due)


def _held_for(until: float | str) -> str:
    """Return for how long a job holds its unique key."""
    named = {"final": "until it has ended", "started": "until it has begun"}
    return harmless(named.get(until, until)) if isinstance(until, str) else f"for {until:g} s from its creation"


def held(job: RemoteJob) -> str:
    """Return what to say of a submission for which ``job`` is the answer, as it holds the unique key."""
    return f"Nothing was submitted: job {job.id} holds this unique key ({harmless(job.state)})."


def job_list(jobs: Iterable[RemoteJob], *, width: int) -> Table:
    """Return a table of ``jobs``, ``width`` columns wide at most; if need be, long types are cut and nothing else."""
    now = _now()
    more = (*(("TRIES", "WHEN") if width >= NARROW else ()), *(("QUEUE", "PRIORITY") if width >= WIDE else ()))
    table = plain_table("ID", "TYPE", "STATE", *more)
    # The one column that gives way; a type is one word, so it is cut rather than folded.
    table.columns[1].no_wrap, table.columns[1].overflow = False, "ellipsis"
    for job in jobs:
        shown = Text.assemble(state(job.state), (" encrypted" if job.encrypted else "", "dim"))
        tries = f"{job.attempt}/{job.max_attempts}"
        cells = (tries, when(job, now), Text(harmless(job.queue)), str(job.priority))
        table.add_row(job.id, Text(harmless(job.type)), shown, *cells[: len(more)])
    return table


def plain_table(*headers: str) -> Table:
    """Return a table without lines, each column as wide as what is in it; ids are whole, and numbers to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for header in headers:
        least = ID if header in IDS else None
        justify: JustifyMethod = "right" if header in NUMBERS else "left"
        table.add_column(header, no_wrap=header != "ERROR", min_width=least, justify=justify)
    return table


def queue_list(queues: Iterable[RemoteQueue]) -> Table:
    """Return a table of queues."""
    table = plain_table("QUEUE", "READY", "RUNNING", "SCHEDULED", "RETRYING", "SET")
    for one in queues:
        counts = (str(count) for count in (one.ready, one.running, one.scheduled, one.retrying))
        table.add_row(Text(harmless(one.name)), *counts, set_on(one))
    return table


def queue_line(queue: RemoteQueue) -> Text:
    """Return a queue in one line; its name is the first word."""
    counts = f"{queue.ready} ready, {queue.running} running, {queue.scheduled + queue.retrying} later"
    return Text.assemble(harmless(queue.name), "  ", counts, "  ", set_on(queue))


def set_on(queue: RemoteQueue) -> Text:
    """Return what an operator has set on it."""
    until = f" until {queue.paused_until[:19]}Z" if queue.paused_until else ""
    said = [f"paused{until}"] if queue.paused else []
    if queue.max_running is not None:
        said.append(f"{queue.max_running} at once")
    if queue.max_running_per_key is not None:
        said.append(f"{queue.max_running_per_key} per key")
    if queue.shared_keys:
        said.append("keys shared")
    if queue.order == "newest":
        said.append("newest first")
    if queue.rate is not None:
        said.append(f"{queue.rate.starts} in {queue.rate.period:g} s")
    return Text(", ".join(said), "bold yellow" if queue.paused else "")


def explanation(told: RemoteExplanation) -> Iterable[Text]:
    """Yield why a job is not running, a line for each reason, and when it may start."""
    yield Text.assemble(told.id, "  ", state(told.state))
    for reason in told.reasons:
        yield Text.assemble("  ", (harmless(reason.code), "bold"), "  ", harmless(reason.detail))
    if told.estimated_start:
        yield Text(f"  It may start at {absolute(told.estimated_start, _now())}.")


def whole(
    job: RemoteJob, attempts: Sequence[RemoteAttempt], *, tracebacks: bool = False, most: int | None = None
) -> Iterable[Text | Table]:
    """Yield the paragraphs that show everything about a job.

    Args:
      tracebacks: those of its earlier attempts, too.
      most: so many signs of a payload, a result or an error at most; None for all of it.
    """
    now = _now()
    yield Text.assemble((harmless(job.type), "bold"), "  ", job.id, "  ", state(job.state))
    if job.notice:
        yield Text(harmless(job.notice), "bold yellow")
    facts = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(job, now):
        facts.add_row(name, value if most is None else _start(value, most))
    yield facts
    if attempts:
        yield Text()
        yield _attempt_list(attempts, now)
    if tracebacks:
        yield from _tracebacks(attempts)
    elif job.error and job.error.traceback:
        yield Text()
        traceback = Text(harmless(job.error.traceback.rstrip()), "dim")
        yield traceback if most is None else _start(traceback, most)


def _start(text: Text, most: int) -> Text:
    return text if len(text) <= most else text[:most].append(f"… and {len(text) - most:,} signs more", "dim")


def _facts(job: RemoteJob, now: datetime) -> Iterable[tuple[str, Text]]:
    yield "queue", Text(f"{harmless(job.queue)}, priority {job.priority}")
    often = "once" if job.crashes == 1 else f"{job.crashes} times"
    crashed = f", and lost with its node {often}" if job.crashes else ""
    spared = "" if job.max_crashes else ", never again after a crash"
    yield "tries", Text(f"{job.attempt} of {job.max_attempts}{crashed}{spared}")
    yield "created", Text(absolute(job.created_at, now))
    if job.state in ("scheduled", "ready", "retrying"):
        yield "due", Text(absolute(job.run_at, now))
    if job.expires_at and job.state in ("scheduled", "ready", "blocked", "retrying"):
        yield "expires", Text(absolute(job.expires_at, now))
    if job.started_at:
        yield "started", Text(absolute(job.started_at, now))
    if job.finished_at:
        yield "finished", Text(absolute(job.finished_at, now))
    if job.keep is not None:
        yield "kept", Text(f"{span(job.keep)} after its end")
    if job.schedule:
        tick = f", tick {absolute(job.schedule.tick, now)}" if job.schedule.tick else ", on request"
        yield "schedule", Text(harmless(job.schedule.name) + tick)
    if job.depends_on:
        how = "" if job.depends_on.on_failure == "fail" else f" (on failure: {harmless(job.depends_on.on_failure)})"
        yield "depends on", Text(harmless(", ".join(job.depends_on.jobs)) + how)
    if job.sequence:
        yield "sequence", Text(harmless(job.sequence))
    if job.parent:
        yield "parent", Text(harmless(job.parent))
    if job.node:
        yield "node", Text(harmless(job.node))
    if job.progress is not None:
        yield "progress", Text(harmless(f"{100 * job.progress:.0f} % {job.progress_message or ''}".rstrip()))
        if bytes(job.progress_data) != b"null":
            yield "", Text(pretty(bytes(job.progress_data)))
    if job.limit_key is not None:
        yield "limit key", Text(harmless(job.limit_key))
    if job.labels:
        yield "labels", Text(harmless(", ".join(f"{name}={value}" for name, value in job.labels.items())))
    if job.traceparent:
        yield "trace", Text(harmless(job.traceparent))
    if job.unique:
        yield "unique", Text(f"{harmless(job.unique.key)}, {_held_for(job.unique.until)}")
    if job.encrypted:
        yield "encrypted", Text(f"with the key {harmless(job.encryption_key or '')}")
    if not job.encrypted or bytes(job.payload) != b"null":
        yield "payload", Text(pretty(bytes(job.payload)))
    else:
        yield "payload", Text("encrypted; --decrypt shows it", "dim")
    if bytes(job.result) != b"null":
        yield "result", Text(pretty(bytes(job.result)))
    if job.error:
        yield "error", Text(error_line(job.error), "red")


def _attempt_list(attempts: Sequence[RemoteAttempt], now: datetime) -> Table:
    lives = any(attempt.life > 1 for attempt in attempts)
    table = plain_table(*(("LIFE",) if lives else ()), "TRY", "OUTCOME", "STARTED", "TOOK", "ERROR")
    for attempt in attempts:
        started = relative(attempt.started_at, now) if attempt.started_at else ""
        table.add_row(
            *((str(attempt.life),) if lives else ()),
            str(attempt.number),
            state(attempt.outcome),
            started,
            took(attempt.started_at, attempt.finished_at),
            Text(cut(error_line(attempt.error)) if attempt.error else ""),
        )
    return table


def _tracebacks(attempts: Sequence[RemoteAttempt]) -> Iterable[Text]:
    for attempt in attempts:
        if attempt.error and attempt.error.traceback:
            yield Text()
            yield Text(f"life {attempt.life}, try {attempt.number}: {error_line(attempt.error)}", "bold")
            yield Text(harmless(attempt.error.traceback.rstrip()), "dim")


def error_line(error: RemoteError) -> str:
    return harmless(f"{error.kind}: {error.message}")


def cut(text: str) -> str:
    """Return the first of ``text``, as much as fits into a table or a line among others."""
    return text if len(text) <= MUCH_TEXT else f"{text[: MUCH_TEXT - 1]}…"


def pretty(json: bytes) -> str:
    """Return JSON indented, or in one line where that is short or would be long; its numbers stay as they are."""
    one_line = msgspec.json.format(json, indent=0).decode()
    indented = msgspec.json.format(json, indent=2).decode()
    return harmless(one_line if len(one_line) <= 60 or indented.count("\n") > MANY_LINES else indented)


def _now() -> datetime:
    return datetime.now(UTC)


# -- checks ----------------------------------------------------------------------------------------------------------


def check_list(checks: Iterable[Check]) -> Table:
    """Return the findings of ``tickr doctor``, each with its advice below it."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        finding = Text(harmless(check.finding))
        if check.advice:
            finding.append(f"\n{harmless(check.advice)}", "dim")
        table.add_row(Text(check.level, LEVELS[check.level]), check.name, finding)
    return table
