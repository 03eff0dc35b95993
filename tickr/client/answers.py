"""Answers of the server → records, or what is wrong; and which of them are worth another try.

Pure: bytes come in, records and errors go out. Nothing here knows how the bytes travelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from tickr.client.errors import ClientError, Problem, Refusal, Unexpected
from tickr.client.line import Ticket
from tickr.client.records import Submitted
from tickr.client.steps import Lost, Reply

Record = TypeVar("Record")

STORED_NOW = 201
STORED_BEFORE = 200
HELD = "tickr-unique"
"""The header of an answer that is about another job, which holds the unique key."""
NO_CONTENT = 204
CONFLICT, DUPLICATE = 409, "duplicate_job"
LATER = frozenset({429, 503})
"""Not now; ask again."""
UNSURE = frozenset({500, 502, 504})
"""Nobody can say whether it was done."""
AGAIN = LATER | frozenset({408, 502, 504})
"""What is worth another try."""
NOT_ALONE = frozenset({400, 413, 422, 500})
"""Refusals of a whole batch for what may be the fault of one job in it."""

Answer = Submitted | ClientError


class _Result(msgspec.Struct, frozen=True):
    index: int
    status: int
    id: str | None = None
    held: bool = False
    error: Problem | None = None


class _Results(msgspec.Struct, frozen=True):
    results: list[_Result]


_results = msgspec.json.Decoder(_Results).decode
_problem = msgspec.json.Decoder(Problem).decode


def read(reply: Reply, kind: type[Record], url: str, done: bool = False) -> Record:
    """Return the record that a successful answer holds; None if it holds nothing.

    Args:
      done: an earlier try may have done what was asked for, and be the very reason why this one is refused.
    Raises: Refused, Unexpected.
    """
    if not 200 <= reply.status < 300:
        refusal = refusal_of(reply)
        if refusal is None:
            raise not_tickr(reply, url, may_be_stored=done)
        raise refusal.error(may_be_stored=done or unsure(refusal))
    try:
        return msgspec.json.decode(b"null" if reply.status == NO_CONTENT else reply.body, type=kind)
    except msgspec.MsgspecError:
        raise not_tickr(reply, url, may_be_stored=done) from None


def refusal_of(reply: Reply) -> Refusal | None:
    """Return what an answer that is no says; None if Tickr does not speak like this."""
    try:
        return Refusal(reply.status, _problem(reply.body))
    except msgspec.MsgspecError:
        if reply.status in AGAIN:  # a proxy's own page
            return Refusal(reply.status, Problem(f"http_{reply.status}", f"HTTP {reply.status}, not in Tickr's words."))
        return None


def unsure(refusal: Refusal) -> bool:
    """Whether what was asked for may have been done all the same."""
    return refusal.status in UNSURE or refusal.problem.outcome_unknown


def not_tickr(reply: Reply, url: str, **about: Any) -> Unexpected:
    return Unexpected(
        f"What answers at {url} is not Tickr, or of too different a version: HTTP {reply.status}.", **about
    )


# -- submissions ------------------------------------------------------------------------------------------------------


def sort(batch: Sequence[Ticket], reply: Reply | Lost, url: str) -> list[tuple[Ticket, Answer]]:
    """Return the answers that ``reply`` gives to the tickets of ``batch``; those left out are to be tried again.

    Notes on these what is known of them now: whether they may be stored, what was said, how large a batch they may
    be part of.
    """
    if isinstance(reply, Lost):
        for ticket in batch:
            ticket.unsure |= reply.sent
        return []
    if len(batch) == 1 and reply.status in (STORED_NOW, STORED_BEFORE):
        return [_single(batch[0], reply, url)]
    if reply.status == STORED_BEFORE:
        return _each(batch, reply, url)
    refusal = refusal_of(reply)
    if refusal is None:
        return [(ticket, _not_tickr(ticket, reply, url)) for ticket in batch]
    if len(batch) > 1 and reply.status in NOT_ALONE:
        for ticket in batch:
            ticket.most = len(batch) // 2
            ticket.unsure |= unsure(refusal)
        return []
    return [answer for ticket in batch if (answer := _refused(ticket, refusal))]


def _single(ticket: Ticket, reply: Reply, url: str) -> tuple[Ticket, Answer]:
    try:
        stored = msgspec.json.decode(reply.body, type=_Stored)
    except msgspec.MsgspecError:
        return ticket, _not_tickr(ticket, reply, url)
    held = HELD in reply.headers
    return ticket, Submitted(stored.id, ticket.body.type, reply.status == STORED_BEFORE and not held, held)


class _Stored(msgspec.Struct, frozen=True):
    id: str


def _each(batch: Sequence[Ticket], reply: Reply, url: str) -> list[tuple[Ticket, Answer]]:
    try:
        results = _results(reply.body).results
    except msgspec.MsgspecError:
        results = []
    if [result.index for result in results] != list(range(len(batch))):
        return [(ticket, _not_tickr(ticket, reply, url)) for ticket in batch]
    found: list[tuple[Ticket, Answer]] = []
    for ticket, result in zip(batch, results, strict=True):
        if result.id is not None and result.status in (STORED_NOW, STORED_BEFORE):
            before = result.status == STORED_BEFORE and not result.held
            found.append((ticket, Submitted(result.id, ticket.body.type, before, result.held)))
        elif result.error is None:
            found.append((ticket, _not_tickr(ticket, reply, url)))
        elif answer := _refused(ticket, Refusal(result.status, result.error)):
            found.append(answer)
    return found


def _refused(ticket: Ticket, refusal: Refusal) -> tuple[Ticket, Answer] | None:
    """Return the answer to a ticket that was refused; None if it is to be tried again."""
    job_id = ticket.body.id
    duplicate = refusal.status == CONFLICT and refusal.problem.code == DUPLICATE
    if duplicate and ticket.body.id_is_ours and ticket.unsure:
        # Nobody else has this id, so the job is ours, stored by a try whose answer was lost; it differs only in what
        # the server adds (a handler's defaults, changed by a deploy in between).
        return ticket, Submitted(job_id, ticket.body.type, replayed=True)
    ticket.unsure |= unsure(refusal)
    if refusal.status in AGAIN:
        ticket.refusal = refusal
        return None
    return ticket, refusal.error(job_id=job_id, may_be_stored=ticket.unsure)


def _not_tickr(ticket: Ticket, reply: Reply, url: str) -> ClientError:
    return not_tickr(reply, url, job_id=ticket.body.id, may_be_stored=True)
