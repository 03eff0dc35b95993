"""Outcomes: what workers have to say about their attempts, stored in batches.

Finished attempts come in one by one, without anybody waiting; one transaction at a time writes them (states, attempts,
events), then what waits again goes to the index. A failing write is repeated for as long as it takes: the fence decides
whether it still counts, so a result is never dropped in silence. What running attempts say (``notes.py``) travels in
the same line, each note in front of its attempt's outcome, and is written first.

State: ``_unsettled`` holds every attempt from ``put`` until its transaction has answered; ``Pool`` and the heartbeat
read it.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
import trio

from tickr.announce import Announcer
from tickr.batching import Batcher
from tickr.errors import StoreUnavailable
from tickr.failpoints import reach
from tickr.jobs import WAITING, Failure, Job, Note, Outcome
from tickr.store.contract import MAX_BATCH, Store
from tickr.worker.notes import MAX_IN_LINE, Notepad, Notes

MAX_BATCH_BYTES = 4 * 1024 * 1024
MAX_PENDING = 2_000
"""Outcomes and notes waiting to be stored beyond which no new job is claimed; bounds memory while the store is away."""
RETRY_S = 0.5
"""Pause between tries while the store is away, in seconds."""

log = structlog.get_logger("tickr.worker")


class Outcomes:
    """Stores the outcomes of one process. ``run`` must be running.

    Args:
      in_flight: how many attempts may run at once; each may still ``put`` after claims have stopped.
    """

    def __init__(self, store: Store, announcer: Announcer, *, in_flight: int) -> None:
        self._store = store
        self._announcer = announcer
        self._unsettled: dict[str, int] = {}
        self._settled = trio.Event()
        self._line: Batcher[Outcome | Note, None] = Batcher(
            self._flush,
            max_items=MAX_BATCH,
            max_bytes=MAX_BATCH_BYTES,
            max_waiting=MAX_PENDING + (2 + MAX_IN_LINE) * in_flight,
        )
        self._notes = Notes(store.now_us, self._put_notes)

    def put(self, outcome: Outcome) -> None:
        """Take an outcome; it will be stored. Never waits.

        Once ``run`` was cut off nothing can be stored any more; the job is handed on when this node's lease ends.
        """
        if self._line.closed:
            return
        self._unsettled[outcome.job.id] = outcome.job.fence
        self._line.put_nowait(outcome, outcome.size_bytes())

    def open_notepad(self, job: Job) -> Notepad:
        """Return where the attempt that ``job`` is the claim of says what. Any thread may ask."""
        return self._notes.open(job)

    def _put_notes(self, notes: Sequence[Note]) -> trio.Event:
        return [self._line.put_nowait(note, note.size_bytes()) for note in notes][-1].done

    def holds(self, job_id: str, fence: int) -> bool:
        """Whether this attempt has ended and its outcome is on the way to the store."""
        return self._unsettled.get(job_id) == fence

    async def wait_room(self) -> None:
        """Return when little enough waits that new jobs may be claimed."""
        while max(len(self._unsettled), len(self._line)) >= MAX_PENDING:
            self._settled = trio.Event()
            await self._settled.wait()

    async def run(self) -> None:
        """Store outcomes until ``close`` and all are stored.

        Raises: what nobody foresaw while storing. The node must end then: it would have jobs that never end.
        Cancellation: outcomes not stored are lost to this process; their jobs are handed on when its lease ends.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._notes.run)
            await self._line.run()
            nursery.cancel_scope.cancel()

    def close(self) -> None:
        """Take nothing more; ``run`` returns when everything is stored."""
        self._line.close()

    async def _flush(self, batch: Sequence[Outcome | Note]) -> list[None]:
        outcomes = [one for one in batch if isinstance(one, Outcome)]
        if len(outcomes) < len(batch):
            await self._note([one for one in batch if isinstance(one, Note)])
            self._settled.set()
        if outcomes:
            await self._end(outcomes)
        return [None] * len(batch)

    async def _note(self, notes: Sequence[Note]) -> None:
        await reach("notes.before_store")
        while True:
            try:
                await self._store.note(notes)
            except StoreUnavailable as error:
                await self._outlast(error, notes=len(notes))
            except Exception as error:  # what they say is worth a line, and never the outcomes behind them
                log.error("job.notes_refused", notes=len(notes), error=str(error), exc_info=error)
                return
            else:
                return

    async def _end(self, outcomes: Sequence[Outcome]) -> None:
        await reach("outcomes.before_store")
        after = await self._finish(outcomes)
        await reach("outcomes.after_commit")
        for outcome, job in zip(outcomes, after, strict=True):
            if self._unsettled.get(outcome.job.id) == outcome.job.fence:
                del self._unsettled[outcome.job.id]
            if job is None:
                log.warning("job.outcome_void", job=outcome.job.id, outcome=outcome.kind, fence=outcome.job.fence)
        self._settled.set()
        waiting = [job.entry() for job in after if job is not None and job.state in WAITING]
        await self._announcer.announce(waiting, at=self._store.now_us())
        await reach("outcomes.after_announce")

    async def _finish(self, outcomes: Sequence[Outcome]) -> list[Job | None]:
        while True:
            try:
                return await self._store.finish(outcomes)
            except StoreUnavailable as error:
                await self._outlast(error, outcomes=len(outcomes))
            except Exception as error:  # whatever one outcome does to its batch, it must not take the others along
                return await self._finish_apart(outcomes, error)

    async def _outlast(self, error: StoreUnavailable, **waiting: int) -> None:
        log.warning("outcomes.waiting_for_store", **waiting, error=str(error))
        await trio.sleep(RETRY_S)

    async def _finish_apart(self, outcomes: Sequence[Outcome], error: Exception) -> list[Job | None]:
        """The store refuses the batch as it is: find the outcome at fault, so that it harms no other job."""
        if len(outcomes) > 1:
            middle = len(outcomes) // 2
            return [*await self._finish(outcomes[:middle]), *await self._finish(outcomes[middle:])]
        (outcome,) = outcomes
        log.error("job.outcome_refused", job=outcome.job.id, outcome=outcome.kind, error=str(error), exc_info=error)
        if outcome.failure is not None and outcome.failure.kind == "bad_result":
            return [None]
        why = Failure("bad_result", f"The store refused the outcome: {error}"[:500])
        return await self._finish([Outcome(job=outcome.job, kind="failed", failure=why)])
