"""Failpoints: named places between two effects where a process can be made to die, fail, wait or hang.

What happens between two effects is what a crash shows, so each such place of the product has a name here and a line
``await reach("intake.after_commit")`` (or ``reach_in_thread``) where it is. Off, as in every ordinary run, that is one
look into an empty dict. ``TICKR_FAILPOINTS`` arms them for a whole process:

    TICKR_FAILPOINTS="intake.after_commit=kill,claim.after_pop=sleep:0.5,store.after_commit=kill@20%"

The idea, and the name, are FreeBSD's fail(9); ``@`` and ``%`` are our own.

State: ``_armed`` is written by ``arm`` and ``armed``; whoever reaches a point reads it.
"""

from __future__ import annotations

import difflib
import os
import random
import re
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import trio

from tickr.errors import ConfigError

POINTS = {
    # submission
    "intake.before_store": "submissions were taken from the line; nothing of them is stored",
    "intake.after_commit": "they are stored, some as started here; the index does not know, nobody was answered",
    "intake.after_announce": "index and bell know; nobody was answered",
    "intake.after_cancel": "a cancellation is stored; neither worker nor index know",
    "api.before_answer": "a change is done; its answer has not left",
    "inbox.after_submit": "rows of the inbox are stored as jobs; the rows are still there",
    "announce.after_index": "jobs that wait are in the index; no bell has rung for them",
    # the store's transactions, whatever they are for
    "store.before_commit": "a transaction has written everything; nothing of it stands",
    "store.after_commit": "a transaction stands; whoever asked for it does not know",
    # a node's right to its jobs
    "lease.after_register": "the node has its row; nobody was told its id",
    "lease.before_renew": "a heartbeat is about to be sent",
    "lease.after_lost": "the lease is given up; its jobs still run here",
    # claim and run
    "claim.after_pop": "ids are out of the index; nothing is claimed",
    "claim.after_commit": "jobs are claimed; they have not been started",
    "run.before_handler": "the handler is about to be called",
    "run.after_handler": "the handler has ended; its outcome is known here alone",
    # outcome
    "outcomes.before_store": "outcomes were taken from the line; nothing of them is stored",
    "outcomes.after_commit": "they are stored; retries are not in the index",
    "outcomes.after_announce": "index and bell know of the retries",
    "notes.before_store": "what attempts say was taken from the line; nothing of it is stored",
    # scheduler
    "promote.before": "what waits is about to be looked through for what is due",
    "promote.after": "it is among what is ready",
    "schedule.before_fire": "ticks of schedules are due; nothing of them is stored",
    "schedule.after_fire": "their jobs are stored, and the schedules moved on; the index does not know",
    "operation.before_step": "the jobs of a step are known; nothing is changed about them",
    "operation.after_step": "they are changed, and the operation moved on; neither workers nor index know",
    "reap.after_expire": "a silent node's row is gone; its jobs still count as running",
    "reap.after_commit": "its jobs are taken back; the index does not know",
    "expire.after_commit": "jobs that had expired are cancelled; the index still has them",
    "children.after_commit": "a handler's children are stored, the index does not know, and nor does their parent",
    "links.after_commit": "jobs that waited for others go on, or have ended; the index does not know",
    "audit.before_put_back": "jobs are known to be missing in the index",
    "rebuild.after_mark": "an empty index carries the mark of a rebuild",
    "rebuild.after_page": "a page of what waits is in the index again",
    "rebuild.before_epoch": "everything is in the index; it does not carry its epoch",
    "retention.after_number": "rows have their numbers; no old one is deleted",
    "retention.after_prune": "a batch of old rows is deleted",
    "statistics.before_commit": "sums and how far they go are written; nothing of it stands",
    "statistics.after_commit": "a batch of the log is added to the sums; the next is not read",
    # feed
    "feed.before_number": "rows without a number were found",
    "feed.after_number": "they have their numbers; nobody was told",
    "feed.before_tell": "rows were read; no subscriber has them",
    # stop
    "stop.draining": "the listener is closing; nothing was waited for",
    "stop.before_hand_back": "the grace is over; what runs has not been cancelled",
    "stop.before_release": "everything is stored; the node's row is still there",
    "stop.after_release": "the node's row is gone; the store is open",
}
"""Every failpoint: what is done and what is not when it is reached."""

VARIABLE = "TICKR_FAILPOINTS"
ACTIONS = "kill, raise, hang, sleep:<seconds>"
FORMS = "name=action, name=action@3 or name=action@20%"

_parts = re.compile(
    r"([^=]+)=(?:(kill|raise|hang)|sleep:(\d{1,6}(?:\.\d{1,6})?))(?:@(?:(\d{1,9})|(\d{1,3}(?:\.\d{1,9})?)%))?", re.ASCII
).fullmatch
"""Name, what to do, seconds to sleep, from which time on, in how many of a hundred."""


class FailpointError(Exception):
    """What ``raise`` raises: an error that nobody foresaw."""


class Action(NamedTuple):
    """What happens at a point.

    Attributes:
      what: "kill", "raise", "hang" or "sleep".
      seconds: for how long to sleep.
      chance: 0 to 1, for each time the point is reached.
      passes: how many times the point is passed first.
    """

    what: str
    seconds: float = 0.0
    chance: float = 1.0
    passes: int = 0


class _Point:
    """One armed point. Threads may reach it at once, hence the lock."""

    def __init__(self, name: str, action: Action) -> None:
        self.name = name
        self.action = action
        self._passes = action.passes
        self._lock = threading.Lock()

    def strikes(self) -> bool:
        with self._lock:
            self._passes -= 1
            return self._passes < 0 and random.random() < self.action.chance

    def tell(self) -> None:
        """Say so on stderr, past every buffer: a killed process says nothing later."""
        os.write(2, f"failpoint {self.name}: {self.action.what}\n".encode())


_armed: dict[str, _Point | Callable[[], Awaitable[None]]] = {}


async def reach(name: str) -> None:
    """Do what is armed at ``name``; nothing, at the price of a look into an empty dict, if nothing is.

    Raises: FailpointError. Cancellation: ends ``hang`` and ``sleep``. No checkpoint when nothing happens.
    """
    if not _armed or (point := _armed.get(name)) is None:
        return
    if not isinstance(point, _Point):
        await point()
    elif point.strikes():
        point.tell()
        if point.action.what == "hang":
            await trio.sleep_forever()
        elif point.action.what == "sleep":
            await trio.sleep(point.action.seconds)
        else:
            _strike(point)


def reach_in_thread(name: str) -> None:
    """The same where no trio runs. A call of ``armed`` is not made here."""
    if not _armed or not isinstance(point := _armed.get(name), _Point):
        return
    if point.strikes():
        point.tell()
        if point.action.what == "hang":
            threading.Event().wait()
        elif point.action.what == "sleep":
            time.sleep(point.action.seconds)
        else:
            _strike(point)


def _strike(point: _Point) -> None:
    if point.action.what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise FailpointError(point.name)


def parse(text: str) -> dict[str, Action]:
    """Return the actions by point that ``text`` asks for, as ``TICKR_FAILPOINTS`` has them.

    ``name=action`` with commas between; ``@3`` after the action passes the point twice first and strikes each time from
    then on, ``@20%`` strikes one time in five. Raises: ConfigError, with all faults.
    """
    found: dict[str, Action] = {}
    faults: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _parts(part)
        if match is None:
            faults.append(f'"{part}" is no failpoint: write {FORMS}, where action is one of {ACTIONS}.')
            continue
        name, what, seconds, first, percent = match.groups()
        if name not in POINTS:
            faults.append(unknown(name))
        elif name in found:
            faults.append(f'"{name}" stands there twice.')
        elif first is not None and int(first) < 1:
            faults.append(f'"{part}" strikes from no time on: the first is @1.')
        elif percent is not None and not 0 < float(percent) <= 100:
            faults.append(f'"{part}" strikes never, or more than each time: up to @100% there is.')
        else:
            chance = float(percent) / 100 if percent else 1.0
            found[name] = Action(what or "sleep", float(seconds or 0), chance, int(first or 1) - 1)
    if faults:
        raise ConfigError([f"{VARIABLE}: {fault}" for fault in faults])
    return found


def unknown(name: str) -> str:
    """Say that ``name`` is no failpoint, and which one may be meant."""
    near = difflib.get_close_matches(name, POINTS, n=1)
    return f'There is no failpoint "{name}".' + (f' Did you mean "{near[0]}"?' if near else "")


def arm(actions: dict[str, Action]) -> None:
    """Arm these points, for the rest of the process."""
    _armed.update({name: _Point(name, action) for name, action in actions.items()})


@contextmanager
def armed(name: str, call: Callable[[], Awaitable[None]]) -> Iterator[None]:
    """Inside the block, have ``call`` awaited by whoever reaches ``name``; for tests inside one process."""
    assert name in POINTS, name
    before = _armed.get(name)
    _armed[name] = call
    try:
        yield
    finally:
        del _armed[name]
        if before is not None:
            _armed[name] = before
