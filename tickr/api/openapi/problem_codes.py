"""Problems in the description: the document, and which codes every call of a kind may answer with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import msgspec
from msgspec import UNSET, UnsetType

from tickr.api.openapi.about import About, Codes
from tickr.api.routes import Route


class FaultDocument(msgspec.Struct, frozen=True):
    """One thing that is wrong: a JSON pointer into the body, or `/name` of a parameter, and what would be right."""

    pointer: str
    detail: str


class ProblemDocument(msgspec.Struct, frozen=True):
    """What went wrong (RFC 9457). `code` is stable; the members behind `errors` say what it is about."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FaultDocument] | UnsetType = UNSET
    job_id: str | UnsetType = UNSET
    outcome_unknown: bool | UnsetType = UNSET
    retry_after: int | UnsetType = UNSET
    queue: str | UnsetType = UNSET
    schedule: str | UnsetType = UNSET
    operation: str | UnsetType = UNSET
    lease: str | UnsetType = UNSET
    node: str | UnsetType = UNSET
    mark: str | UnsetType = UNSET
    key: str | UnsetType = UNSET
    cursor: str | UnsetType = UNSET
    token: str | UnsetType = UNSET
    needed: str | UnsetType = UNSET
    scopes: list[str] | UnsetType = UNSET
    incident: str | UnsetType = UNSET


SHARED: dict[str, tuple[int, tuple[str, ...], str]] = {
    "Unauthenticated": (401, ("unauthenticated",), "No token, or not the right one."),
    "Forbidden": (403, ("forbidden",), "The token does not allow it: `needed` is the scope that does."),
    "Refused": (
        403,
        ("forbidden", "cross_site"),
        "The token does not allow it (`needed` is the scope that does), or a page of another site asked for a change.",
    ),
    "BodyTimeout": (408, ("body_timeout",), "The body did not arrive in time."),
    "BodyTooLarge": (413, ("body_too_large",), "The body is larger than this call takes."),
    "TargetTooLong": (414, ("target_too_long",), "Path and query are too long."),
    "NotJson": (415, ("unsupported_media_type", "unsupported_encoding"), "The body is not said to be JSON in UTF-8."),
    "UnknownHost": (421, ("unknown_host",), "Without a token, loopback answers to loopback names only."),
    "Overloaded": (429, ("overloaded",), "Too much is waiting already; ask again after `Retry-After` seconds."),
    "HeadersTooLarge": (431, ("headers_too_large",), "The headers are too large."),
    "Internal": (500, ("internal",), "A fault of Tickr's; the log has it under `incident`."),
    "Unavailable": (
        503,
        ("store_unavailable", "schema_mismatch", "store"),
        "The store cannot be used just now; ask again after `Retry-After` seconds.",
    ),
}
"""Problems that many calls share: status, codes, what they mean."""

WITH_HEADERS = {401: ("WWW-Authenticate",), 403: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
OF_BODIES = (
    *("invalid_json", "invalid_utf8", "byte_order_mark", "too_deep", "nul_character", "duplicate_key"),
    "invalid_encoding",
)
OF_PATHS = {
    "job_id": "invalid_id",
    "operation_id": "invalid_id",
    "lease": "invalid_id",
    "mark_id": "invalid_id",
    "token_id": "invalid_id",
    "/queues": "invalid_queue",
    "/schedules": "invalid_name",
}
"""What a path may be wrong with, by its parameter, or its begin where that is not enough."""
NEVER_REFUSED = frozenset({"/livez", "/readyz"})
WAITING = frozenset({"show", "lease", "events"})
"""Calls that take a place among those who listen."""


def codes_of(route: Route, about: About, *, open_: bool) -> Codes:
    """Return the codes of ``route`` by status, those that it shares included. ``open_``: needs no token."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for status, codes in about.problems.items():
        found[status] += codes
    for status, code in _common(route, open_=open_):
        if code not in found[status]:
            found[status].append(code)
    return {status: tuple(found[status]) for status in sorted(found)}


def _common(route: Route, *, open_: bool) -> Iterator[tuple[int, str]]:
    changes = route.method != "GET"
    yield 400, "bad_request"
    if route.path not in NEVER_REFUSED:
        yield 400, "invalid_parameter"
        yield 421, "unknown_host"
    for place, code in OF_PATHS.items():
        if f"<{place}>" in route.path or ("<" in route.path and route.path.startswith(f"{place}/")):
            yield 400, code
    if changes:
        yield from ((400, code) for code in OF_BODIES)
        yield 422, "invalid_request"
        yield 400, "invalid_precondition"
    if route.scope is not None:
        yield 403, "forbidden"
    if changes:
        yield 403, "cross_site"
    for status, codes, _ in SHARED.values():
        if (status in (408, 413, 415) and not changes) or status == 403 or status == 421 or (status == 401 and open_):
            continue
        if status == 503 and open_:
            continue
        yield from ((status, code) for code in codes)
    if route.name in WAITING:
        yield 503, "too_many_listeners"


def name_of(status: int, codes: tuple[str, ...]) -> str:
    """Return what a problem with these ``codes`` is called among the components."""
    for name, (shared, alike, _) in SHARED.items():
        if (shared, alike) == (status, codes):
            return name
    own = [code for code in codes if code not in EVERYWHERE]
    bodies = ["body"] if OF_BODIES[0] in codes else []
    return "-".join([str(status), *bodies, *own])


def words_of(status: int, codes: tuple[str, ...]) -> str:
    for shared, alike, told in SHARED.values():
        if (shared, alike) == (status, codes):
            return told
    return f"{', '.join(f'`{code}`' for code in codes)}."


EVERYWHERE = frozenset({"bad_request", "invalid_parameter", "invalid_precondition", "invalid_request", *OF_BODIES})
"""Codes that do not tell one call from another."""
