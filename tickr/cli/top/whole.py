"""What ``tickr top`` shows in place of a list: everything about one row, and the help. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tickr.cli import lines, node_screen, schedule_screen, screen
from tickr.cli.remote_nodes import RemoteNode
from tickr.cli.remote_records import RemoteJob, RemoteQueue
from tickr.cli.remote_schedules import RemoteSchedule
from tickr.cli.subscription import RemoteEvent
from tickr.cli.top.model import Opened, View, Whole

TWO_COLUMNS = 132
"""From so many columns on, what happens to a job stands beside it; otherwise below."""
MUCH = 8000
"""Signs of a payload, a result or the like that are shown; `tickr show` has all of it."""
ATTEMPTS = 50
"""So many of a job's last attempts are shown."""


def parts(opened: Opened, width: int, *, ascii_only: bool) -> Iterable[RenderableType]:
    """Yield the paragraphs about what is opened."""
    if opened.whole is None:
        yield Text("reading …", "dim")
        return
    row = opened.whole.row
    if isinstance(row, RemoteJob):
        yield from _of_job(row, opened.whole, opened.events, width, ascii_only=ascii_only)
    elif isinstance(row, RemoteNode):
        yield from node_screen.whole(row)
    elif isinstance(row, RemoteSchedule):
        yield from schedule_screen.whole(row)
    elif isinstance(row, RemoteQueue):
        yield screen.queue_line(row)


def _of_job(
    job: RemoteJob, whole: Whole, events: Sequence[RemoteEvent], width: int, *, ascii_only: bool
) -> Iterable[RenderableType]:
    aside = width >= TWO_COLUMNS
    about = [*screen.whole(job, whole.attempts[-ATTEMPTS:], most=MUCH)]
    why = _why(whole)
    happened = _happened(events, width * 2 // 5 - 2 if aside else width, ascii_only=ascii_only)
    if not aside:
        yield from (*about[:1], *why, *about[1:], Text(), *happened)
        return
    both = Table.grid(expand=True, padding=(0, 2, 0, 0))
    both.add_column(ratio=3)
    both.add_column(ratio=2)
    both.add_row(Group(*about), Group(*why, Text() if why else "", *happened))
    yield both


def _why(whole: Whole) -> list[Text]:
    """Return why a job is not running, without the line that says which job."""
    if not whole.why:
        return []
    _, *reasons = screen.explanation(whole.why)
    return [Text("why it is not running", "bold"), *reasons] if reasons else []


def _happened(events: Sequence[RemoteEvent], width: int, *, ascii_only: bool) -> Iterable[Text]:
    yield Text("what happens to it, the last first", "bold")
    if not events:
        yield Text("nothing since this is open", "dim")
    for event in reversed(events):
        yield lines.line(event, width=width - 2, ascii_only=ascii_only, alone=True)


EVERYWHERE = (
    ("1 2 3 4  Tab", "queues, jobs, nodes, schedules"),
    ("↑ ↓ j k  PgUp PgDn  Home End", "move; past the end, to the next page"),
    ("Enter  Esc", "all about a row (of a queue, its jobs); back"),
    ("/  Esc", "filter a list by any text in its rows; no filter"),
    ("", "of jobs: type=report queue=mail label=a=b state=…"),
    ("", "error=timeout payload.order.id=7, text in a payload"),
    ("Space", "hold what is shown; again, go on"),
    ("q  Ctrl-C", "leave"),
    ("", ""),
)
ASCII = str.maketrans({"↑": "Up", "↓": "Down", "…": "..."})


def helping(verbs: Mapping[View, Mapping[str, str]], *, ascii_only: bool) -> Iterable[RenderableType]:
    """Yield what each key does. ``verbs``: of each list, the word for what each of its own keys does."""
    keys = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    keys.add_column(no_wrap=True, style="bold")
    keys.add_column()
    for key, words in EVERYWHERE:
        keys.add_row(key.translate(ASCII) if ascii_only else key, words)
    for view, own in verbs.items():
        keys.add_row(view, "   ".join(f"{key} {word}" for key, word in own.items()))
    yield keys
    yield Text()
    yield Text("What changes something asks first: y does it, n or Esc does not.", "dim")
    yield Text("DUE waits and may start, LATER waits for its time; IN and OUT are of 10 seconds.", "dim")
