"""What every store promises; ``tests/store`` holds each adapter (memory, SQLite, MySQL/MariaDB) to it.

A store method is one transaction: it happens whole or not at all, its ``events`` row included. Instants are
microseconds since 1970 UTC *by the store's own clock*, which alone decides what is due. Who is alive no clock decides
but the row: a node is alive while its row is there, however the store's clock steps (``nodes``, ``expire``).

Errors common to all methods: ``StoreUnavailable`` when the store cannot be reached or does not answer in time; nothing
was changed unless its ``outcome_unknown`` is set, which the adapters resolve by reading back before they give up.

Which moves a method makes is computed by ``store/changes.py`` for every adapter, and the rows that a commit adds
besides the jobs by its ``written``; ``store/rows.py`` is how the SQL stores write a job, ``store/migrate.py`` which
schema they need.

Cancellation: all or nothing, like every other failure. A method cut before COMMIT changed nothing; cut after it, the
change stands and nobody was told. What that can leave behind is described where it matters (``claim``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol

import msgspec

from tickr.jobs import Attempt, Entry, Job, NewJob, Note, Outcome, State
from tickr.store.answers import Check as Check
from tickr.store.answers import FeedState as FeedState
from tickr.store.answers import Filter as Filter
from tickr.store.answers import Page as Page
from tickr.store.answers import Place as Place
from tickr.store.answers import Pruned as Pruned
from tickr.store.answers import QueueDepth as QueueDepth
from tickr.store.answers import ScanPosition as ScanPosition

Clock = Callable[[], int]
"""Returns the current instant in microseconds since 1970 UTC. Given to a store only by tests."""


def wall_clock() -> int:
    """The clock of the stores that run in this process."""
    return time.time_ns() // 1000


def us_of(seconds: float) -> int:
    """Return seconds as the microseconds in which stores reckon."""
    return int(seconds * 1_000_000)


MAX_BATCH = 1_000
"""No method takes more items than this at once, in items; callers split."""

LOOK_AT = 5_000
"""How many jobs ``Store.list_jobs`` looks at for one page, in jobs: some 20 ms."""

COUNT_TO = 100_000
"""How far ``Store.queues`` counts, in jobs of one queue and state."""

STATE_CODES: dict[State, int] = {
    State.READY: 1,
    State.RETRYING: 2,
    State.BLOCKED: 3,
    State.RUNNING: 4,
    State.SUCCEEDED: 5,
    State.FAILED: 6,
    State.CANCELLED: 7,
}
"""How the SQL stores write a state. ``scheduled`` has no code: it is READY before its ``run_at``."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One running process as the others see it.

    Attributes:
      id: UUID text, never reused.
      types: the job types it has handlers for; empty for a node that runs no jobs.
      slots: how many jobs it runs at once; 0 for a node without workers.
      process: what tells on the same machine whether it still lives (boot, pid namespace, pid, start); "" if unknown.
      lease_until: until when its last heartbeat was good for, by the store's clock. That it changes tells the others
        that it was renewed; nobody may compare it with a clock. None before it is registered.
      lease_s: how long the others shall wait for a renewal before they take the row away, in seconds.
    """

    id: str
    host: str
    pid: int
    version: str
    roles: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    slots: int = 0
    process: str = ""
    started_at: int | None = None
    lease_until: int | None = None
    lease_s: float = 0.0


class Running(NamedTuple):
    """A running job as its node's heartbeat finds it."""

    id: str
    fence: int
    cancel_requested: bool


class Start(NamedTuple):
    """New jobs that a node starts in the transaction that stores them; see ``Store.insert``."""

    node: str
    ids: frozenset[str]


class Store(Protocol):
    """The truth. An open store; adapters are opened by their own async context managers (``open_store``)."""

    name: str
    """``memory``, ``sqlite`` or ``mysql``."""

    writers: int
    """How many inserts are worth having in flight at once."""

    def now_us(self) -> int:
        """Return the store's clock as last seen, carried forward by this process's monotonic clock. No I/O.

        Good to plan a wake-up by; what is really due is decided by the store itself.
        """
        ...

    async def ping(self) -> None:
        """Return once the store has answered a trivial question within its deadline. Raises: StoreUnavailable."""
        ...

    # -- from outside ---------------------------------------------------------------------------------------------

    async def insert(
        self, new: Sequence[NewJob], *, whole: bool = False, start: Start | None = None
    ) -> list[tuple[Job, bool]]:
        """Store new jobs and the event of each. The job is durable when this returns.

        Args:
          new: 1..MAX_BATCH jobs; queues not seen before are registered in the same transaction.
          whole: all or none: nothing is stored if one of the ids belongs to a job with another content.
          start: which of them begin to run at once, as if claimed; those that are not due do not, and none does if the
            node has no row. Whoever asks for it runs those that come back RUNNING with ``created``.
        Returns: for each, in order, ``(job, created)``. An id that is stored already, or comes twice in ``new``, is the
          same job: it is left as it is and returned with ``created=False``, whatever else the new one says.
        Raises: DuplicateJob: only with ``whole``.
        Cancellation: see the module; the caller may ask again with the same ids and gets the same jobs. What was to
          start is as after a claim that was cut.
        """
        ...

    async def cancel(self, job_id: str, *, version: int | None = None) -> Job:
        """Cancel a job that waits, or note on one that runs that its worker shall stop it.

        Args:
          version: if given, the job must be at it; this is looked at before anything else.
        Returns: the job after the change: CANCELLED, or still RUNNING with ``cancel_requested``. A job that is
          CANCELLED already is returned as it is.
        Raises: JobNotFound, IllegalTransition (succeeded or failed), VersionMismatch.
        """
        ...

    async def redrive(self, job_id: str, *, version: int | None = None) -> Job:
        """Make a final job ready again, at once, with a fresh budget of attempts.

        Raises: JobNotFound, IllegalTransition (not final), VersionMismatch.
        """
        ...

    async def get(self, job_id: str) -> Job | None: ...

    async def attempts(self, job_id: str) -> list[Attempt]:
        """Return every attempt by ``fence``, oldest first, the one on the job itself last.

        Raises: JobNotFound.
        """
        ...

    async def list_jobs(
        self, which: Filter, *, limit: int, before: Place | None = None, look_at: int = LOOK_AT
    ) -> Page:
        """Return up to ``limit`` jobs that pass ``which``, newest first by ``(created_at, id)``.

        Args:
          before: ``Page.after`` of the page before; only older jobs follow.
          look_at: a page ends when about so many jobs have been looked at, >= 1, found or not, so that what it costs
            does not depend on how many are stored.
        """
        ...

    async def queues(self, *, count_to: int = COUNT_TO) -> list[QueueDepth]:
        """Return every queue ever used, by name.

        Args:
          count_to: no state of a queue is counted further, >= 1. With very many queues the store ends sooner, and says
            so (``QueueDepth.counted_to``), so that the answer costs the same however much waits.
        """
        ...

    # -- for the index --------------------------------------------------------------------------------------------

    async def queue_names(self) -> list[str]:
        """Return the names of all queues ever used, sorted."""
        ...

    async def due(self, limit: int) -> list[Entry]:
        """Return the waiting jobs that are due, those that should run first in front: per queue by (priority, run_at).

        At most ``limit`` of each queue. A read without locks.
        """
        ...

    async def waiting_after(self, position: ScanPosition | None, limit: int) -> tuple[list[Entry], ScanPosition | None]:
        """Return one page of everything that waits, due or not, and the place after it; None at the end.

        Start with None. Jobs that change while the scan runs may be seen or not.
        """
        ...

    async def still_waiting(self, ids: Collection[str]) -> list[Job]:
        """Return those of ``ids`` that wait (READY or RETRYING, due or not)."""
        ...

    async def epoch(self, proposal: str) -> str:
        """Return the identity of the index that belongs to this store, keeping ``proposal`` if there is none yet."""
        ...

    # -- for workers ----------------------------------------------------------------------------------------------

    async def claim(
        self, ids: Sequence[str], *, node: str, types: Collection[str], suspects: int | None = None
    ) -> list[Job]:
        """Move those of ``ids`` that are due and of one of ``types`` to RUNNING for ``node`` and return them.

        Args:
          ids: 0..MAX_BATCH; duplicates, unknown ids and ids no longer claimable are skipped.
          node: a registered one; for a node without a row nothing is claimed, as it would be reaped at once.
          suspects: how many of them may be jobs that one more lost node would end (``Job.suspect``); None: any number.
        Returns: 0..len(ids) jobs by ``(priority, run_at, id)``; ``attempt``, ``fence`` and ``version`` already raised.
        Cancellation: cut after COMMIT, the claims stand and nobody runs them. The node's heartbeat finds them
          (``heartbeat`` returns what the store thinks it runs) and hands them back.
        """
        ...

    async def claim_due(
        self, limit: int, *, node: str, types: Collection[str], suspects: int | None = None
    ) -> list[Job]:
        """Claim up to ``limit`` due jobs straight from the store, without an index. Otherwise like ``claim``.

        Several nodes may ask at once: each gets different jobs and none waits for another's locks.
        """
        ...

    async def finish(self, outcomes: Sequence[Outcome]) -> list[Job | None]:
        """Store how attempts ended: job, attempt row and event of each, in one transaction.

        Args:
          outcomes: 1..MAX_BATCH, each of a different job.
        Returns: for each, in order, the job after the change, or None when its fence no longer held and nothing was
          changed for it. Its ``progress`` may be missing.
        """
        ...

    async def note(self, notes: Sequence[Note]) -> int:
        """Store what running attempts say: a row of events, and the latest progress of each on its job.

        Args:
          notes: 1..MAX_BATCH, in the order in which they were said; several may be of one attempt.
        Returns: how many were kept. The others are of attempts that do not run any more (the fence tells): nothing is
          changed for them.
        """
        ...

    # -- nodes ----------------------------------------------------------------------------------------------------

    async def register(self, node: Node, *, lease_s: float) -> None:
        """Make ``node`` known, and alive from then on: a row with ``lease_s``, and ``lease_until`` = now + that."""
        ...

    async def heartbeat(self, node_id: str, *, lease_s: float) -> list[Running] | None:
        """Extend the lease of ``node_id`` to now + ``lease_s``, whatever its ``lease_until`` says.

        Returns: the jobs that the store has as running on it; None when its row is gone, and then nothing was extended:
          the node has lost its jobs.
        """
        ...

    async def deregister(self, node_id: str) -> None:
        """Forget a node that has stopped. Jobs it still held are lost at once and will be reaped."""
        ...

    async def expire(self, node_id: str, *, lease_until: int) -> bool:
        """Forget a node if it has not been renewed since its ``lease_until`` was seen: compare and delete.

        Returns: whether this call took the row away. False: it was renewed meanwhile, or is gone already (also by this
          very call, where the answer of its first COMMIT was lost).
        """
        ...

    async def nodes(self) -> list[Node]:
        """Return all rows, by ``started_at``. A node is alive while its row is there.

        Whoever reaps takes rows away (``expire``) whose ``lease_until`` has not changed for a ``lease_s`` by his own
        monotonic clock.
        """
        ...

    async def reap(self, limit: int) -> list[Job]:
        """Take back up to ``limit`` running jobs whose node has no row. No clock has a say in it.

        Returns: the jobs after the change: READY, FAILED (``MAX_CRASHES`` reached) or CANCELLED (if it was requested).
          Several nodes may reap at once: each job is taken back once.
        """
        ...

    # -- for the feed ---------------------------------------------------------------------------------------------

    def on_events(self, call: Callable[[], None]) -> None:
        """Have ``call`` called after each COMMIT of this store's that wrote events, or may have if that is unknown.

        In trio's thread; it must be quick and not raise. It is called although the caller of the method was cancelled
        meanwhile. Only the last ``call`` given counts.
        """
        ...

    async def event_rows(self, after: int, limit: int, max_bytes: int) -> list[tuple[int, str]]:
        """Return rows of events as ``(seq, body)``, those after ``seq`` number ``after``, in order.

        One row is one commit; ``events.decode`` takes its body apart. ``seq`` is 1, 2, 3 … without a gap and, for
        every job, in the order of its versions. A row once seen never changes its number, and no row appears later
        with a number below one already seen. A store that cannot number at insert does it here (design section 8),
        so every row that was committed before the call is seen.

        Args:
          limit: at most so many rows, 1..MAX_BATCH.
          max_bytes: the page ends earlier, with the row that makes it so long, >= 1; counted as ``len(body)``, so that
            whoever gets a page can tell one that ended early.
        Returns: the first row is ``after + 1``, unless that is no longer kept.
        """
        ...

    async def number_events(self) -> int:
        """Give every row that is committed its number, and return the last one (``FeedState.head``)."""
        ...

    async def feed_state(self) -> FeedState:
        """Return where the log stands. A cheap read: rows that have no number yet do not count."""
        ...

    async def prune_events(self, before: int, limit: int) -> int:
        """Delete the oldest rows, as long as they were written before the instant ``before`` (microseconds UTC).

        At most ``limit`` rows, fewer if they hold very many events (``event_log.MAX_PRUNED``), and always from the
        front, so that what is left has no gap. Rows without a number stay.
        Returns: how many rows were deleted; 0 when there is nothing (more) to delete, or others are at it.
        """
        ...

    async def new_history(self, old: str) -> str:
        """Begin another history if ``old`` is still the current one: every cursor handed out so far is void.

        Returns: the history from now on.
        """
        ...

    # -- for the operator -----------------------------------------------------------------------------------------

    async def prune_jobs(self, state: State, before: int, limit: int, position: ScanPosition | None = None) -> Pruned:
        """Delete jobs that ended as ``state`` before the instant ``before`` (microseconds UTC), with their attempts.

        Looks at up to ``limit`` (1..MAX_BATCH) jobs from ``position`` on, and deletes those of them that are old
        enough; start with None. A job that somebody else is at (a redrive, another pruner) is passed over: nobody
        waits for this, and this waits for nobody. Deleting is no change of state: it makes no event.
        Cancellation: none of them is deleted, or all.
        """
        ...

    async def diagnose(self) -> list[Check]:
        """Look at what the store runs on: reachability, version, schema, durability settings, clock."""
        ...
