"""Nodes as a store tells of them, and the jobs that they run. Pure; ``store/contract`` gives out the names."""

from __future__ import annotations

from typing import NamedTuple, Self

import msgspec

from tickr.jobs import Job

REMOTE = "remote"
"""The role in the row of a lease, which is a remote worker's (``tickr/remote``)."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One running process as the others see it.

    Attributes:
      id: UUID text, never reused.
      types: the job types it has handlers for; empty for a node that runs no jobs.
      slots: how many jobs it runs at once; 0 for a node without workers.
      queues: those it runs jobs of; empty: of all.
      declared: marks of the schedules that its code declares, one for each.
      keys: ids of the encryption keys it has, that it encrypts with first; it can run jobs that need one of them.
      process: what tells on the same machine whether it still lives (boot, pid namespace, pid, start); "" if unknown.
      lease_until: until when its last heartbeat was good for, by the store's clock. That it changes tells the others
        that it was renewed; nobody may compare it with a clock. None before it is registered.
      lease_s: how long the others shall wait for a renewal before they take the row away, in seconds.
      quiet, stopping: whether it was told to take nothing new, or to end (``store/orders.py``).
      changed, obeyed: how often it was told something, and up to where it has done so.
    """

    id: str
    host: str
    pid: int
    version: str
    roles: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    slots: int = 0
    queues: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()
    process: str = ""
    started_at: int | None = None
    lease_until: int | None = None
    lease_s: float = 0.0
    keys: tuple[str, ...] = ()
    quiet: bool = False
    stopping: bool = False
    changed: int = 0
    obeyed: int = 0

    @property
    def state(self) -> str:
        """``running``, ``quiet`` or ``stopping``; a node of the last two takes no more jobs."""
        return "stopping" if self.stopping else "quiet" if self.quiet else "running"

    @property
    def takes_jobs(self) -> bool:
        return not (self.quiet or self.stopping)

    def silent_s(self, now: int) -> float:
        """Return how many seconds ago it renewed its lease; ``now`` in microseconds UTC, by the store's clock.

        To be shown: what is decided by it is decided by ``lease_until`` standing still.
        """
        return 0.0 if self.lease_until is None else max(0.0, (now - self.lease_until) / 1e6 + self.lease_s)


class AtWork(NamedTuple):
    """A running job as those see it who look at its node. ``started_at`` in microseconds UTC, of this attempt."""

    id: str
    type: str
    queue: str
    attempt: int
    started_at: int | None
    node: str | None
    cancel_requested: bool


class Running(NamedTuple):
    """A running job as its node's heartbeat finds it.

    Attributes:
      started_at: of this attempt, microseconds UTC by the store's clock.
      timeout_us: how long the attempt may take, microseconds.
      crashes: how often a node that ran it was lost.
    """

    id: str
    fence: int
    cancel_requested: bool
    started_at: int = 0
    timeout_us: int = 0
    crashes: int = 0

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return it of a job that runs."""
        return cls(job.id, job.fence, job.cancel_requested, job.started_at or 0, job.timeout_us, job.crashes)
