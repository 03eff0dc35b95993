"""The line of submissions: who waits, who is on the way, and whose turn it is to carry the next batch.

Natural batching without a task of its own: whoever wants a job stored while a flight is free carries everything that
waits, his own among it; the others wait for their answer, or for their turn to carry. So an idle client answers after
one round trip, and under load batches grow by themselves. Where a carrier is cancelled, his batch goes back to the
front and somebody else carries it again, which is safe: every job keeps its id.

State: all of it is in ``Line`` and its ``Ticket``s, changed under the line's lock, for the blocking face has many
threads. Nothing here waits, and nothing is sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from threading import Lock

from tickr.client.bodies import Body
from tickr.client.errors import ClientError, Refusal
from tickr.client.records import Submitted
from tickr.client.steps import Signal

MAX_BATCH = 1000
"""Most jobs in a batch; the server takes no more."""
MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Most bytes of jobs in a batch; the server takes 16 MiB. A single longer job goes alone."""
MAX_JOBS = 10_000
"""Most jobs that wait or are on the way; who brings more waits at the door."""
MAX_BYTES = 64 * 1024 * 1024
"""Most bytes of them, but for the last one that was let in."""
FLIGHTS = 2
"""Most requests with submissions at once: the second goes on while the first is lost, and more were no faster."""
RARE = 1000
"""So many tickets of callers who left are put up with before the line is swept."""


Answer = Submitted | ClientError


class Place(Enum):
    OUTSIDE = auto()
    WAITING = auto()
    FLYING = auto()
    DONE = auto()


class Party:
    """One call: its tickets in order, and the signal that wakes its caller.

    Attributes:
      tickets: those whose answer the caller has not taken yet; written by the caller alone.
      invited: there was room, and it was this party's turn at the door; written under the line's lock.
    """

    __slots__ = ("invited", "signal", "tickets")

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.tickets: deque[Ticket] = deque()
        self.invited = False

    def answered(self) -> Iterator[Answer]:
        """Take the answers that are there, in the order of the jobs."""
        while self.tickets and (answer := self.tickets[0].answer) is not None:
            self.tickets.popleft()
            yield answer

    @property
    def waits(self) -> bool:
        """Whether a job of its own waits to be carried; not on the way, nor at the door."""
        tickets = self.tickets
        return bool(tickets) and Place.WAITING in (tickets[0].place, tickets[-1].place)


class Ticket:
    """One job from its submission to its answer.

    Attributes:
      deadline: by the caller's clock; then it is given up.
      most: the largest batch it may be part of; halved when a batch was refused for something in it.
      unsure: a try got no answer, so the job may be stored.
      refusal: the last answer that put it off, if any.
    """

    __slots__ = ("answer", "body", "deadline", "most", "party", "place", "refusal", "unsure")

    def __init__(self, party: Party, body: Body, deadline: float, answer: Answer | None = None) -> None:
        self.party = party
        self.body = body
        self.deadline = deadline
        self.place = Place.OUTSIDE if answer is None else Place.DONE
        self.most = MAX_BATCH
        self.unsure = False
        self.refusal: Refusal | None = None
        self.answer = answer


class Line:
    def __init__(self, flights: int = FLIGHTS) -> None:
        self._lock = Lock()
        self._waiting: deque[Ticket] = deque()
        self._left = 0
        self._door: deque[Party] = deque()
        self._jobs = 0
        self._bytes = 0
        self._flights = flights
        self._flying: set[Ticket] = set()
        self._closed: Callable[[Ticket], Answer] | None = None

    def __len__(self) -> int:
        """How many jobs have no answer yet."""
        return self._jobs

    # -- coming and going ---------------------------------------------------------------------------------------------

    def enter(self, ticket: Ticket) -> bool:
        """Take ``ticket`` in; or return False: its party is called when there is room, in order of arrival."""
        party = ticket.party
        with self._lock:
            if self._closed is not None:
                self._settle(ticket, self._closed(ticket))
                return True
            if not self._has_room() or (self._door and not party.invited):
                if party.invited:  # somebody was quicker
                    party.invited = False
                    self._door.appendleft(party)
                elif party not in self._door:
                    self._door.append(party)
                return False
            party.invited = False
            ticket.place = Place.WAITING
            self._jobs += 1
            self._bytes += len(ticket.body.text)
            self._waiting.append(ticket)
            self._invite()
            return True

    def leave(self, party: Party) -> None:
        """The caller has gone, with all answers or without; nothing of his stays."""
        with self._lock:
            for ticket in party.tickets:
                if ticket.answer is None:
                    self._settle(ticket, NOBODY)
            if party in self._door:
                self._door.remove(party)
            party.invited = False
            self._invite()
            self._call_next()

    def close(self, answer: Callable[[Ticket], Answer]) -> None:
        """Give every ticket in the line, and every one that comes later, the answer that ``answer`` has for it.

        Those on the way as well; a batch that lands finds them answered.
        """
        with self._lock:
            self._closed = answer
            for ticket in [*self._waiting, *self._flying]:
                if ticket.answer is None:
                    self._settle(ticket, answer(ticket))
            for party in self._door:
                party.signal.set()

    def settle(self, answers: Sequence[tuple[Ticket, Answer]]) -> None:
        """Answer tickets; one that has its answer already keeps it."""
        with self._lock:
            for ticket, answer in answers:
                if ticket.answer is None:
                    self._settle(ticket, answer)
            self._invite()

    # -- carrying -----------------------------------------------------------------------------------------------------

    def board(self) -> bool:
        """Take a free flight; True obliges to ``land``."""
        with self._lock:
            if not self._flights:
                return False
            self._flights -= 1
            return True

    def take(self) -> list[Ticket]:
        """Return the next batch, from the front: 0 to MAX_BATCH tickets."""
        batch: list[Ticket] = []
        most, size = MAX_BATCH, 0
        with self._lock:
            while (front := self._front()) is not None:
                most = min(most, front.most)
                if batch and (len(batch) >= most or size + len(front.body.text) > MAX_BATCH_BYTES):
                    break
                size += len(front.body.text)
                front.place = Place.FLYING
                batch.append(self._waiting.popleft())
            self._flying.update(batch)
        return batch

    def land(self, batch: Sequence[Ticket]) -> None:
        """Give the flight back; those of ``batch`` without an answer go back to the front, in their order."""
        with self._lock:
            self._flights += 1
            self._flying.difference_update(batch)
            again = [ticket for ticket in batch if ticket.answer is None]
            for ticket in again:
                ticket.place = Place.WAITING
            self._waiting.extendleft(reversed(again))
            self._call_next()

    # -- under the lock -----------------------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        return self._jobs < MAX_JOBS and self._bytes < MAX_BYTES

    def _invite(self) -> None:
        """Call the first party at the door if there is room; it comes in and the next is called."""
        if self._door and self._has_room():
            self._door[0].invited = True
            self._door.popleft().signal.set()

    def _call_next(self) -> None:
        """Call the caller of the first ticket to carry; if he does not, somebody else has."""
        if self._flights and (front := self._front()) is not None:
            front.party.signal.set()

    def _front(self) -> Ticket | None:
        while self._waiting and self._waiting[0].place is Place.DONE:
            self._waiting.popleft()
            self._left -= 1
        return self._waiting[0] if self._waiting else None

    def _settle(self, ticket: Ticket, answer: Answer) -> None:
        place, ticket.place, ticket.answer = ticket.place, Place.DONE, answer
        ticket.party.signal.set()
        if place is Place.OUTSIDE:
            return
        self._jobs -= 1
        self._bytes -= len(ticket.body.text)
        # It stays in the line as one who left, as to find it there would take long.
        self._left += place is Place.WAITING
        if self._left > max(RARE, len(self._waiting) // 2):
            self._waiting = deque(one for one in self._waiting if one.place is not Place.DONE)
            self._left = 0


NOBODY = ClientError("Nobody waits for this answer.")
