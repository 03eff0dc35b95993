"""Ledger: all that has happened in a test, as the log of events has it, and what it leaves to be done.

Comes in: each commit's events, from the store. Goes out: the events as records, by job too; whether anything runs or is
due; and a wake-up for whoever waits for that. State: all of it is written by ``take`` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

import trio

from tickr import events
from tickr.jobs import FINAL, State
from tickr.sealing import NO_VAULT, Vault
from tickr.testing.records import Event, of_event

WAITS = (State.SCHEDULED, State.READY, State.RETRYING)


class Ledger:
    """Attributes:
    events: all of them, in their order.
    open: the jobs that have not ended: their ids, and the state that the last event told.
    """

    def __init__(self, start_us: int, vault: Vault = NO_VAULT) -> None:
        """Args: vault: what is told of encrypted jobs is opened with it."""
        self._vault = vault
        self.events: list[Event] = []
        self.open: dict[str, str] = {}
        self._start_us = start_us
        self._of_job: dict[str, list[Event]] = {}
        self._running: set[str] = set()
        self._run_at: dict[str, int] = {}
        self._line: list[tuple[int, str]] = []
        self._waiters: dict[trio.Event, Callable[[], bool]] = {}

    def take(self, body: str) -> None:
        """Take the events of one commit."""
        for event in events.decode(body):
            if isinstance(event, events.ThingEvent):
                continue
            told = of_event(self._vault.open_event(event), self._start_us)
            self.events.append(told)
            self._of_job.setdefault(event.job, []).append(told)
            if event.what not in events.NOTES:
                self._move(event)
        self.look()

    def _move(self, event: events.Event) -> None:
        self._running.discard(event.job)
        self._run_at.pop(event.job, None)
        self.open[event.job] = event.state
        if event.state == State.RUNNING:
            self._running.add(event.job)
        elif event.state in WAITS:
            self._run_at[event.job] = event.run_at
            heappush(self._line, (event.run_at, event.job))
        elif event.state in FINAL:
            del self.open[event.job]

    def of_job(self, job_id: str) -> list[Event]:
        return self._of_job.get(job_id, [])

    def next_of(self, job_id: str, version: int) -> Event | None:
        """Return the event of the move that followed the one to ``version``; None if there was none yet."""
        moves = (event for event in self.of_job(job_id) if event.what not in events.NOTES)
        return next((event for event in moves if event.version == version + 1), None)

    def has_ended(self, job_id: str) -> bool:
        return job_id in self._of_job and job_id not in self.open

    @property
    def running(self) -> bool:
        return bool(self._running)

    def is_idle(self, now_us: int) -> bool:
        """Whether nothing runs, and nothing that waits is due."""
        while self._line and self._run_at.get(self._line[0][1]) != self._line[0][0]:
            heappop(self._line)
        return not self._running and not (self._line and self._line[0][0] <= now_us)

    # -- for those who wait -------------------------------------------------------------------------------------------

    async def wait(self, holds: Callable[[], bool]) -> None:
        """Return once ``holds()`` is true. It is asked after each commit, and by ``look``."""
        while not holds():
            woken = trio.Event()
            self._waiters[woken] = holds
            try:
                await woken.wait()
            finally:
                del self._waiters[woken]

    def look(self) -> None:
        """Wake those whose condition holds now."""
        for woken, holds in self._waiters.items():
            if holds():
                woken.set()
