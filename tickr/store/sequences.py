"""Sequences: whose turn comes after whose, computed from what a store has read. Pure; shared by all adapters.

The row of a sequence (``keys.sequence_name``) names the last job that was put into it. Whoever puts in another locks
the row, so that there is one order, on all nodes; the new job gets a link to the last one and waits for it as for any
other that it depends on. So a job that waits has one link, and each end is followed by one start, however many wait.

A job that ends before its turn (cancelled, expired) leaves the others where they are: whoever comes after it takes its
link over, in one commit (``take_over``). While nobody comes after it, it keeps the link although it has ended: so the
next one to come still finds what it has to wait for. Therefore a job of a sequence is out of the way when it has ended
*and* has no link. Who changes a link holds the rows of both jobs that have had one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, MutableMapping
from typing import NamedTuple

import msgspec

from tickr.events import Change
from tickr.jobs import FINAL, Job, State
from tickr.keys import of_sequence, sequence_name
from tickr.links import Kind, Link
from tickr.store.key_rows import Key


class Sequences:
    """The sequences that one commit adds to, as it has left them so far.

    Args:
      kept: the rows of the keys, by name; written here, and in ``written``.
      stored: the jobs that these rows name, locked, among others.
      links: of these jobs and of those that are started over, whom they wait for; and who waits for the latter.
    """

    def __init__(
        self, kept: MutableMapping[str, Key], stored: Mapping[str, Job], links: Iterable[Link], now: int
    ) -> None:
        self._kept = kept
        self._stored = stored
        self._now = now
        waits = [link for link in links if link.kind is Kind.SEQUENCE]
        self._after = {link.waiter: link.on for link in waits}
        self._awaited = {link.on for link in waits}
        self._started_over: dict[str, Job] = {}
        self.written: dict[str, Key] = {}
        self.opened: list[Link] = []
        self.gone: list[Link] = []

    def before(self, sequence: str) -> str | None:
        """Return whom the next job of a sequence has to wait for; None: for nobody."""
        last = self._last(sequence)
        if last is None:
            return None
        return self._after.get(last.id) if last.state in FINAL else last.id

    def put(self, job_id: str, sequence: str) -> None:
        """Make a job, which waits for ``before``, the last of its sequence."""
        last, before = self._last(sequence), self.before(sequence)
        if last is not None and last.id != before and before is not None:
            self.gone.append(Link(before, last.id, Kind.SEQUENCE))
            del self._after[last.id]
        if before is not None:
            self._after[job_id] = before
            self.opened.append(Link(before, job_id, Kind.SEQUENCE))
        name = sequence_name(sequence)
        self._kept[name] = self.written[name] = Key(name, job_id, self._now, None)

    def start_over(self, change: Change) -> Change:
        """Return ``change``, which starts a job over, with what its sequence makes of it.

        It goes to the end; but where nobody of its sequence has been started or put in since it ended, as far as that
        is known, it is in its old place still, and stays there.
        """
        job = change.after
        assert job.extras.sequence is not None, "only jobs of sequences are asked about"
        sequence = job.extras.sequence.name
        last = self._last(sequence)
        if job.id not in self._awaited and (last is None or last.id != job.id):
            self.put(job.id, sequence)
        elif job.id in self._after:
            self.opened.append(Link(self._after[job.id], job.id, Kind.SEQUENCE))
        self._started_over[job.id] = job
        if job.id not in self._after:
            return change
        return Change(change.before, msgspec.structs.replace(job, state=State.BLOCKED))

    def _last(self, sequence: str) -> Job | None:
        key = self._kept.get(sequence_name(sequence))
        job = None if key is None else self._started_over.get(key.job_id) or self._stored.get(key.job_id)
        own = None if job is None else job.extras.sequence  # its id may have been deleted, and given out again
        return job if own is not None and own.name == sequence else None


def named(jobs: Iterable[Job]) -> list[Job]:
    """Return those of ``jobs`` that are in a sequence."""
    return [job for job in jobs if job.extras.sequence is not None]


def last_of(kept: Mapping[str, Key]) -> set[str]:
    """Return the ids of the jobs that are the last of their sequences, of all ``kept``."""
    return {key.job_id for key in kept.values() if of_sequence(key.name)}


def predecessors(links: Iterable[Link], ended: Collection[str]) -> set[str]:
    """Return those of ``ended`` after whom somebody comes in a sequence: their rows are locked to settle ``links``."""
    return {link.on for link in links if link.kind is Kind.SEQUENCE and link.on in ended}


class Turns(NamedTuple):
    """What becomes of the links of sequences: those that are over or were taken over, those to be written instead, and
    the ids of those that come after somebody still.
    """

    gone: list[Link]
    kept: list[Link]
    waiting: set[str]


def take_over(links: Iterable[Link], locked: Collection[str], ended: Collection[str]) -> Turns:
    """Return what becomes of the links of those whose predecessor has ended.

    Args:
      links: of all of ``locked``, whom they wait for.
      locked: the ids of jobs that are locked. What another one that has ended waits for is not known: then its
        successor is looked at again later.
      ended: the ids of jobs that have ended.
    """
    before = {link.waiter: link.on for link in links if link.kind is Kind.SEQUENCE}
    now: dict[str, str] = dict(before)
    for waiter in sorted(before):
        while (on := now.get(waiter)) is not None and on in ended and on in locked:
            if (further := now.pop(on, None)) is None:
                del now[waiter]
            else:
                now[waiter] = further
    gone = [Link(on, waiter, Kind.SEQUENCE) for waiter, on in before.items() if now.get(waiter) != on]
    kept = [Link(on, waiter, Kind.SEQUENCE) for waiter, on in now.items() if before[waiter] != on]
    return Turns(gone, kept, {*now})
