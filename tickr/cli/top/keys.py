"""What each key of ``tickr top`` does.

Comes in: a ``State`` and a key. Goes out: the next ``State`` and what is to be done. Pure. What changes something asks
first, and the question is about the row that was selected when it was asked, wherever the selection has gone since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum, auto
from typing import NamedTuple

from tickr.cli.remote_records import RemoteQueue
from tickr.cli.top.keyboard import PASTED
from tickr.cli.top.model import (
    STATES,
    VIEWS,
    Act,
    Listing,
    Opened,
    Question,
    Room,
    Said,
    State,
    View,
    id_of,
    name_of,
    selected,
    shown,
    view_of,
    with_listing,
)

MAX_FILTER = 200
"""Signs of a filter."""


class Verb(NamedTuple):
    """What a key does to the selected row: the word for it, and what is asked before."""

    word: str
    question: str


VERBS: Mapping[View, Mapping[str, Verb]] = {
    View.QUEUES: {"p": Verb("pause", "Pause the queue {}?"), "r": Verb("resume", "Resume the queue {}?")},
    View.JOBS: {
        "c": Verb("cancel", "Cancel the job {}?"),
        "R": Verb("retry", "Run the job {} again?"),
        "d": Verb("delete", "Delete the job {} for good?"),
    },
    View.NODES: {
        "p": Verb("quiet", "Have the node {} take nothing new?"),
        "r": Verb("resume", "Have the node {} take work again?"),
        "s": Verb("stop", "Stop the node {}?"),
    },
    View.SCHEDULES: {
        "n": Verb("run", "Make a job of the schedule {} now?"),
        "p": Verb("pause", "Pause the schedule {}?"),
        "r": Verb("resume", "Resume the schedule {}?"),
    },
}


class Leave(Enum):
    LEAVE = auto()


class Step(NamedTuple):
    state: State
    request: Act | Leave | None = None


def press(state: State, key: str, room: Room) -> Step:
    """Return what is shown after ``key``, as ``keyboard`` names it, and what is to be done."""
    if key.startswith(PASTED):
        return Step(_pasted(state, key.removeprefix(PASTED)))
    if state.typing is not None:
        return Step(_typed(state, key))
    if state.question is not None:
        return _answered(state, state.question, key)
    if key == "q":
        return Step(state, Leave.LEAVE)
    if key == "space":
        return Step(replace(state, held=not state.held))
    if state.helping or key == "?":
        return Step(_helped(state, key, room))
    if verb := VERBS[view_of(state)].get(key):
        return Step(_asked(state, verb))
    if view := _turned_to(state, key):
        return Step(replace(state, view=view, opened=None, scroll=0, said=None, failing=""))
    return Step(_in_opened(state, key, room) if state.opened else _in_list(state, key, room))


def _typed(state: State, key: str) -> State:
    text = state.typing or ""
    if key == "enter":
        return replace(_filtered(state, text.strip()), typing=None)
    if key == "esc":
        return replace(state, typing=None)
    if key == "backspace":
        return replace(state, typing=text[:-1])
    if key == "ctrl-u":
        return replace(state, typing="")
    sign = " " if key == "space" else key
    return replace(state, typing=text + sign) if len(sign) == 1 and len(text) < MAX_FILTER else state


def _pasted(state: State, text: str) -> State:
    """Put what was pasted where text is typed; elsewhere none of it is a key. Enter at its end was typed, or may be."""
    if state.typing is None:
        return replace(state, said=Said("That came all at once, as a paste does: no key was taken.", False))
    for sign in text.rstrip("\r\n"):
        state = _typed(state, sign) if sign.isprintable() else state
    return _typed(state, "enter") if text.endswith(("\r", "\n")) else state


def _filtered(state: State, text: str) -> State:
    listing = state.listing
    # Rows that are filtered here are there already; those that the server chooses are not.
    page = None if state.view is View.JOBS or listing.cursors else listing.page
    return replace(with_listing(state, Listing(page, filter=text)), failing="")


def _answered(state: State, question: Question, key: str) -> Step:
    if key in ("y", "Y"):
        return Step(replace(state, question=None, doing=question.act), question.act)
    return Step(replace(state, question=None) if key in ("n", "N", "esc", "q") else state)


def _asked(state: State, verb: Verb) -> State:
    row = selected(state)
    if row is None:
        return state
    if state.doing:
        return replace(state, said=Said("One moment: the server has not answered to the last one yet.", False))
    act = Act(view_of(state), verb.word, id_of(row))
    return replace(state, question=Question(act, verb.question.format(name_of(row))), said=None)


def _helped(state: State, key: str, room: Room) -> State:
    if key in ("?", "esc", "enter"):
        return replace(state, helping=not state.helping, scroll=0)
    return _scrolled(state, key, room)


def _turned_to(state: State, key: str) -> View | None:
    if key in ("tab", "shift-tab"):
        return VIEWS[(VIEWS.index(state.view) + (1 if key == "tab" else -1)) % len(VIEWS)]
    return VIEWS[int(key) - 1] if key in ("1", "2", "3", "4") else None


def _in_opened(state: State, key: str, room: Room) -> State:
    if key in ("esc", "enter", "backspace", "left"):
        return replace(state, opened=None, scroll=0, failing="", said=None)
    return _scrolled(state, key, room)


def _scrolled(state: State, key: str, room: Room) -> State:
    last = max(0, room.lines - room.body)
    return replace(state, scroll=_moved(min(state.scroll, last), key, last, room.body))


def _moved(at: int, key: str, last: int, page: int) -> int:
    """Return the place from 0 to ``last`` after ``key``."""
    far = {"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -page, "pgdn": page, "home": -last, "end": last}
    return max(0, min(at + far.get(key, 0), last))


def _in_list(state: State, key: str, room: Room) -> State:
    if key == "/":
        return replace(state, typing=state.listing.filter, said=None)
    if key == "esc":
        return replace(_filtered(state, ""), said=None) if state.listing.filter else state
    if key == "enter":
        return _entered(state)
    if key in ("s", "S") and state.view is View.JOBS:
        states = (state.states + (1 if key == "s" else -1)) % len(STATES)
        return replace(with_listing(state, Listing(filter=state.listing.filter)), states=states, said=None, failing="")
    return _selected(state, key, room)


def _entered(state: State) -> State:
    row = selected(state)
    if row is None:
        return state
    state = replace(state, said=None, scroll=0)
    if isinstance(row, RemoteQueue):  # a queue has nothing to it that its row does not show, but for its jobs
        state = replace(state, view=View.JOBS, states=STATES.index(()))
        return with_listing(state, Listing(filter=f"queue={row.name}"))
    return replace(state, opened=Opened(state.view, id_of(row)))


def _selected(state: State, key: str, room: Room) -> State:
    """Move the selection; where a list comes in pages, past their ends to the next."""
    listing, last = state.listing, len(shown(state)) - 1
    if key in ("down", "j", "pgdn") and listing.at >= last and listing.page and listing.page.more:
        return with_listing(state, Listing(filter=listing.filter, cursors=(*listing.cursors, listing.page.more)))
    if key in ("up", "k", "pgup") and listing.at == 0 and listing.cursors:
        # From below the last row of the page before is the next; ``taken`` knows how many it has.
        at = 0 if key == "pgup" else room.rows - 1
        return with_listing(state, Listing(filter=listing.filter, cursors=listing.cursors[:-1], at=at))
    if key == "home" and listing.cursors:
        return with_listing(state, Listing(filter=listing.filter))
    return with_listing(state, replace(listing, at=_moved(listing.at, key, max(0, last), room.rows)))
