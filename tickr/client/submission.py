"""Jobs → stored jobs: how one call of ``submit`` or ``submit_many`` goes, step by step, whichever face does the steps.

Each caller brings his jobs into the line, carries the next batch while a flight is free, and waits otherwise, until all
of his have an answer. A batch that got none is tried again, with pauses that grow and are the same for all, until each
job's time is over. Owner of the state: the line; what is here lives as long as a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tickr.client import answers, bodies
from tickr.client.bodies import Prepare
from tickr.client.errors import ClientError, Closed, Unavailable
from tickr.client.line import MAX_BATCH, Answer, Line, Party, Place, Ticket
from tickr.client.pauses import LEAST_TRY_S, Pauses, retry_after_s
from tickr.client.records import NewJob, Results, Submitted
from tickr.client.steps import JSON, Lost, Reply, Request, Signal, Steps, pause, send, until

ANSWER_S = 10.0
"""Longest wait for the answer to one request, in seconds; then it is taken for lost."""
FAULT_OF_SERVER = 500
"""From this status of an answer on, the next request waits a while."""
SHARE = 2 * MAX_BATCH
"""Most jobs of one call that are in the line at once."""

Job = NewJob | Mapping[str, Any]
_END: Any = object()
"""After the last job: a None among them is a mistake, and is told at its place."""


class Submission:
    """Everything that the calls of one client share.

    Args:
      url: as it is told in errors.
      total_s: how long a job is tried, in seconds, from when it is handed in.
      now: seconds of a clock that never goes back.
      signal: makes a signal of the face's kind.
      prepare: gets each job before it is written, while its caller hands it in.
    """

    def __init__(
        self,
        url: str,
        *,
        total_s: float,
        now: Callable[[], float],
        signal: Callable[[], Signal],
        prepare: Prepare | None = None,
        line: Line | None = None,
    ) -> None:
        self._url = url
        self._total_s = total_s
        self._now = now
        self._signal = signal
        self._prepare = prepare
        self._line = Line() if line is None else line
        self._pauses = Pauses()
        self._trouble = "there was no time for a try"

    def one(self, job: Job) -> Steps[Submitted]:
        """Submit one job. Raises: ClientError."""
        [answer] = yield from self.many([job])
        if isinstance(answer, ClientError):
            raise answer
        return answer

    def many(self, jobs: Iterable[Job]) -> Steps[Results]:
        """Submit ``jobs``, read no faster than the line takes them, and return what became of each, in order."""
        results: Results = []
        party = Party(self._signal())
        source = iter(jobs)
        try:
            while True:
                party.signal.clear()
                more = self._come_in(party, source)
                self._give_up(party)
                results.extend(party.answered())
                if not more and not party.tickets:
                    return results
                if party.tickets:
                    yield from self._go_on(party)
        finally:
            self._line.leave(party)

    def close(self) -> None:
        """Whoever still waits is told that the client was closed."""
        self._line.close(lambda ticket: self._closed(ticket, sent=ticket.place is Place.FLYING))

    # -- the parts of a call ----------------------------------------------------------------------------------------

    def _come_in(self, party: Party, source: Iterator[Job]) -> bool:
        """Bring in jobs until there are no more, or no room for more; return whether there are more."""
        tickets = party.tickets
        while len(tickets) < SHARE:
            if not tickets or tickets[-1].place is not Place.OUTSIDE:
                if (job := next(source, _END)) is _END:
                    return False
                tickets.append(self._ticket(party, job))
            last = tickets[-1]
            if last.place is Place.OUTSIDE and not self._line.enter(last):
                return True
        return True

    def _ticket(self, party: Party, job: Job) -> Ticket:
        try:
            body = bodies.write(job, self._prepare)
        except ClientError as error:
            return Ticket(party, bodies.NOTHING, 0, error)
        return Ticket(party, body, self._now() + self._total_s)

    def _give_up(self, party: Party) -> None:
        """Settle those whose time is over, or whose next try would come too late."""
        now, over = self._now(), []
        for ticket in party.tickets:
            if ticket.answer is not None:
                continue
            if ticket.deadline > self._latest(ticket, now):
                break  # those behind it came later
            over.append((ticket, self._too_late(ticket)))
        if over:
            self._line.settle(over)

    def _latest(self, ticket: Ticket, now: float) -> float:
        """Return what the deadline of ``ticket`` must be after, for it to go on."""
        if ticket.place is not Place.WAITING:
            return now
        tried = ticket.unsure or ticket.refusal is not None
        return (max(now, self._pauses.not_before) if tried else now) + LEAST_TRY_S

    def _go_on(self, party: Party) -> Steps[None]:
        """Carry a batch, or wait for something to happen."""
        left_s = party.tickets[0].deadline - self._now()  # no other is over earlier
        if party.waits and self._line.board():
            yield from self._carry(party, left_s)
        else:
            yield from until(party.signal, left_s)

    def _carry(self, party: Party, left_s: float) -> Steps[None]:
        """Take a batch to the server, for at most ``left_s`` seconds.

        Cancellation: the batch goes back to the line, and somebody else carries it again.
        """
        batch: list[Ticket] = []
        try:
            early_s = self._pauses.not_before - self._now()
            if early_s > 0:
                yield from until(party.signal, min(early_s, left_s))
                return
            # Whoever is about to submit in this very moment comes along.
            yield from pause(0)
            batch = self._line.take()
            if batch:
                reply = yield from send(_request(batch), min(ANSWER_S, left_s))
                self._unload(batch, reply)
        finally:
            self._line.land(batch)

    def _unload(self, batch: list[Ticket], reply: Reply | Lost) -> None:
        settled = answers.sort(batch, reply, self._url)
        self._line.settle(settled)
        if isinstance(reply, Lost):
            if not (reply.hurried and self._pauses.has_failed):
                self._trouble = reply.reason
            self._pauses.failed(self._now())
            return
        put_off = next((one.refusal for one in batch if one.answer is None and one.refusal), None)
        if put_off is not None:
            self._trouble = f"{put_off.problem.detail} ({put_off.problem.code})"
        if put_off is not None or reply.status >= FAULT_OF_SERVER:
            self._pauses.failed(self._now(), retry_after_s(reply.headers))
        else:
            self._pauses.succeeded()

    # -- what a job without an answer is told -----------------------------------------------------------------------

    def _too_late(self, ticket: Ticket) -> Answer:
        told = f"{self._url} did not take the job within {self._total_s:g} s: {self._trouble}."
        unsure = ticket.unsure or ticket.place is Place.FLYING
        return Unavailable(told, ticket.refusal, job_id=ticket.body.id, may_be_stored=unsure)

    def _closed(self, ticket: Ticket, sent: bool = False) -> Answer:
        return Closed("The client is closed.", job_id=ticket.body.id, may_be_stored=ticket.unsure or sent)


def _request(batch: list[Ticket]) -> Request:
    texts = [ticket.body.text for ticket in batch]
    if len(texts) == 1:
        return Request("POST", "/jobs", texts[0], headers=JSON)
    return Request("POST", "/jobs/batch", bodies.batch(texts), headers=JSON)
