"""One picture of ``tickr top``: a head, the lists' names, what is shown, what was said, the keys. Pure.

Every line is made here and fits, so that a frame has exactly the height of its terminal. Text from others has gone
through ``screen.harmless`` wherever it is put in.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.segment import Segment, Segments
from rich.text import Text

from tickr.cli import screen
from tickr.cli.lines import one_line
from tickr.cli.remote_nodes import RemoteNode
from tickr.cli.remote_records import RemoteQueue
from tickr.cli.top import tables, whole
from tickr.cli.top.keys import VERBS
from tickr.cli.top.model import STATES, VIEWS, Link, Room, Row, State, View, shown, view_of
from tickr.cli.top.tables import Look

SAID_LINES = 3
"""Lines that what was said takes at most; the rows give way."""
EMPTY = {
    View.QUEUES: "No queue has been used yet.",
    View.JOBS: "No such jobs.",
    View.NODES: "No nodes.",
    View.SCHEDULES: "No schedules.",
}
MARKS = {Link.TRIED: "○", Link.LIVE: "●", Link.LOST: "○", Link.REFUSED: "◌"}
STYLES = {Link.TRIED: "dim", Link.LIVE: "green", Link.LOST: "bold red", Link.REFUSED: "yellow"}


class Frame(NamedTuple):
    """A picture, and how many lines what is opened has in all."""

    picture: RenderableType
    lines: int = 0


def frame(state: State, room: Room, console: Console, *, url: str, now: datetime) -> Frame:
    """Return what a terminal of the size of ``room`` shows. ``console``: measures text, and says what can be shown."""
    ascii_only = console.options.ascii_only
    said = _said(state, console, room)
    spare = 1 - len(said)
    if state.opened or state.helping:
        options = console.options.update(width=room.width, height=None)
        lines = console.render_lines(Padding(_opened(state, room, ascii_only), (0, 1)), options, pad=False)
        height = max(1, room.body + spare)
        at = min(state.scroll, max(0, len(lines) - room.body))
        body = _filled([Segments([*line, Segment.line()]) for line in lines[at : at + height]], height)
        about = _place(state, at, height, len(lines))
    else:
        rows = max(1, room.rows + spare)
        body = _list(state, rows, _look(state, room, now, ascii_only))
        about, lines = _about(state, rows), []
    head = _head(state, room.width, url, now, ascii_only)
    fit = [_fit(line, room.width) for line in (head, _tabs(state, room.width), about)]
    return Frame(Group(*fit, *body, *said, _fit(_keys(state), room.width)), len(lines))


def once(state: State, room: Room, console: Console, *, url: str, now: datetime) -> RenderableType:
    """Return the list alone, for an output that does not move."""
    look = _look(state, room, now, console.options.ascii_only)
    rows = shown(state)
    head = _ends(Text.assemble((" tickr top", "bold"), f"  {url}"), Text(f"{_clock(now)} "), room.width)
    more = state.listing.page is not None and state.listing.page.more
    nothing = "None so far; there are more to look through." if more else EMPTY[state.view]
    table = tables.table(state.view, rows[: room.rows], look, None) if rows else Text(nothing, "dim")
    return Group(head, _fit(_about(state, room.rows, selecting=False), room.width), table)


def _look(state: State, room: Room, now: datetime, ascii_only: bool) -> Look:
    page = state.listing.page
    return Look(now, state.rates, page.here if page else "", ascii_only, room.width)


def _opened(state: State, room: Room, ascii_only: bool) -> RenderableType:
    if state.opened and not state.helping:
        return Group(*whole.parts(state.opened, room.width, ascii_only=ascii_only))
    verbs = {view: {key: verb.word for key, verb in own.items()} for view, own in VERBS.items()}
    verbs[View.JOBS]["s S"] = "other states"
    return Group(*whole.helping(verbs, ascii_only=ascii_only))


def _filled(lines: list[RenderableType], height: int) -> list[RenderableType]:
    return [*lines, *(Text() for _ in range(height - len(lines)))]


# -- the list --------------------------------------------------------------------------------------------------------


def _list(state: State, height: int, look: Look) -> list[RenderableType]:
    """Return the header and ``height`` lines of rows, the selected one among them."""
    rows, at = shown(state), state.listing.at
    if not rows:
        page = state.listing.page
        words = "reading …" if page is None else "None so far; PgDn looks further." if page.more else EMPTY[state.view]
        return _filled([Text(f" {words}", "dim")], height + 1)
    first = _first(at, height, len(rows))
    seen = rows[first : first + height]
    table = tables.table(state.view, seen, look, at - first)
    return [table, *(Text() for _ in range(height - len(seen)))]


def _first(at: int, height: int, count: int) -> int:
    """Return the first of ``height`` rows so that ``at`` is among them, in the middle where that can be."""
    return max(0, min(at - height // 2, count - height))


def _about(state: State, height: int, *, selecting: bool = True) -> Text:
    """Return which rows these are."""
    listing, rows = state.listing, shown(state)
    parts = [_counted(state, rows)]
    if listing.cursors:
        parts.append(f"page {len(listing.cursors) + 1}")
    if len(rows) > height:
        first = _first(listing.at if selecting else 0, height, len(rows))
        parts.append(f"{first + 1} to {first + height}")
    if listing.page and listing.page.more:
        parts.append("more below" if selecting else "there are more")
    said = Text(" " + ", ".join(parts))
    if state.typing is not None:
        return Text.assemble(said, "   /", (screen.harmless(state.typing), "bold"), ("▏", "blink"))
    return Text.assemble(said, ("   /" + one_line(listing.filter), "bold")) if listing.filter else said


def _counted(state: State, rows: tuple[Row, ...]) -> str:
    if state.view is View.JOBS:
        states = STATES[state.states]
        return f"{', '.join(states)} jobs, newest first" if states else "all jobs, newest first"
    count = f"{len(rows)} {state.view if len(rows) != 1 else state.view.removesuffix('s')}"
    queues = [row for row in rows if isinstance(row, RemoteQueue)]
    nodes = [row for row in rows if isinstance(row, RemoteNode)]
    if queues:
        paused = sum(queue.paused for queue in queues)
        sums = f"{sum(queue.ready for queue in queues):,} due, {sum(queue.running for queue in queues):,} running"
        return f"{count}, {sums}" + (f", {paused} paused" if paused else "")
    if nodes:
        return f"{count}, {sum(node.running for node in nodes)} of {sum(node.slots for node in nodes)} workers busy"
    return count


def _place(state: State, at: int, height: int, count: int) -> Text:
    words = "help" if state.helping or not state.opened else f"{state.opened.view.removesuffix('s')} {state.opened.id}"
    lines = f", lines {at + 1} to {min(at + height, count)} of {count}" if count > height else ""
    return Text(f" {one_line(words)}{lines}")


# -- above and below -------------------------------------------------------------------------------------------------


def _head(state: State, width: int, url: str, now: datetime, ascii_only: bool) -> Text:
    left = Text.assemble(" ", ("tickr top", "bold"), f"  {one_line(url)}")
    mark = "*" if ascii_only else MARKS[state.link]
    if state.held:
        link = Text("held; space goes on", "bold reverse")
    elif state.link is Link.LOST and state.since:
        lasts = screen.span((now - state.since).total_seconds())
        link = Text(f"{mark} not connected for {lasts}, trying again", STYLES[state.link])
    else:
        link = Text(f"{mark} {state.link}", STYLES[state.link])
    rates = state.rates
    told = f"in {rates.all.into:,.1f}/s  out {rates.all.out:,.1f}/s   " if rates.known else ""
    return _ends(left, Text.assemble(told, link, f"   {_clock(now)} "), width)


def _clock(now: datetime) -> str:
    return f"{now.astimezone():%H:%M:%S}"


def _tabs(state: State, width: int) -> Text:
    tabs = Text(" ")
    for number, view in enumerate(VIEWS, 1):
        here = view is state.view and not state.helping
        tabs.append(f" {number} {view} ", "bold reverse" if here else "")
        tabs.append(" ")
    return _ends(tabs, Text.assemble((" ? help ", "bold reverse" if state.helping else ""), "  q leave "), width)


def _said(state: State, console: Console, room: Room) -> list[Text]:
    """Return what has to be said now, in as many lines as it needs."""
    if state.question:
        said = [Text(f" {one_line(state.question.words)}  y/n ", "bold reverse")]
    elif state.typing is not None:
        said = [Text(" Enter filters, Esc leaves it as it was", "dim")]
    elif state.doing:
        said = [Text(f" {state.doing.word} {one_line(state.doing.id)} …", "dim")]
    else:
        said = [Text(f" {one_line(state.said.words)}", "" if state.said.well else "bold red")] if state.said else []
        faults = dict.fromkeys([state.failing, state.refused])  # often the same
        said += [Text(f" {one_line(words)}", "red") for words in faults if words]
    wrapped = [line for text in said or [Text()] for line in text.wrap(console, room.width)]
    most = min(SAID_LINES, max(1, room.rows))
    return [_fit(line, room.width) for line in wrapped[:most]]


def _keys(state: State) -> Text:
    own = [] if state.helping else [(key, verb.word) for key, verb in VERBS[view_of(state)].items()]
    if state.opened or state.helping:
        more = [("Esc", "back")]
    else:
        more = [("Enter", "its jobs" if state.view is View.QUEUES else "open"), ("/", "filter")]
        more += [("s", "states")] if state.view is View.JOBS else []
    keys = Text(" ")
    for key, word in (*own, *more, ("Space", "hold")):
        keys.append(key, "bold")
        keys.append(f" {word}  ")
    return keys


def _fit(line: Text, width: int) -> Text:
    line = line.copy()
    line.no_wrap, line.overflow = True, "ellipsis"
    line.truncate(width, overflow="ellipsis")
    return line


def _ends(left: Text, right: Text, width: int) -> Text:
    """Return both at their ends of a line; the left one gives way."""
    room = width - right.cell_len
    left = left.copy()
    left.truncate(max(0, room - 1), overflow="ellipsis", pad=True)
    return Text.assemble(left, " ", right)
