"""Natural batching: one flush in flight, or a few; what arrives meanwhile goes with the next.

Idle, an item waits for nothing and costs one round trip; under load, batches grow by themselves to what one flush
takes. No timer, nothing to tune. The waiting line is bounded in items, a batch in items and bytes. Many items may come
as one entry (``enter``): they are cut and joined into flushes like all others, but paid for together.

State: ``_waiting`` is written by whoever submits and emptied by ``run`` alone; ``_count`` is its length in items.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

import trio

from tickr.errors import Overloaded
from tickr.meters import Batches

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class TooLate(Exception):
    """No answer came in time. ``in_flight``: the item's flush has begun and goes on; otherwise it never begins."""

    def __init__(self, *, in_flight: bool) -> None:
        super().__init__()
        self.in_flight = in_flight


class Ticket(Generic[Item, Answer]):
    """Items on their way together, and where their answers will be.

    Attributes:
      items: those of ``taken`` and the rest, which is still in the line.
      taken: how many of the items flushes have begun with.
      asked: somebody wants to hear the answers.
    """

    __slots__ = ("_answers", "_done", "asked", "items", "left_bytes", "sizes", "taken")

    def __init__(self, items: Sequence[Item], sizes: Sequence[int], *, asked: bool) -> None:
        self.items = items
        self.sizes = sizes
        self.left_bytes = sum(sizes)
        self.taken = 0
        self.asked = asked
        self._answers: dict[int, Answer | Exception] = {}  # by place; those of a later flush may come first
        self._done: trio.Event | None = None

    @property
    def settled(self) -> bool:
        return len(self._answers) == len(self.items)

    def answers(self, missing: Exception | None = None) -> list[Answer | Exception]:
        """Return the answer to each item, in order; an error is that item's. ``missing``: of those without."""
        if missing is None:
            return [self._answers[at] for at in range(len(self.items))]
        return [self._answers.get(at, missing) for at in range(len(self.items))]

    @property
    def done(self) -> trio.Event:
        """Set once all items have their answers. Made when it is asked for: most entries of one item never need it."""
        if self._done is None:
            self._done = trio.Event()
            if self.settled:
                self._done.set()
        return self._done

    def take(self, most_items: int, most_bytes: int, *, at_least: int) -> tuple[int, int]:
        """Take what fits out of the line, ``at_least`` items in any case; return how many, and of how many bytes."""
        count, size = len(self.items) - self.taken, self.left_bytes
        if count > most_items or size > most_bytes:
            count = size = 0
            for one in self.sizes[self.taken : self.taken + most_items]:
                if size + one > most_bytes and count >= at_least:
                    break
                count, size = count + 1, size + one
        self.taken += count
        self.left_bytes -= size
        return count, size

    def settle(self, start: int, answers: Sequence[Answer | Exception]) -> None:
        """Take the answers of the items from ``start`` on."""
        self._answers.update(enumerate(answers, start))
        if self._done is not None and self.settled:
            self._done.set()


class _Part(NamedTuple, Generic[Item, Answer]):
    """The items of one ticket that one flush has taken."""

    ticket: Ticket[Item, Answer]
    start: int
    stop: int


class Batcher(Generic[Item, Answer]):
    """Collects items and hands them to ``flush`` in batches, in order of arrival: one batch at a time for each ``run``.

    Args:
      flush: takes 1..max_items items and returns as many answers in the same order. If it raises, every item of that
        batch gets the error and the next batch goes on; unless nobody asked for an item's answer (``put_nowait``), so
        that the error would be heard by nobody: then it ends ``run``.
      max_items, max_bytes: bounds of one batch; a single item over ``max_bytes`` goes alone.
      max_waiting: bound of the line, in items.
    Attributes:
      max_waiting: as given; its owner may raise it.
      flushed: what ``flush`` was given, and how long it took, errors included.
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
        self.max_waiting = max_waiting
        self.flushed = Batches()
        self._waiting: deque[Ticket[Item, Answer]] = deque()
        self._count = 0
        self._arrived = trio.Event()
        self._room = trio.lowlevel.ParkingLot()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken: ``close`` was called, or ``run`` has ended."""
        return self._closed

    def __len__(self) -> int:
        """How many items wait for their flush, the one in flight not counted."""
        return self._count

    # -- who submits --------------------------------------------------------------------------------------------------

    async def submit(self, item: Item, size_bytes: int = 0, *, within_s: float | None = None) -> Answer:
        """Wait for the batch that takes ``item`` and return its answer, or raise the error of its flush.

        Args:
          within_s: how long to wait, in seconds; None for as long as it takes.
        Raises:
          Overloaded: the line is full or closed; the item was not taken.
          TooLate: ``within_s`` is over. An item still in the line has been taken out of it.
        Cancellation: an item still in the line is taken out of it; one in flight goes on without its asker.
        """
        ticket = self.enter((item,), (size_bytes,))
        (answer,) = await self._wait_or_leave(ticket, within_s)
        if not isinstance(answer, Exception):
            return answer
        try:
            raise answer
        finally:
            del answer, ticket  # a cycle of error, traceback and this frame, otherwise

    async def submit_many(
        self, items: Sequence[Item], sizes: Sequence[int], *, within_s: float | None = None
    ) -> list[Answer | Exception]:
        """Wait for the batches that take ``items`` and return an answer for each, or in its place the error.

        The errors are those of ``submit``, of each item by itself: where the line has room for some of them only, the
        first are taken. ``sizes``: of each item, in bytes.
        Raises: Overloaded: none was taken.
        Cancellation: as for ``submit``.
        """
        room = max(1, self.max_waiting - self._count)  # if there is none, ``enter`` says why
        ticket = self.enter(items[:room], sizes[:room])
        answers = await self._wait_or_leave(ticket, within_s)
        if len(items) > room:
            return [*answers, *[self._full()] * (len(items) - room)]
        return answers

    async def _wait_or_leave(self, ticket: Ticket[Item, Answer], within_s: float | None) -> list[Answer | Exception]:
        try:
            return await self.wait(ticket, within_s=within_s)
        except trio.Cancelled:
            self._withdraw(ticket)
            raise

    def put_nowait(self, item: Item, size_bytes: int = 0) -> Ticket[Item, Answer]:
        """Put ``item`` into the line, for whose answer nobody will wait. Raises: Overloaded, as ``submit`` does."""
        return self._put(Ticket((item,), (size_bytes,), asked=False))

    def enter(self, items: Sequence[Item], sizes: Sequence[int]) -> Ticket[Item, Answer]:
        """Put ``items`` into the line and return at once; the caller will ``wait``.

        Raises: Overloaded: the line is closed or has no room for all of them; none was taken.
        """
        return self._put(Ticket(items, sizes, asked=True))

    def _put(self, ticket: Ticket[Item, Answer]) -> Ticket[Item, Answer]:
        if self._closed:
            raise Overloaded("This process is stopping and takes nothing new.")
        if self._count + len(ticket.items) > self.max_waiting:
            raise self._full()
        if ticket.items:
            self._waiting.append(ticket)
            self._count += len(ticket.items)
            self._arrived.set()
        return ticket

    def _full(self) -> Overloaded:
        return Overloaded(f"{self.max_waiting} items are waiting already.")

    async def wait(self, ticket: Ticket[Item, Answer], *, within_s: float | None = None) -> list[Answer | Exception]:
        """Return the answers of what was entered, in order; in the place of one that is missing, the error.

        Errors: what the flush of an item raised; TooLate, where ``within_s`` is over first. What is still in the line
        then is taken out of it.
        Cancellation: everything stays in the line and goes on without its asker.
        """
        if not ticket.settled:
            with trio.CancelScope() as waiting:
                if within_s is not None:
                    waiting.deadline = trio.current_time() + within_s
                await ticket.done.wait()
        if ticket.settled:
            return ticket.answers()
        entered = len(ticket.items)
        self._withdraw(ticket)
        never = [TooLate(in_flight=False)] * (entered - ticket.taken)
        return [*ticket.answers(missing=TooLate(in_flight=True)), *never]

    def _withdraw(self, ticket: Ticket[Item, Answer]) -> None:
        """Take out of the line what of ``ticket`` is still in it."""
        left = len(ticket.items) - ticket.taken
        if left:
            self._waiting.remove(ticket)
            self._count -= left
            ticket.items = ticket.items[: ticket.taken]
            self._room.unpark_all()

    async def wait_room(self, count: int) -> None:
        """Return when the line has room for ``count`` items, or nothing more is taken. No place is kept for them."""
        while not self._closed and self._count and self._count + count > self.max_waiting:
            await self._room.park()

    # -- who flushes --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take nothing more; ``run`` flushes what is in the line and returns."""
        self._closed = True
        self._arrived.set()
        self._room.unpark_all()

    async def run(self) -> None:
        """Flush until closed and empty. May be running several times: then as many flushes are in flight.

        Raises: what a flush raised, if nobody else would hear of it; the items behind it are told ``Overloaded``.
        Cancellation: what is in flight has the outcome that ``flush`` leaves; everything not answered is told
        ``Overloaded``, so that no asker waits for ever. Both ends the line for all.
        """
        try:
            while True:
                while not self._waiting:
                    if self._closed:
                        return
                    if self._arrived.is_set():  # otherwise another ``run`` waits for it already
                        self._arrived = trio.Event()
                    await self._arrived.wait()
                await self._flush_one(self._take())
        finally:
            self.close()
            self._abandon(_Part(ticket, ticket.taken, len(ticket.items)) for ticket in self._waiting)
            for ticket in self._waiting:
                ticket.taken = len(ticket.items)
            self._waiting.clear()
            self._count = 0

    async def _flush_one(self, batch: list[_Part[Item, Answer]]) -> None:
        items = [item for part in batch for item in part.ticket.items[part.start : part.stop]]
        began = trio.current_time()
        try:
            try:
                answers = await self._flush(items)
            finally:
                self.flushed.note(len(items), trio.current_time() - began)
        except Exception as error:
            for part in batch:
                part.ticket.settle(part.start, [error] * (part.stop - part.start))
            if not all(part.ticket.asked for part in batch):
                raise
        except BaseException:
            self._abandon(batch)
            raise
        else:
            if len(answers) != len(items):
                self._abandon(batch)
                raise ValueError(f"{len(answers)} answers to {len(items)} items")
            at = 0
            for part in batch:
                count = part.stop - part.start
                part.ticket.settle(part.start, answers[at : at + count])
                at += count

    def _take(self) -> list[_Part[Item, Answer]]:
        batch: list[_Part[Item, Answer]] = []
        count = size = 0
        while self._waiting and count < self._max_items:
            ticket = self._waiting[0]
            start = ticket.taken
            taken, taken_bytes = ticket.take(
                self._max_items - count, self._max_bytes - size, at_least=0 if batch else 1
            )
            if taken:
                batch.append(_Part(ticket, start, start + taken))
                count, size = count + taken, size + taken_bytes
            if ticket.taken < len(ticket.items):
                break
            self._waiting.popleft()
        self._count -= count
        self._room.unpark_all()
        return batch

    def _abandon(self, parts: Iterable[_Part[Item, Answer]]) -> None:
        error = Overloaded("This process stopped before it got to it.")
        for ticket, start, stop in parts:
            ticket.settle(start, [error] * (stop - start))
