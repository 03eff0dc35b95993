"""Outcomes: what workers have to say about their attempts, stored in batches.

Finished attempts come in one by one, without anybody waiting; one transaction at a time writes them (states, attempts,
events), then what waits again goes to the index. A failing write is repeated for as long as it takes: the fence decides
whether it still counts, so a result is never dropped in silence. What running attempts say (``notes.py``) and keep
(``bookmark.py``) travels in the same line, in front of its attempt's outcome, and is written first.

State: ``_unsettled`` holds every attempt from ``put`` until its transaction has answered; ``Pool`` and the heartbeat
read it. ``_writing_ends`` has the attempts whose handlers were given the statement that writes their ends, until
``put``; they add to it in any thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec
import structlog
import trio

from tickr.announce import Announcer
from tickr.batching import Batcher
from tickr.errors import StoreUnavailable
from tickr.failpoints import reach
from tickr.job_log import KEPT_LINES
from tickr.jobs import WAITING, Failure, Job, State
from tickr.reports import Checkpoint, Lines, Note, Outcome, Statement
from tickr.sealing import NO_VAULT, Vault
from tickr.store import ended
from tickr.store.contract import MAX_BATCH, Store
from tickr.worker import bookmark
from tickr.worker.bookmark import Bookmark
from tickr.worker.emitter import Emitter
from tickr.worker.family import Family
from tickr.worker.notes import MAX_IN_LINE, Notepad, Notes

MAX_BATCH_BYTES = 4 * 1024 * 1024
MAX_PENDING = 2_000
"""Outcomes and notes waiting to be stored beyond which no new job is claimed; bounds memory while the store is away."""
RETRY_S = 0.5
"""Pause between tries while the store is away, in seconds."""

Said = TypeVar("Said", Note, Checkpoint, Lines)
_Report = Outcome | Note | Checkpoint | Lines
Ended = Callable[[Sequence[Job]], Awaitable[None]]

log = structlog.get_logger("tickr.worker")


class Outcomes:
    """Stores the outcomes of one process. ``run`` must be running.

    Args:
      in_flight: how many attempts may run at once; each may still ``put`` after claims have stopped.
      family: where the children of attempts go.
      ended: told of attempts that are over, as they were claimed, when the store knows it.
      vault: seals what attempts of encrypted jobs say, before it waits for the store.
      kept_lines: how many lines that a job logs are kept with it; 0: none.
    """

    def __init__(
        self,
        store: Store,
        announcer: Announcer,
        family: Family,
        *,
        in_flight: int,
        ended: Ended | None = None,
        vault: Vault = NO_VAULT,
        kept_lines: int = KEPT_LINES,
    ) -> None:
        self.family = family
        self._kept_lines = kept_lines
        self._vault = vault
        self._ended = ended
        self._store = store
        self._announcer = announcer
        self._unsettled: dict[str, int] = {}
        self._writing_ends: set[tuple[str, int]] = set()
        self._settled = trio.Event()
        self._line: Batcher[_Report, None] = Batcher(
            self._flush,
            max_items=MAX_BATCH,
            max_bytes=MAX_BATCH_BYTES,
            max_waiting=_bound(in_flight),
        )
        self._notes = Notes(store.now_us, self._put_said, kept_lines=kept_lines)
        self._token = trio.lowlevel.current_trio_token()

    @property
    def line(self) -> Batcher[_Report, None]:
        """What waits to be stored, for who counts it."""
        return self._line

    def allow(self, in_flight: int) -> None:
        """Have room for so many attempts at once, if that is more than until now."""
        self._line.max_waiting = max(self._line.max_waiting, _bound(in_flight))

    def put(self, outcome: Outcome) -> None:
        """Take an outcome; it will be stored. Never waits.

        Once ``run`` was cut off nothing can be stored any more; the job is handed on when this node's lease ends.
        """
        if self._line.closed:
            return
        self._unsettled[outcome.job.id] = outcome.job.fence
        if self._writing_ends and (key := (outcome.job.id, outcome.job.fence)) in self._writing_ends:
            self._writing_ends.remove(key)
            outcome = msgspec.structs.replace(outcome, may_have_ended=True)
        outcome = self._vault.seal_outcome(outcome)
        self._line.put_nowait(outcome, outcome.size_bytes())

    def open_notepad(self, job: Job) -> Notepad:
        """Return where the attempt that ``job`` is the claim of says what. Any thread may ask."""
        return self._notes.open(job)

    def open_bookmark(self, job: Job) -> Bookmark:
        """Return where the attempt that ``job`` is the claim of keeps what. Any thread may ask."""
        return Bookmark(job, self, self._token)

    def end_statement(self, job: Job, result: str | None, schema: str | None) -> Statement:
        """Return what writes the end of the attempt that ``job`` is the claim of. Any thread may ask.

        Raises: RuntimeError: a memory store has no database to write to.
        """
        made = ended.statement(self._store.name, job, result, schema)
        self._writing_ends.add((job.id, job.fence))
        return made

    def open_emitter(self, pad: Notepad) -> Emitter:
        """Return what the attempt of ``pad`` emits events with. Any thread may ask."""
        return Emitter(pad, self._token)

    def keep(self, checkpoint: Checkpoint) -> trio.Event:
        """Take a checkpoint, never waiting, and return what is set when it is stored."""
        checkpoint = self._vault.seal_checkpoint(checkpoint)
        return self._line.put_nowait(checkpoint, checkpoint.size_bytes()).done

    async def recall(self, job: Job) -> str | None:
        """Return the checkpoint of ``job``, which runs here, waiting for as long as the store is away.

        Raises: CannotOpen.
        """
        while True:
            try:
                return self._vault.open_checkpoint(await self._store.checkpoint(job), job)
            except StoreUnavailable as error:
                await self._outlast(error, checkpoints=1)

    def _put_said(self, said: Sequence[Note | Lines]) -> trio.Event:
        vault = self._vault
        sealed = [vault.seal_note(one) if isinstance(one, Note) else vault.seal_lines(one) for one in said]
        return [self._line.put_nowait(one, one.size_bytes()) for one in sealed][-1].done

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

    async def _flush(self, batch: Sequence[_Report]) -> list[None]:
        outcomes = [one for one in batch if isinstance(one, Outcome)]
        if len(outcomes) < len(batch):
            if kept := [one for one in batch if isinstance(one, Checkpoint)]:
                await self._tell(self._store.keep_checkpoints, kept, "checkpoints")
            if notes := [one for one in batch if isinstance(one, Note)]:
                await self._tell(self._store.note, notes, "notes")
            if lines := [one for one in batch if isinstance(one, Lines)]:
                await self._tell(partial(self._store.keep_log, bound=self._kept_lines), lines, "log_parts")
            self._settled.set()
        if outcomes:
            await self._end(outcomes)
        return [None] * len(batch)

    async def _tell(self, store: Callable[[Sequence[Said]], Awaitable[int]], some: Sequence[Said], what: str) -> None:
        """Have notes, lines or checkpoints stored; ``what``: which, for the log."""
        await reach("notes.before_store")
        while True:
            try:
                await store(some)
            except StoreUnavailable as error:
                await self._outlast(error, **{what: len(some)})
            except Exception as error:  # what they say is worth a line, and never the outcomes behind them
                log.error("job.notes_refused", error=str(error), exc_info=error, **{what: len(some)})
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
            elif job.state is State.SUCCEEDED and outcome.kind != "succeeded":
                log.warning("job.end_found", job=job.id, type=job.type, outcome=outcome.kind)
        self._settled.set()
        if holds := [outcome.hold_us for outcome in outcomes if outcome.hold_us]:
            await self._announcer.announce_hold(self._store.now_us() + max(holds))
        waiting = [job.entry() for job in after if job is not None and job.state in WAITING]
        await self._announcer.announce(waiting, at=self._store.now_us())
        if self._ended:
            await self._ended([outcome.job for outcome in outcomes])
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
        refused = msgspec.structs.replace(outcome, kind="failed", result=None, failure=why)
        return await self._finish([self._vault.seal_outcome(refused)])


def _bound(in_flight: int) -> int:
    """Return how long the line may get."""
    return MAX_PENDING + (2 + MAX_IN_LINE + bookmark.MAX_IN_LINE) * in_flight
