"""What routes need of a request: its body as strict JSON, its query, its ids and preconditions.

Everything here answers with a Problem when the request is not in order, and leaves no trace of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
from quart import Request
from werkzeug.http import parse_options_header

from tickr import traces
from tickr.api import strict
from tickr.api.call import Call, Head
from tickr.api.callers import caller_of
from tickr.api.parameters import DECRYPT, Parameter
from tickr.api.problems import Fault, Problem
from tickr.api.submission import RULES, UUID, read_record
from tickr.scopes import Scope
from tickr.traces import Trace

Record = TypeVar("Record", bound=msgspec.Struct)

_is_uuid = re.compile(UUID).fullmatch
_is_etag = re.compile(r'(?:W/)?"v(\d{1,18})(?:\.due)?"').fullmatch

CURSOR_WORDS = "Where the page begins: the `next_cursor` of the one before it."
NO_SUCH_VERSION = -1
"""What an entity tag that Tickr never made is taken for: no job is ever at it."""


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a call that takes none."""


def json_body(call: Call) -> bytes:
    """Return the body, known to be strict JSON. Raises: Problem (400, 415)."""
    check_media(call)
    strict.check(call.body)
    return call.body


def check_media(call: Call | Request) -> None:
    """Return if the headers say that the body is JSON. Raises: Problem (415)."""
    kind = call.headers.get("content-type", "")
    if kind != "application/json":
        _check_kind(kind)


def _check_kind(content_type: str) -> None:
    kind, parameters = parse_options_header(content_type)
    if kind.lower() != "application/json" and not kind.lower().endswith("+json"):
        raise Problem(415, "unsupported_media_type", "The body must be JSON: Content-Type: application/json.")
    if parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise Problem(415, "unsupported_media_type", "JSON is UTF-8 and nothing else (RFC 8259).")


async def call_of(request: Request) -> Call:
    """Return the call that comes as ``request``. Raises: Problem (400): it has a query."""
    known_query(request)
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers]
    return Call(request.path, Head(pairs), await _body(request))


async def no_body(request: Request) -> None:
    """Return if the body is empty or ``{}``. Raises: Problem."""
    await optional_body(request, Nothing, {})


async def optional_body(request: Request, kind: type[Record], rules: dict[str, str]) -> Record:
    """Return the record of ``kind`` that the body is, or all its defaults if there is none. Raises: Problem."""
    body = await optional_json(request)
    return kind() if body is None else read_record(body, kind, rules)


async def optional_json(request: Request) -> bytes | None:
    """Return the body, known to be strict JSON; None if it is empty or ``{}``. Raises: Problem."""
    if not request.content_length and "Transfer-Encoding" not in request.headers:
        return None
    body = await _body(request)
    if body.strip() in (b"", b"{}"):
        return None
    check_media(request)
    strict.check(body)
    return body


async def _body(request: Request) -> bytes:
    body = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    assert isinstance(body, bytes)
    return body


def known_query(request: Request, parameters: Iterable[Parameter] = ()) -> None:
    """Return if the query has no other than ``parameters``. Raises: Problem (400), which names the others."""
    if not request.query_string:
        return
    known = {one.name for one in parameters}
    faults = [Fault(f"/{name}", "is not a parameter of this call") for name in request.args if name not in known]
    if faults:
        raise bad_query(faults)


def wishes_decrypted(request: Request) -> bool:
    """Return whether the query asks for what is encrypted in the clear. Raises: Problem (400; 403)."""
    wish = wished(request, DECRYPT)
    if wish:
        caller_of(request).require(Scope.ADMIN)
    return wish


def wished(request: Request, parameter: Parameter) -> bool:
    """Return whether the query says that ``parameter``, a flag, is true. Raises: Problem (400)."""
    if faults := [*parameter.faults(request.args)]:
        raise bad_query(faults)
    return request.args.get(parameter.name) == "true"


def trace(headers: Head) -> Trace | None:
    """Return the trace that a request belongs to. One that can not be read is none, and no fault of the request."""
    if "traceparent" not in headers:
        return None
    return traces.read(headers.every("traceparent"), headers.every("tracestate"))


def bad_query(faults: list[Fault]) -> Problem:
    return Problem(400, "invalid_parameter", "The query cannot be taken as it is.", faults=faults)


def cursor_by(is_cursor: Callable[[str], bool]) -> Parameter:
    """Return the parameter that says where a page begins, where that is the name or id of something."""
    return Parameter("cursor", str, "must be the next_cursor of a page", CURSOR_WORDS, check=is_cursor)


def page(request: Request, limit: Parameter, cursor: Parameter, *others: Parameter) -> tuple[int, str | None]:
    """Return ``limit`` and ``cursor`` of a call with no parameters but ``others``. Raises: Problem (400), of all."""
    known_query(request, (limit, cursor, *others))
    faults: list[Fault] = []
    wanted = limit.number(request.args, faults)
    for parameter in (cursor, *others):
        faults += parameter.faults(request.args)
    if faults or wanted is None:
        raise bad_query(faults)
    return wanted, request.args.get(cursor.name)


def is_job_id(text: str) -> bool:
    return _is_uuid(text) is not None


def job_id(text: str, of: str = "job") -> str:
    """Return the id of a job, or of something else, out of a path in its stored form. Raises: Problem (400)."""
    if not is_job_id(text):
        raise Problem(400, "invalid_id", f"This is not the id of a {of}.", faults=[Fault("/id", RULES["id"])])
    return text.lower()


def wished_version(request: Request) -> int | None:
    """Return the version that If-Match asks for; None when it asks for none or for any (``*``). Raises: Problem."""
    wish = request.headers.get("If-Match", "*").strip()
    if wish == "*":
        return None
    if "," in wish:
        raise Problem(400, "invalid_precondition", "If-Match takes one entity tag here, or *.")
    tag = _is_etag(wish)
    return int(tag[1]) if tag else NO_SUCH_VERSION


def has_already(request: Request, etag: str) -> bool:
    """Return whether If-None-Match says that the client has the representation ``etag``."""
    given = request.headers.get("If-None-Match")
    if given is None:
        return False
    return given.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in given.split(","))
