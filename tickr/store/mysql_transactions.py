"""Whole transactions: begin, the work, COMMIT, and what to do when one of them fails.

Comes in: a function of a ``Transaction``, which may be called more than once. Goes out: its value, committed; or one of
the store's errors within the time given. A transaction that the server gave up (deadlock, lock wait) or that lost its
connection before COMMIT is done again from the start. One that lost its connection *during* COMMIT is asked after: the
row of events it wrote is its receipt, and a locking read of that row waits for the server to make up its mind.

State: the offset between the server's clock and ours is written at the start of every transaction and read by all.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple, TypeVar

import trio
from trio_mysql import err
from trio_mysql.constants import CR

from tickr.errors import StoreUnavailable, TickrError
from tickr.failpoints import reach
from tickr.store import mysql_errors
from tickr.store.contract import Clock, Lane
from tickr.store.event_log import nobody_counts, nobody_listens
from tickr.store.mysql_driver import Connection
from tickr.store.mysql_pool import Pool
from tickr.store.mysql_values import Parameter, Result, number
from tickr.tallies import Tally

T = TypeVar("T")

MAX_REPEATS = 5
PAUSE_S = 0.01
CROWDED_PAUSE_S = 0.05
ASK_AGAIN_S = 0.1
COMMIT_SHIELD_S = 2.0
"""How long a COMMIT may take, cancelled or not, before it is given up and asked after."""

AHEAD_US, BEHIND_US = 5_000, 1_000_000
"""By how much an estimate may be before the server's clock, and behind it where a statement was late in coming."""
FOR_EVER_US = 2**62

NOW = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"
"""The server's clock, microseconds UTC; the same wherever it stands in a statement."""
BEGIN = f"SELECT {NOW}"
READ_RECEIPT = "SELECT body FROM events WHERE id = %s FOR UPDATE"


class Receipt(NamedTuple):
    """A row of ``events`` that a transaction wrote: it is there if and only if the transaction was committed."""

    event_id: int
    body: str


class Transaction:
    """One transaction on its way. Only the function it was given to uses it.

    Attributes:
      now: the store's clock at its start, microseconds UTC, or as estimated here (``exact_now``).
      exact: whether ``now`` is no estimate.
      receipt: set by whoever writes ``events``; a transaction without one may be done twice without harm.
      tallies: what the rows of events say was done.
    """

    def __init__(
        self, connection: Connection, clock: ServerClock, now: int, max_document_bytes: int, *, exact: bool
    ) -> None:
        self._connection = connection
        self._clock = clock
        self.now = now
        self.exact = exact
        self.max_document_bytes = max_document_bytes
        self.receipt: Receipt | None = None
        self.tallies: list[Tally] = []

    async def run(self, sql: str, *parameters: Parameter) -> Result:
        return await self._connection.execute(sql, *parameters)

    @property
    def replacement_us(self) -> int | None:
        """``now`` where it is not the server's, as in tests; otherwise None: a statement may take the server's own."""
        return self.now if self._clock.replaced else None

    async def run_telling_now(self, sql: str, *parameters: Parameter) -> Result:
        """Run a statement each of whose rows ends with the server's clock; ``now`` is what it says from then on."""
        before = time.monotonic_ns()
        done = await self.run(sql, *parameters)
        self.now = self._clock.told(number(done.rows[0][-1]), before)
        self.exact = True
        return done

    @property
    def likely(self) -> tuple[int, int]:
        """Between which instants the server's clock is if ``now`` is right; any, where that need not be asked."""
        if self.exact or self._clock.replaced:
            return 0, FOR_EVER_US
        return self.now - AHEAD_US, self.now + BEHIND_US

    async def start_over(self) -> None:
        """Undo what was done so far; ``now`` stays."""
        self.receipt = None
        self.tallies.clear()
        await self._connection.execute("ROLLBACK")


class ServerClock:
    """The server's clock as seen from here.

    The server looked at its own clock at some moment between question and answer. The estimate is moved only when it
    would not fit in there, and no further than it must: so it does not go to and fro with each answer's delay.
    """

    def __init__(self, replacement: Clock | None) -> None:
        self._replacement = replacement
        self._offset_us = time.time_ns() // 1000 - time.monotonic_ns() // 1000
        self._has_heard = False

    def now_us(self) -> int:
        return self._replacement() if self._replacement else time.monotonic_ns() // 1000 + self._offset_us

    @property
    def replaced(self) -> bool:
        """Whether something else stands for the server's clock, as in tests."""
        return self._replacement is not None

    async def ask(self, connection: Connection) -> int:
        """Return the store's time in microseconds UTC, as the server tells it, and set this clock by it."""
        before = time.monotonic_ns()
        ((cell,),) = (await connection.execute(BEGIN)).rows
        return self.told(number(cell), before)

    def told(self, told_us: int, before_ns: int) -> int:
        """Take the server's time from an answer, which may have taken work; return the store's, microseconds UTC.

        Args:
          before_ns: our monotonic clock before the statement was sent.
        """
        most, least = told_us - before_ns // 1000, told_us - time.monotonic_ns() // 1000
        self._offset_us = min(max(self._offset_us, least), most) if self._has_heard else (least + most) // 2
        self._has_heard = True
        return self._replacement() if self._replacement else told_us


class _Course:
    """How far a call has come.

    Attributes:
      time: its limit; put off once a connection has begun to answer.
      committing: a COMMIT is out that has not been answered.
      receipt: the events that this call has committed, or may have while that is not known.
      tallies: what these say.
    """

    def __init__(self, within_s: float, once_begun_s: float) -> None:
        self.time = trio.CancelScope(deadline=trio.current_time() + within_s)
        self._begun_deadline = trio.current_time() + max(within_s, once_begun_s)
        self.committing = False
        self.receipt: Receipt | None = None
        self.tallies: list[Tally] = []

    def begun(self) -> None:
        self.time.deadline = self._begun_deadline


class Transactions:
    """Runs transactions on ``pool``.

    Args:
      max_document_bytes: how long a single parameter may become.
    Attributes:
      on_events: called after each COMMIT that wrote events, and where one may have.
      on_tally: called with the tallies of each COMMIT that is known to have taken place.
      write_failed: the last change could not be made, as on a server that is read-only or full; set to False by the
        next that could, or by whoever has shown otherwise.
      repeated: how many transactions were begun again.
    """

    def __init__(self, pool: Pool, clock: ServerClock, max_document_bytes: int) -> None:
        self._pool = pool
        self._clock = clock
        self._max_document_bytes = max_document_bytes
        self.on_events: Callable[[], None] = nobody_listens
        self.on_tally: Callable[[Tally], None] = nobody_counts
        self.write_failed = False
        self.repeated = 0

    def lane(self, name: str) -> Lane:
        """See ``Store.use``."""
        return Lane(name, *self._pool.use)

    async def run(
        self,
        work: Callable[[Transaction], Awaitable[T]],
        *,
        within_s: float,
        once_begun_s: float = 0.0,
        exact_now: bool = True,
        atomic: bool = True,
        turns: trio.Semaphore | None = None,
    ) -> T:
        """Return the value of ``work``, committed.

        Args:
          work: may be called again after a rollback; whatever it raises rolls back, and errors of the driver are
            dealt with here.
          within_s: bound of everything together, waiting for a connection included, in seconds.
          once_begun_s: bound that counts instead, if longer, as soon as the server has answered at all.
          exact_now: ask the server for its time first. False saves a round trip where nothing hangs on it.
          atomic: False has each statement commit by itself, which saves a round trip: for reads, and for ``work`` whose
            only write is one statement that may be done twice without harm.
          turns: taken before a connection is, and held to the end; waiting for it counts as well.
        Raises: StoreUnavailable: ``outcome_unknown`` says whether the change may stand. StoreError, SchemaMismatch.
        Cancellation: all or nothing. While COMMIT is being answered it waits, 2 s at most.
        """
        course = _Course(within_s, once_begun_s)
        try:
            with course.time:
                async with turns or nullcontext():
                    value = await self._repeat(partial(self._once, work, course, exact_now, atomic), course)
                    self.write_failed = self.write_failed and course.receipt is None
                    return value
            raise StoreUnavailable("MySQL did not answer in time.", outcome_unknown=course.committing)
        except StoreUnavailable:
            self.write_failed = self.write_failed or atomic
            raise
        finally:
            if course.receipt is not None:
                self._tell(course)

    def _tell(self, course: _Course) -> None:
        self.on_events()
        if not course.committing:
            for tally in course.tallies:
                self.on_tally(tally)

    async def _repeat(self, once: Callable[[], Awaitable[T]], course: _Course) -> T:
        for repeats in range(MAX_REPEATS + 1):
            course.committing = False
            try:
                return await once()
            except err.MySQLError as error:
                if repeats == MAX_REPEATS or not _worth_repeating(error):
                    raise mysql_errors.for_caller(error, outcome_unknown=course.committing) from error
                pause_s = CROWDED_PAUSE_S if mysql_errors.is_crowded(error) else PAUSE_S
            self.repeated += 1
            await trio.sleep(pause_s * 2**repeats * random.uniform(0.5, 1.5))
        raise AssertionError("the last turn returns or raises")

    async def _once(
        self, work: Callable[[Transaction], Awaitable[T]], course: _Course, exact_now: bool, atomic: bool
    ) -> T:
        refusal: TickrError | err.MySQLError | None = None
        try:
            async with self._pool.connection(autocommit=not atomic) as connection:
                now = await self._clock.ask(connection) if exact_now else self._clock.now_us()
                course.begun()
                transaction = Transaction(connection, self._clock, now, self._max_document_bytes, exact=exact_now)
                try:
                    value = await work(transaction)
                except (TickrError, err.MySQLError) as error:
                    if not connection.usable or mysql_errors.spoils(error):
                        raise
                    if atomic:
                        await connection.execute("ROLLBACK")
                    refusal = error  # raised outside, so that the connection is kept
                else:
                    if atomic:
                        course.tallies = transaction.tallies
                        await self._commit(connection, transaction.receipt, course)
        except err.MySQLError as error:
            if mysql_errors.is_repeatable(error):
                course.committing, course.receipt = False, None  # the server said that it did not
            if not course.committing or course.receipt is None:
                raise
            if not await self._was_committed(course.receipt):
                course.committing, course.receipt = False, None
                raise
            course.committing = False
        if refusal is not None:
            raise refusal
        return value

    async def _commit(self, connection: Connection, receipt: Receipt | None, course: _Course) -> None:
        """Commit; a cancellation that comes meanwhile waits for the answer, so that there is seldom doubt about it."""
        if receipt is not None:
            await reach("store.before_commit")
        course.committing, course.receipt = True, receipt
        until = min(course.time.deadline, trio.current_time() + COMMIT_SHIELD_S)
        with trio.CancelScope(deadline=until, shield=True) as scope:
            await connection.execute("COMMIT")
        if scope.cancelled_caught:
            raise err.OperationalError(CR.CR_SERVER_LOST, "COMMIT was not answered in time")
        course.committing = False
        if receipt is not None:
            await reach("store.after_commit")

    async def _was_committed(self, receipt: Receipt) -> bool:
        """Find out what became of a transaction whose COMMIT was not answered.

        The old connection may still be at it: then the row is locked, and this waits until the server has decided.
        Asks again and again while nobody answers or the lock stays: nothing else may be done before it is known.
        Whoever calls has a time limit.
        """
        while True:
            try:
                async with self._pool.connection() as connection:
                    found = (await connection.execute(READ_RECEIPT, receipt.event_id)).rows
                    await connection.execute("ROLLBACK")
                    return found == ((receipt.body.encode(),),)
            except err.MySQLError as error:
                if not mysql_errors.is_passing(error):
                    raise
            await trio.sleep(ASK_AGAIN_S)


def _worth_repeating(error: err.MySQLError) -> bool:
    if mysql_errors.number(error) in (2003, 2005, 2026):  # nobody is there, or not whom we want
        return False
    return mysql_errors.is_passing(error)
