"""What ``tickr top`` shows, what the server is to be asked for it, and what each answer does to it.

Comes in: a ``State`` and what the server has said. Goes out: the next ``State``. Pure; the loop in ``live`` owns the
one state that there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from tickr.cli.remote_nodes import RemoteNode
from tickr.cli.remote_records import RemoteAttempt, RemoteExplanation, RemoteJob, RemoteQueue
from tickr.cli.remote_schedules import RemoteSchedule
from tickr.cli.subscription import RemoteEvent
from tickr.cli.top import filters
from tickr.cli.top.rates import Rates
from tickr.jobs import State as JobState

Row = RemoteQueue | RemoteJob | RemoteNode | RemoteSchedule

MAX_EVENTS = 50
"""So many of the last events of the job that is shown are kept."""
HEAD, FOOT = 4, 2
"""Lines above the rows, the header of the table included, and below them."""


class View(StrEnum):
    """The lists, in the order of their keys."""

    QUEUES = "queues"
    JOBS = "jobs"
    NODES = "nodes"
    SCHEDULES = "schedules"


VIEWS = tuple(View)
STATES: tuple[tuple[str, ...], ...] = (("running", "retrying", "failed"), (), *((str(state),) for state in JobState))
"""Which jobs are listed, in turn; () for all."""


class Act(NamedTuple):
    """Something to have done to one row."""

    view: View
    word: str
    id: str


class Question(NamedTuple):
    act: Act
    words: str


class Said(NamedTuple):
    """The answer to what was done. ``well``: whether it was done."""

    words: str
    well: bool


class Link(StrEnum):
    """How the feed is: not connected yet, connected, lost, or refused; it is tried again and again."""

    TRIED = "connecting …"
    LIVE = "live"
    LOST = "not connected, trying again"
    REFUSED = "no feed, looks every 3 s"


class Wanted(NamedTuple):
    """What the server is to be asked for. ``one``: the id of a whole row, None for a list."""

    view: View
    one: str | None = None
    filter: str = ""
    states: tuple[str, ...] = ()
    cursor: str | None = None
    limit: int = 0


@dataclass(frozen=True)
class Page:
    """Rows as they were read, and the cursor of the page after them. ``here``: the id of the node that answered."""

    rows: tuple[Row, ...]
    more: str | None = None
    here: str = ""


@dataclass(frozen=True)
class Whole:
    """Everything about one row; ``attempts`` and ``why`` it does not run belong to jobs."""

    row: Row
    attempts: tuple[RemoteAttempt, ...] = ()
    why: RemoteExplanation | None = None


@dataclass(frozen=True)
class Listing:
    """One of the lists. ``at``: the selected row among those shown; ``cursors``: of the pages up to this, the first has
    none."""

    page: Page | None = None
    at: int = 0
    filter: str = ""
    cursors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Opened:
    """What fills the screen in place of a list."""

    view: View
    id: str
    whole: Whole | None = None
    events: tuple[RemoteEvent, ...] = ()


@dataclass(frozen=True)
class Room:
    """The size of the terminal, and how many lines what is opened had when it was last drawn."""

    width: int
    height: int
    lines: int = 0

    @property
    def rows(self) -> int:
        """Rows of a list."""
        return max(1, self.height - HEAD - FOOT)

    @property
    def body(self) -> int:
        """Lines of what is opened; no header of a table is above it."""
        return self.rows + 1


@dataclass(frozen=True)
class State:
    """Everything that is shown.

    ``typing``: the filter as it is being typed. ``held``: what is shown stays as it is. ``doing``: was sent, and not
    answered yet. ``failing``: why the last reading brought nothing. ``refused``: why there is no feed.
    ``since``: of how the link is.
    """

    view: View = View.QUEUES
    lists: Mapping[View, Listing] = field(default_factory=lambda: dict.fromkeys(View, Listing()))
    states: int = 0
    opened: Opened | None = None
    helping: bool = False
    scroll: int = 0
    typing: str | None = None
    question: Question | None = None
    doing: Act | None = None
    said: Said | None = None
    held: bool = False
    failing: str = ""
    link: Link = Link.TRIED
    since: datetime | None = None
    refused: str = ""
    rates: Rates = field(default_factory=Rates)

    @property
    def listing(self) -> Listing:
        return self.lists[self.view]


# -- what is shown ---------------------------------------------------------------------------------------------------


def wanted(state: State, room: Room) -> Wanted:
    """Return what the screen needs, and no more."""
    if state.opened:
        return Wanted(state.opened.view, state.opened.id)
    listing = state.listing
    cursor = listing.cursors[-1] if listing.cursors else None
    if state.view is View.JOBS:
        return Wanted(View.JOBS, None, listing.filter, STATES[state.states], cursor, room.rows)
    return Wanted(state.view, cursor=cursor, limit=room.rows if state.view is View.SCHEDULES else 0)


def shown(state: State) -> tuple[Row, ...]:
    """Return the rows of the list that pass its filter."""
    listing = state.listing
    rows = listing.page.rows if listing.page else ()
    if state.view is View.JOBS or not listing.filter:
        return rows
    return tuple(row for row in rows if filters.passes(listing.filter, _words(row)))


def selected(state: State) -> Row | None:
    """Return what keys act on: what is opened, or the selected row."""
    if state.opened:
        return state.opened.whole.row if state.opened.whole else None
    rows = shown(state)
    return rows[state.listing.at] if state.listing.at < len(rows) else None


def id_of(row: Row) -> str:
    return row.name if isinstance(row, RemoteQueue | RemoteSchedule) else row.id


def name_of(row: Row) -> str:
    """Return what a person calls it."""
    if isinstance(row, RemoteJob):
        return f"{row.id} ({row.type})"
    return row.called if isinstance(row, RemoteNode) else row.name


def view_of(state: State) -> View:
    """Return the list that what keys act on is of."""
    return state.opened.view if state.opened else state.view


def _words(row: Row) -> Sequence[str]:
    if isinstance(row, RemoteNode):
        running = chain.from_iterable((job.type, job.id) for job in row.jobs)
        return [row.id, row.called, row.state, row.version, *row.roles, *row.queues, *row.types, *running]
    if isinstance(row, RemoteSchedule):
        state = "paused" if row.paused else "ended" if row.ended else ""
        return [row.name, row.job.type, row.job.queue, row.cron or "", state]
    return [row.name, "paused" if row.paused else ""] if isinstance(row, RemoteQueue) else []


def with_listing(state: State, listing: Listing) -> State:
    return replace(state, lists={**state.lists, state.view: listing})


# -- answers ---------------------------------------------------------------------------------------------------------


def taken(state: State, asked: Wanted, found: Page | Whole, room: Room) -> State:
    """Return what is shown now that ``found`` was read; an answer to what is no longer wanted changes nothing."""
    if asked != wanted(state, room):
        return state
    state = replace(state, failing="")
    if isinstance(found, Whole):
        return replace(state, opened=replace(state.opened, whole=found)) if state.opened else state
    before, listing = selected(state), state.listing
    state = with_listing(state, replace(listing, page=found))
    ids = [id_of(row) for row in shown(state)]
    # The selection stays with its row; where that has gone, with its place.
    at = ids.index(id_of(before)) if before and id_of(before) in ids else min(listing.at, max(0, len(ids) - 1))
    return with_listing(state, replace(state.listing, at=at))


def failed(state: State, asked: Wanted, why: str, room: Room) -> State:
    """Return what is shown now that ``asked`` brought nothing; what was read before stays."""
    return replace(state, failing=why) if asked == wanted(state, room) else state


def done(state: State, act: Act, said: Said) -> State:
    """Return what is shown now that the server has answered to ``act``."""
    if said.well and act.word == "delete" and state.opened and state.opened.id == act.id:
        state = replace(state, opened=None, scroll=0)
    return replace(state, doing=None, said=said)


def linked(state: State, link: Link, at: datetime, why: str = "") -> State:
    """Return what is shown now that the link is so. ``why``: what the server says where there is none."""
    return state if state.link is link else replace(state, link=link, since=at, refused=why)


def heard(state: State, events: Sequence[RemoteEvent]) -> State:
    """Return what is shown now that ``events`` have happened; those of other jobs are left aside."""
    if not state.opened:
        return state
    of_it = [event for event in events if event.subject == state.opened.id]
    return replace(state, opened=replace(state.opened, events=(*state.opened.events, *of_it)[-MAX_EVENTS:]))
