"""What is asked of a store by those who run jobs: claims, outcomes, and the nodes and their leases.

Part of ``Store``; see ``store/contract`` for what holds for every method.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from tickr.jobs import Job
from tickr.reports import Note, Outcome
from tickr.store.node_answers import Node, Running


class Work(Protocol):
    """Claims and outcomes, and the nodes that make them."""

    async def claim(
        self,
        ids: Sequence[str],
        *,
        node: str,
        types: Collection[str],
        suspects: int | None = None,
        keys: Collection[str] = (),
    ) -> list[Job]:
        """Move those of ``ids`` that are due and of one of ``types`` to RUNNING for ``node`` and return them.

        Those whose ``expires_at`` has come are cancelled instead, in the same transaction, and not returned.

        Args:
          ids: 0..MAX_BATCH; duplicates, unknown ids and ids no longer claimable are skipped.
          node: a registered one; for a node without a row nothing is claimed, as it would be reaped at once.
          suspects: how many of them may be jobs that one more lost node would end (``Job.suspect``); None: any number.
          keys: ids of the encryption keys that the node has; jobs that are encrypted with another are not claimed.
        What is set on their queues (``Queues.control``) is obeyed to the letter, whoever else claims at the same time.
        Returns: 0..len(ids) jobs by ``(priority, run_at, id)``; ``attempt``, ``fence`` and ``version`` already raised.
        Cancellation: cut after COMMIT, the claims stand and nobody runs them. The node's heartbeat finds them
          (``heartbeat`` returns what the store thinks it runs) and hands them back.
        """
        ...

    async def claim_due(
        self,
        limit: int,
        *,
        node: str,
        types: Collection[str],
        suspects: int | None = None,
        queues: Mapping[str, int] | None = None,
        keys: Collection[str] = (),
    ) -> list[Job]:
        """Claim up to ``limit`` due jobs straight from the store, without an index. Otherwise like ``claim``.

        Those that are cancelled because they have expired count for ``limit``.

        Args:
          queues: from which queues, and how many of each at most; None: from all.
        Of a queue that goes newest first (``Queues.control``) its newest jobs are taken.
        Several nodes may ask at once: each gets different jobs and none waits for another's locks.
        """
        ...

    async def finish(self, outcomes: Sequence[Outcome]) -> list[Job | None]:
        """Store how attempts ended: job, attempt row and event of each, in one transaction.

        Args:
          outcomes: 1..MAX_BATCH, each of a different job.
        Returns: for each, in order, the job after the change, or None when its fence no longer held and nothing was
          changed for it. Its ``progress`` may be missing, after a success the ``cancel_reason`` as well. What would
          have run again is CANCELLED instead if that was requested, or if it has expired. An attempt whose handler has
          written its end (``Outcome.may_have_ended``) has SUCCEEDED, whatever its outcome says.
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

        Returns: the jobs after the change: READY, FAILED (lost more often than its ``max_crashes``), CANCELLED (if
          that was requested, or it has expired) or SUCCEEDED (if its handler has written its end). Several nodes may
          reap at once: each job is taken back once. With them come up to ``limit`` that waited for a node alone which
          has no row (``names.queue_of_node``): CANCELLED.
        """
        ...
