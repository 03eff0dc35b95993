"""Routes and what is said of them → the OpenAPI 3.1 document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Annotated, Any

from msgspec import Meta

from tickr import tokens
from tickr.api.access import is_open
from tickr.api.openapi import access, insight, jobs, nodes, operations, problem_codes, queues, schedules
from tickr.api.openapi.about import About, Answer, Body, Group
from tickr.api.openapi.problem_codes import WITH_HEADERS, ProblemDocument
from tickr.api.openapi.schemas import Schema, Schemas
from tickr.api.openapi.words import RAW, WORDS
from tickr.api.parameters import Parameter
from tickr.api.routes import Route
from tickr.api.submission import UUID
from tickr.api.wire import Envelope
from tickr.keys import MAX_KEY_LENGTH
from tickr.names import QUEUE_PATTERN
from tickr.scopes import Scope

GROUPS: tuple[Group, ...] = (
    jobs.JOBS,
    operations.OPERATIONS,
    queues.QUEUES,
    schedules.SCHEDULES,
    nodes.NODES,
    nodes.LEASES,
    insight.EVENTS,
    insight.STATISTICS,
    access.ACCESS,
    insight.HEALTH,
    insight.ORIGINAL,
)
CALLS: dict[str, tuple[Group, About]] = {
    name: (group, about) for group in GROUPS for name, about in group.calls.items()
}
"""What is said of every call, by the name of its route."""

ABOUT = (
    "Background jobs over HTTP: durable, resumable, observable.\n\n"
    "JSON in and out, names in snake_case, instants in RFC 3339 UTC, durations in seconds. A body may be compressed "
    "(`Content-Encoding: gzip` or `deflate`). What is not known is refused: a field, a parameter, a path. Everything "
    "that goes wrong is a problem document with a stable `code`; beyond what each call lists, HTTP itself may be "
    "refused as 404 `not_found`, 405, 501 and 505."
)
SCOPES = ", ".join(f"`{scope}`" for scope in Scope)
SECURITY = (
    "A token is needed where Tickr was given one, or told to ask for them; else it listens on loopback alone. "
    f"Each call names the scope that it needs: {SCOPES}, the last of which is all of them."
)

Name = Annotated[str, Meta(pattern=rf"\A(?:{QUEUE_PATTERN})\Z")]
Id = Annotated[str, Meta(pattern=rf"\A(?:{UUID})\Z")]
IN_PATHS: dict[str, tuple[str, Any]] = {
    "job_id": ("The id of the job.", Id),
    "operation_id": ("The id of the operation.", Id),
    "mark_id": ("The id of the mark.", Id),
    "token_id": ("The id of the token.", Annotated[str, Meta(pattern=rf"\A(?:{tokens.ID})\Z")]),
    "lease": ("The id of the lease.", Id),
    "node_id": ("The id of the node; `self`: the one that answers.", str),
    "name": ("Its name.", Name),
}
ALL_OR_NAME = Annotated[str, Meta(pattern=rf"\A(?:{QUEUE_PATTERN}|\*)\Z")]
READ: dict[str, tuple[str, Any]] = {
    "Idempotency-Key": (
        "The same request again under the same key gets the first answer again.",
        Annotated[str, Meta(min_length=1, max_length=2 * MAX_KEY_LENGTH + 2)],
    ),
    "If-Match": ("Only if it is still at this version: the `ETag` that was seen.", str),
    "If-None-Match": (
        "Only if it is not so any more: the `ETag` that was seen; with PUT `*`, if there is none yet.",
        str,
    ),
    "traceparent": ("The trace that it belongs to (W3C Trace Context).", str),
    "tracestate": ("More of the trace.", str),
    "Last-Event-ID": ("Where a stream of server-sent events goes on.", str),
}
"""Headers that calls read. ``Accept`` is none of them: OpenAPI has it in the media types of the answers."""
HEADERS: dict[str, tuple[str, Any]] = {
    "Location": ("Its path.", str),
    "ETag": ("Its version, for `If-Match` and `If-None-Match`.", str),
    "Idempotent-Replayed": ("`true`: it was answered, or stored, before.", str),
    "Tickr-Unique": ("`held`: the job is another, which holds the unique key.", str),
    "Retry-After": ("Seconds to wait.", int),
    "WWW-Authenticate": ("`Bearer`.", str),
}


def document(routes: Mapping[str, Route]) -> Schema:
    """Return the description of those of ``routes`` of which something is said. Its order does not change."""
    schemas = Schemas(WORDS, RAW)
    paths: dict[str, Schema] = {}
    problems: dict[str, Schema] = {}
    for name in CALLS:
        if name in routes:
            route = routes[name]
            paths.setdefault(_template(route.path), {})[route.method.lower()] = _operation(route, schemas, problems)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tickr",
            "version": version("tickr"),
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": ".", "description": "Where this document is."}],
        "tags": [
            {"name": group.name, "description": f"{group.about} More is in docs/{group.page}."} for group in GROUPS
        ],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": dict(sorted(problems.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": SECURITY}},
        },
    }


def _operation(route: Route, schemas: Schemas, problems: dict[str, Schema]) -> Schema:
    group, about = CALLS[route.name]
    open_ = is_open(route.path)
    needed = [] if route.scope is None else [route.scope.value]
    return {
        "operationId": route.name,
        "tags": [group.name],
        "summary": about.summary,
        **({"description": about.text} if about.text else {}),
        **({"parameters": said} if (said := [*_parameters(route, about, schemas)]) else {}),
        **({"requestBody": _body(about.body, schemas)} if about.body else {}),
        "responses": dict(sorted(_responses(route, about, schemas, problems, open_=open_))),
        "security": [] if open_ else [{"token": needed}],
    }


def _template(path: str) -> str:
    return re.sub(r"<(\w+)>", r"{\1}", path)


def _parameters(route: Route, about: About, schemas: Schemas) -> Iterator[Schema]:
    for name in re.findall(r"<(\w+)>", route.path):
        told, kind = IN_PATHS[name]
        if route.name in ("pause_queue", "resume_queue"):
            told, kind = f"{told} `*`: all queues.", ALL_OR_NAME
        yield {"name": name, "in": "path", "required": True, "description": told, "schema": schemas.of(kind)}
    for parameter in about.query:
        yield _in_query(parameter, schemas)
    for name in about.headers:
        if name in READ:
            told, kind = READ[name]
            yield {"name": name, "in": "header", "description": told, "schema": schemas.of(kind)}


def _in_query(parameter: Parameter, schemas: Schemas) -> Schema:
    schema = schemas.of(parameter.kind)
    if schema.get("type") == "object":
        return {
            "name": parameter.name,
            "in": "query",
            "description": parameter.about,
            "style": "form",
            "explode": True,
            "schema": schema,
        }
    if parameter.most != 1:
        schema = {"type": "array", "items": schema, **({"maxItems": parameter.most} if parameter.most else {})}
    if parameter.default is not None:
        schema = {**schema, "default": parameter.default}
    if schema.get("type") == "string" and parameter.rule:
        schema = {"description": f"{parameter.rule[0].upper()}{parameter.rule[1:]}.", **schema}
    return {"name": parameter.name, "in": "query", "description": parameter.about, "schema": schema}


def _body(body: Body, schemas: Schemas) -> Schema:
    examples = {name.replace(" ", "-"): {"summary": name, "value": value} for name, value in body.examples.items()}
    return {
        "required": body.required,
        "content": {"application/json": {"schema": schemas.of(body.kind), "examples": examples}},
    }


def _responses(
    route: Route, about: About, schemas: Schemas, problems: dict[str, Schema], *, open_: bool
) -> Iterator[tuple[str, Schema]]:
    """Yield the answers of a call by status; its problems are shared, and go to ``problems``."""
    answered = {answer.status for answer in about.answers}
    for answer in about.answers:
        yield str(answer.status), _answer(answer, schemas)
    for status, codes in problem_codes.codes_of(route, about, open_=open_).items():
        if status not in answered:
            name = "Original" if _is_original(route) else problem_codes.name_of(status, codes)
            if name not in problems:
                problems[name] = _problem(status, codes, schemas, original=_is_original(route))
            yield str(status), {"$ref": f"#/components/responses/{name}"}


def _is_original(route: Route) -> bool:
    return route.path.startswith("/api/v2/")


def _answer(answer: Answer, schemas: Schemas) -> Schema:
    said: Schema = {"description": answer.about, **_headers(answer.headers, schemas)}
    kinds = answer.kind if isinstance(answer.kind, tuple) else (answer.kind,)
    found = [schemas.of(kind) for kind in kinds if kind is not None]
    schema = found[0] if len(found) == 1 else {"anyOf": found}
    texts = {media: {"schema": {"type": "string"}} for media in answer.media}
    if found == [{"type": "string"}]:
        return {**said, "content": texts}
    return {**said, "content": {"application/json": {"schema": schema}, **texts}} if found else said


def _headers(names: Iterable[str], schemas: Schemas) -> Schema:
    told = {name: {"description": HEADERS[name][0], "schema": schemas.of(HEADERS[name][1])} for name in names}
    return {"headers": told} if told else {}


def _problem(status: int, codes: tuple[str, ...], schemas: Schemas, *, original: bool) -> Schema:
    if original:
        told = "Something went wrong, or was wrong with the request."
        headers = _headers(("Retry-After", "WWW-Authenticate"), schemas)
        return {"description": told, **headers, "content": {"application/json": {"schema": schemas.of(Envelope)}}}
    narrowed = {"properties": {"status": {"const": status}, "code": {"enum": list(codes)}}}
    return {
        "description": problem_codes.words_of(status, codes),
        **_headers(WITH_HEADERS.get(status, ()), schemas),
        "content": {"application/problem+json": {"schema": {"allOf": [schemas.of(ProblemDocument), narrowed]}}},
    }
