"""The inbox: jobs that other programs have inserted into a table, within transactions of their own.

In come rows of ``store.inbox_rows``, which are there because their transaction was committed. Each is read as strictly
as ``POST /jobs`` reads its body; the good ones go through the intake in one transaction, in their order, under the id
of their row if they name none. Then the rows are deleted. A node that dies in between leaves rows whose jobs are there:
whoever reads them submits the same ids with the same content, which are the same jobs. So any number of nodes do this
at once, without a lock. A row that is refused stays in the table, with the reason, and holds up nobody.

Looks once a second, and at once when it is asked to (``POST /inbox``). One turn is under way at a time; who asks
meanwhile shares the next, which begins after they asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import structlog
import trio
from quart import Response, request

from tickr.api import incoming, strict, submission, wire
from tickr.api.context import Context
from tickr.api.jobs import ANSWERED_WITHIN_S
from tickr.api.parts import Pace
from tickr.api.problems import Fault, Problem, invalid, problem_of
from tickr.api.results import too_large
from tickr.batching import Batcher, TooLate
from tickr.errors import DuplicateJob, Overloaded, SchemaMismatch, StoreError, StoreUnavailable
from tickr.failpoints import reach
from tickr.intake import MAX_BATCH_BYTES, Stored
from tickr.jobs import NewJob
from tickr.outage import Outage
from tickr.scopes import Scope
from tickr.store.changes import same_content
from tickr.store.contract import InboxRow

if TYPE_CHECKING:
    from tickr.api.app import Edge

NET_S = 1.0
"""Pause between two looks that nobody asked for, in seconds."""
BATCH = 500
"""Rows that are read at once, and become jobs in one transaction; together about ``MAX_BATCH_BYTES`` at most."""
TURN_S = 0.5
"""A turn that has gone on for so long, in seconds, ends with its batch; the next follows at once."""
MAX_ASKING = 1_000
"""How many may wait for the next turn; beyond it they are ``Overloaded``."""
MAX_REASON = 1_000
"""How much of the reason is kept with a row that is refused, in characters."""

log = structlog.get_logger("tickr.api")


class Turn(NamedTuple):
    """What became of rows: how many were taken and how many refused, here and now. ``more``: others may be left."""

    taken: int = 0
    refused: int = 0
    more: bool = False


class Inbox:
    """One node's part in it. ``run`` must be running for ``take`` to be answered.

    Attributes:
      on: whether this node takes anything. In the memory store nobody can put anything.
    """

    def __init__(self, context: Context) -> None:
        self.on = context.config.inbox and context.store.name != "memory"
        self._context = context
        self._line: Batcher[None, Turn] = Batcher(
            self._share, max_items=MAX_ASKING, max_bytes=MAX_BATCH_BYTES, max_waiting=MAX_ASKING
        )
        self._outage = Outage(log, "inbox")

    async def run(self) -> None:
        """Look, and be asked, until the node stops; a turn that has begun then is finished.

        Cancellation: a batch is stored or not; its rows are there until they are deleted.
        """
        if not self.on:
            return
        async with trio.open_nursery() as turns:
            turns.start_soon(self._line.run)
            async with trio.open_nursery() as looking:
                looking.start_soon(self._look)
                await self._context.stopping.wait()
                looking.cancel_scope.cancel()
            self._line.close()

    async def take(self, *, within_s: float | None = None) -> Turn:
        """Take the rows that are committed by now, or as many as a turn has time for.

        Raises: StoreUnavailable: some may have been taken. Overloaded: nobody has looked.
        """
        try:
            return await self._line.submit(None, within_s=within_s)
        except TooLate:
            raise StoreUnavailable(
                "The inbox was not gone through in time; it goes on.", outcome_unknown=True
            ) from None

    async def _look(self) -> None:
        while True:
            more = False
            with self._outage.outlived(StoreError, Overloaded):
                more = (await self.take()).more
            if not more:
                await trio.sleep(NET_S)

    async def _share(self, askers: Sequence[None]) -> list[Turn]:
        return [await self._turn()] * len(askers)

    async def _turn(self) -> Turn:
        store, most = self._context.store, self._context.config.max_body
        until = trio.current_time() + TURN_S
        done = Turn()
        while rows := await store.inbox_rows(BATCH, max_bytes=MAX_BATCH_BYTES, max_row_bytes=most):
            taken, refused = await self._take(rows)
            done = Turn(done.taken + taken, done.refused + refused)
            if trio.current_time() > until:
                return done._replace(more=True)
        return done

    async def _take(self, rows: Sequence[InboxRow]) -> tuple[int, int]:
        """Submit ``rows`` and settle them. Returns how many were taken, and how many refused."""
        read = await self._read(rows)
        good = [(row, one) for row, one in zip(rows, read, strict=True) if isinstance(one, NewJob)]
        refused = {row.seq: one for row, one in zip(rows, read, strict=True) if isinstance(one, Problem)}
        answers = await self._submit([new for _, new in good])
        for (row, new), answer in zip(good, answers, strict=True):
            if isinstance(answer, Exception) and not await self._is_there(new, answer):
                refused[row.seq] = problem_of(answer)
        await reach("inbox.after_submit")
        taken = [row.seq for row in rows if row.seq not in refused]
        reasons = {seq: _reason(problem) for seq, problem in refused.items()}
        deleted = await self._context.store.settle_inbox(taken, reasons)
        for seq, problem in refused.items():
            log.warning("inbox.refused", row=seq, code=problem.code, reason=reasons[seq])
        return deleted, len(refused)

    async def _read(self, rows: Sequence[InboxRow]) -> list[NewJob | Problem]:
        """Return the job of each row, or what is wrong with it."""
        now, pace = self._context.store.now_us(), Pace()
        read: list[NewJob | Problem] = []
        for place, row in enumerate(rows):
            await pace.keep(row.size)
            try:
                # Due one after the other, a microsecond apart: what is due at once starts in the order of the rows.
                read.append(self._job(row, now, now - len(rows) + place))
            except Exception as error:  # whatever it is, those behind it shall not wait for it
                read.append(problem_of(error))
        return read

    def _job(self, row: InboxRow, now: int, due_at: int) -> NewJob:
        """Return the job that a row describes. Raises: Problem."""
        if self._context.vault.signer.only:
            raise Problem(
                403, "unsigned", "What is inserted into the inbox is not signed: submit it to the API instead."
            )
        if row.job is None:
            raise too_large(self._context.config.max_body)
        strict.check(row.job)
        new = submission.read(row.job, now=now, defaults=self._context.defaults)
        if not new.chosen_id:
            if not incoming.is_job_id(row.id):
                raise invalid([Fault("/id", f"{submission.RULES['id']}, or the column id must be one")])
            new = msgspec.structs.replace(new, id=row.id.lower(), chosen_id=True)
        if new.run_at is None and not new.delay_us:
            new = msgspec.structs.replace(new, run_at=due_at)
        return new

    async def _submit(self, new: Sequence[NewJob]) -> list[Stored | Exception]:
        """Submit jobs in order. Those that a store does not take at all are told from the others one by one."""
        if not new:
            return []
        try:
            return await self._context.intake.submit_in_order(new)
        except (StoreUnavailable, SchemaMismatch):
            raise
        except StoreError as error:
            if len(new) == 1:
                return [error]
            return [answer for one in new for answer in await self._submit([one])]

    async def _is_there(self, new: NewJob, refusal: Exception) -> bool:
        """Whether ``new`` is refused for a job that is the same row's, read by a node with other defaults for its type.

        A node may have died before it deleted the row, and another version of the handlers may run by now.
        """
        job = await self._context.store.get(new.id) if isinstance(refusal, DuplicateJob) else None
        if job is None:
            return False
        sealed = self._context.vault.seal_new(new, sign=False)
        extras = msgspec.structs.replace(sealed.extras, unique=job.extras.unique, max_crashes=job.extras.max_crashes)
        wished = {name: getattr(job, name) for name in ("queue", "priority", "max_attempts", "timeout_us", "backoff")}
        return same_content(job, msgspec.structs.replace(sealed, **wished, extras=extras))


def _reason(problem: Problem) -> str:
    faults = [f"{fault.pointer or 'the job'} {fault.detail}" for fault in problem.faults]
    return f"{problem.code}: {'; '.join(faults) or problem.detail}"[:MAX_REASON]


def add_routes(app: Edge, inbox: Inbox) -> None:
    async def take() -> Response:
        incoming.known_query(request)
        await incoming.no_body(request)
        if not inbox.on:
            raise Problem(404, "inbox_off", "This node takes no jobs from an inbox (--no-inbox, or a memory: store).")
        turn = await inbox.take(within_s=ANSWERED_WITHIN_S)
        return wire.json_response(wire.encode({"taken": turn.taken, "refused": turn.refused}))

    app.add_call("POST", "/inbox", "take_inbox", take, Scope.JOBS_WRITE)
