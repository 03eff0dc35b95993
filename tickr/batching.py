"""Natural batching: one flush in flight; what arrives meanwhile goes with the next.

Idle, an item waits for nothing and costs one round trip; under load, batches grow by themselves to what one flush
takes. No timer, nothing to tune. The waiting line is bounded in items, a batch in items and bytes.

State: ``_waiting`` is written by whoever submits and emptied by ``run`` alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import outcome
import trio

from tickr.errors import Overloaded

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class TooLate(Exception):
    """No answer came in time. ``in_flight``: the item's flush has begun and goes on; otherwise it never begins."""

    def __init__(self, *, in_flight: bool) -> None:
        super().__init__()
        self.in_flight = in_flight


class Ticket(Generic[Item, Answer]):
    """One item on its way, and where its answer will be. ``asked``: somebody wants to hear it."""

    __slots__ = ("answer", "asked", "done", "item", "size_bytes")

    def __init__(self, item: Item, size_bytes: int) -> None:
        self.item = item
        self.size_bytes = size_bytes
        self.asked = False
        self.done = trio.Event()
        self.answer: outcome.Outcome[Answer] | None = None

    def settle(self, answer: outcome.Outcome[Answer]) -> None:
        self.answer = answer
        self.done.set()


class Batcher(Generic[Item, Answer]):
    """Collects items and hands them to ``flush`` in batches, one batch at a time, in order of arrival.

    Args:
      flush: takes 1..max_items items and returns as many answers in the same order. If it raises, every item of that
        batch gets the error and the next batch goes on; unless nobody asked for an item's answer (``put_nowait``), so
        that the error would be heard by nobody: then it ends ``run``.
      max_items, max_bytes: bounds of one batch; a single item over ``max_bytes`` goes alone.
      max_waiting: bound of the line, in items.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        max_items: int,
        max_bytes: int,
        max_waiting: int,
    ) -> None:
        self._flush = flush
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._max_waiting = max_waiting
        self._waiting: deque[Ticket[Item, Answer]] = deque()
        self._arrived = trio.Event()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken: ``close`` was called, or ``run`` has ended."""
        return self._closed

    def __len__(self) -> int:
        """How many items wait for their flush, the one in flight not counted."""
        return len(self._waiting)

    async def submit(self, item: Item, size_bytes: int = 0, *, within_s: float | None = None) -> Answer:
        """Wait for the batch that takes ``item`` and return its answer, or raise the error of its flush.

        Args:
          within_s: how long to wait, in seconds; None for as long as it takes.
        Raises:
          Overloaded: the line is full or closed; the item was not taken.
          TooLate: ``within_s`` is over. An item still in the line has been taken out of it.
        Cancellation: an item still in the line is taken out of it; one in flight goes on without its asker.
        """
        ticket = self.put_nowait(item, size_bytes)
        ticket.asked = True
        try:
            with trio.CancelScope() as waiting:
                if within_s is not None:
                    waiting.deadline = trio.current_time() + within_s
                await ticket.done.wait()
        except trio.Cancelled:
            self._withdraw(ticket)
            raise
        if ticket.answer is None:
            raise TooLate(in_flight=not self._withdraw(ticket))
        return ticket.answer.unwrap()

    def _withdraw(self, ticket: Ticket[Item, Answer]) -> bool:
        """Take ``ticket`` out of the line and return True; False if its flush has begun."""
        if ticket not in self._waiting:
            return False
        self._waiting.remove(ticket)
        return True

    def put_nowait(self, item: Item, size_bytes: int = 0) -> Ticket[Item, Answer]:
        """Put ``item`` into the line and return at once. Raises: Overloaded, as ``submit`` does."""
        if self._closed:
            raise Overloaded("This process is stopping and takes nothing new.")
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded(f"{self._max_waiting} items are waiting already.")
        ticket: Ticket[Item, Answer] = Ticket(item, size_bytes)
        self._waiting.append(ticket)
        self._arrived.set()
        return ticket

    def close(self) -> None:
        """Take nothing more; ``run`` flushes what is in the line and returns."""
        self._closed = True
        self._arrived.set()

    async def run(self) -> None:
        """Flush until closed and empty.

        Raises: what a flush raised, if nobody else would hear of it; the items behind it are told ``Overloaded``.
        Cancellation: what is in flight has the outcome that ``flush`` leaves; everything not answered is told
        ``Overloaded``, so that no asker waits for ever.
        """
        try:
            while True:
                while not self._waiting:
                    if self._closed:
                        return
                    self._arrived = trio.Event()
                    await self._arrived.wait()
                await self._flush_one(self._take())
        finally:
            self._closed = True
            self._abandon(self._waiting)

    async def _flush_one(self, batch: list[Ticket[Item, Answer]]) -> None:
        try:
            answers = await self._flush([ticket.item for ticket in batch])
        except Exception as error:
            for ticket in batch:
                ticket.settle(outcome.Error(error))
            if not all(ticket.asked for ticket in batch):
                raise
        except BaseException:
            self._abandon(batch)
            raise
        else:
            for ticket, answer in zip(batch, answers, strict=True):
                ticket.settle(outcome.Value(answer))

    def _take(self) -> list[Ticket[Item, Answer]]:
        waiting, batch, size = self._waiting, [self._waiting.popleft()], 0
        size = batch[0].size_bytes
        while waiting and len(batch) < self._max_items and size + waiting[0].size_bytes <= self._max_bytes:
            size += waiting[0].size_bytes
            batch.append(waiting.popleft())
        return batch

    def _abandon(self, tickets: Sequence[Ticket[Item, Answer]] | deque[Ticket[Item, Answer]]) -> None:
        for ticket in tickets:
            ticket.settle(outcome.Error(Overloaded("This process stopped before it got to it.")))
