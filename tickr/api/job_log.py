"""``GET /jobs/<id>/log``: what a job has logged, as it is kept with it; line by line, the oldest first.

Comes in: an id, a place, an attempt. Goes out: a page of lines, and the place behind them. Who asks again from there
gets what was logged meanwhile.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
import structlog
from quart import Response, request

from tickr.api import incoming, wire
from tickr.api.context import Context
from tickr.api.jobs import UNKEPT
from tickr.api.problems import Fault
from tickr.envelopes import is_sealed
from tickr.errors import JobNotFound
from tickr.job_log import LogLine, LogPlace
from tickr.scopes import Scope
from tickr.store.contract import Store

if TYPE_CHECKING:
    from tickr.api.app import Edge

DEFAULT_LIMIT = 200
MAX_LIMIT = 500
PAGE_BYTES = 1024 * 1024
"""A page ends once its lines are so long together; what is left comes with the next."""

log = structlog.get_logger("tickr.api")
_is_place = re.compile(r"(\d{1,18})\.(\d{1,18})", re.ASCII).fullmatch
_is_number = re.compile(r"\d{1,9}", re.ASCII).fullmatch


class LineDocument(msgspec.Struct, frozen=True):
    """``message`` is null where it is encrypted, and nobody asked to have it opened."""

    attempt: int
    fence: int
    at: str | None
    message: str | None
    dropped: int


class LogDocument(msgspec.Struct, frozen=True):
    """One page. ``cursor``: the place behind it; ``more``: whether there are lines behind it already."""

    items: list[LineDocument]
    cursor: str
    more: bool


def add_routes(app: Edge, context: Context) -> None:
    async def show(job_id: str) -> Response:
        incoming.known_query(request, ("after", "attempt", "limit", "decrypt"))
        name, opened = incoming.job_id(job_id), incoming.wishes_decrypted(request)
        after, attempt, limit = _query()
        found = await _lines(context, name, after, attempt, limit + 1, opened=opened)
        if not found and await context.store.get(name) is None:
            raise JobNotFound(name)
        page = _fitting(found[:limit])
        place = page[-1].place if page else after
        shown = LogDocument([_document(line) for line in page], f"{place.fence}.{place.number}", len(found) > len(page))
        return wire.json_response(wire.encode(shown), headers=UNKEPT if opened else None)

    app.add_call("GET", "/jobs/<job_id>/log", "job_log", show, Scope.JOBS_READ)


def _query() -> tuple[LogPlace, int | None, int]:
    """Return after which place, of which attempt (None: of all), and how many. Raises: Problem (400)."""
    many = request.args.getlist
    place = _is_place(request.args.get("after", "0.0"))
    attempt = _is_number(request.args.get("attempt", "0"))
    limit = incoming.limit(many("limit"), DEFAULT_LIMIT, MAX_LIMIT)
    faults = [Fault(f"/{name}", "must come once") for name in ("after", "attempt") if len(many(name)) > 1]
    if place is None:
        faults.append(Fault("/after", "is not a cursor of a job's log"))
    if attempt is None or ("attempt" in request.args and not int(attempt[0])):
        faults.append(Fault("/attempt", "must be the number of an attempt, from 1"))
    if limit is None:
        faults.append(Fault("/limit", f"must be a whole number from 1 to {MAX_LIMIT}, once"))
    if faults or place is None or attempt is None or limit is None:
        raise incoming.bad_query(faults)
    return LogPlace(int(place[1]), int(place[2])), int(attempt[0]) or None, limit


async def _lines(
    context: Context, job_id: str, after: LogPlace, attempt: int | None, limit: int, *, opened: bool
) -> list[LogLine]:
    """Return up to about ``limit`` lines, and leave a trace if some were opened. Raises: CannotOpen."""
    store: Store = context.store
    parts = await store.job_log(job_id, limit, after=after, attempt=attempt)
    if opened and any(is_sealed(part.messages) for part in parts):
        parts = [context.vault.open_log(part, job_id) for part in parts]
        log.info("job.decrypted", job=job_id)
    return [line for part in parts for line in part.lines() if line.place > after]


def _fitting(lines: list[LogLine]) -> list[LogLine]:
    """Return the first of ``lines``, at least one if there are any, that make a page of bearable size."""
    size = 0
    for count, line in enumerate(lines):
        size += len(line.message or "")
        if size > PAGE_BYTES and count:
            return lines[:count]
    return lines


def _document(line: LogLine) -> LineDocument:
    return LineDocument(line.attempt, line.place.fence, wire.instant(line.at), line.message, line.dropped)
