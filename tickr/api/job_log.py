"""``GET /jobs/<id>/log``: what a job has logged, as it is kept with it; line by line, the oldest first.

Comes in: an id, a place, an attempt. Goes out: a page of lines, and the place behind them. Who asks again from there
gets what was logged meanwhile.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import msgspec
import structlog
from msgspec import Meta
from quart import Response, request

from tickr.api import incoming, wire
from tickr.api.context import Context
from tickr.api.jobs import UNKEPT
from tickr.api.parameters import DECRYPT, Parameter, limit, whole
from tickr.envelopes import is_sealed
from tickr.errors import JobNotFound
from tickr.job_log import LogLine, LogPlace
from tickr.scopes import Scope
from tickr.store.contract import Store

if TYPE_CHECKING:
    from tickr.api.app import Edge

PLACE_PATTERN = r"([0-9]{1,18})\.([0-9]{1,18})"
AFTER = Parameter(
    "after",
    Annotated[str, Meta(pattern=rf"\A{PLACE_PATTERN}\Z")],
    "must be the cursor of a page of a job's log",
    "Only lines behind this place: the `cursor` of the page before.",
    default="0.0",
)
ATTEMPT = whole("attempt", 10**9 - 1, "Only lines of this attempt.")
LIMIT = limit(200, 500)
QUERY = (AFTER, ATTEMPT, LIMIT, DECRYPT)
PAGE_BYTES = 1024 * 1024
"""A page ends once its lines are so long together; what is left comes with the next."""

log = structlog.get_logger("tickr.api")
_is_place = re.compile(PLACE_PATTERN, re.ASCII).fullmatch


class LineDocument(msgspec.Struct, frozen=True):
    """``message`` is null where it is encrypted, and nobody asked to have it opened."""

    attempt: int
    fence: int
    at: wire.Instant | None
    message: str | None
    dropped: int


class LogDocument(msgspec.Struct, frozen=True):
    """One page. ``cursor``: the place behind it; ``more``: whether there are lines behind it already."""

    items: list[LineDocument]
    cursor: str
    more: bool


def add_routes(app: Edge, context: Context) -> None:
    async def show(job_id: str) -> Response:
        incoming.known_query(request, QUERY)
        name, opened = incoming.job_id(job_id), incoming.wishes_decrypted(request)
        after, attempt, most = _query()
        found = await _lines(context, name, after, attempt, most + 1, opened=opened)
        if not found and await context.store.get(name) is None:
            raise JobNotFound(name)
        page = _fitting(found[:most])
        place = page[-1].place if page else after
        shown = LogDocument([_document(line) for line in page], f"{place.fence}.{place.number}", len(found) > len(page))
        return wire.json_response(wire.encode(shown), headers=UNKEPT if opened else None)

    app.add_call("GET", "/jobs/<job_id>/log", "job_log", show, Scope.JOBS_READ)


def _query() -> tuple[LogPlace, int | None, int]:
    """Return after which place, of which attempt (None: of all), and how many. Raises: Problem (400)."""
    faults = [*AFTER.faults(request.args)]
    attempt, most = ATTEMPT.number(request.args, faults), LIMIT.number(request.args, faults)
    place = _is_place(request.args.get(AFTER.name, AFTER.default))
    if faults or place is None or most is None:
        raise incoming.bad_query(faults)
    return LogPlace(int(place[1]), int(place[2])), attempt, most


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
