"""Holds what clients of a site say and hear against the description of the API: nothing happens that it does not tell.

An answer has a status, a body and headers that are described for its call; no field of it is unknown. A request that
was taken is one that the description allows. Schemas are compiled once in a process, when they are first needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import jsonschema_rs
import msgspec
from werkzeug.exceptions import HTTPException

from tickr.api import dashboard
from tickr.api.app import Edge
from tickr.api.description import described
from tickr.api.listing import IN_PAYLOAD
from tickr.api.openapi.document import HEADERS
from tickr.api.openapi.problem_codes import NEVER_REFUSED

Schema = dict[str, Any]


class Described:
    """The description of an API, to check exchanges against. Made once for all sites of a process, as all are alike."""

    def __init__(self, app: Edge) -> None:
        self.document = msgspec.json.decode(msgspec.json.encode(described(app)))
        self._closed = {name: _closed(one) for name, one in self.document["components"]["schemas"].items()}
        self.operations: dict[str, Schema] = {
            operation["operationId"]: operation
            for calls in self.document["paths"].values()
            for operation in calls.values()
        }

    @cache  # noqa: B019  one for the process
    def body_of(self, name: str) -> jsonschema_rs.Validator | None:
        """Return what the body of a request must pass; None: it takes none."""
        body = self.operations[name].get("requestBody")
        return self._validator(body["content"]["application/json"]["schema"]) if body else None

    @cache  # noqa: B019
    def answer_of(self, name: str, status: int, media: str) -> jsonschema_rs.Validator | None:
        """Return what the body of an answer must pass; None: any text. Raises: AssertionError: there is no such."""
        answer = self.response(name, status)
        content = answer.get("content", {})
        assert media in content, f"{name} answers {status} with {media}, and {[*content]} are described"
        schema = content[media]["schema"]
        return self._validator(schema) if media.endswith("json") else None

    def response(self, name: str, status: int) -> Schema:
        responses = self.operations[name]["responses"]
        assert str(status) in responses, f"{name} answers {status}, and {[*responses]} are described"
        found: Schema = responses[str(status)]
        if "$ref" in found:
            return self.document["components"]["responses"][found["$ref"].rpartition("/")[2]]  # type: ignore[no-any-return]
        return found

    def parameters(self, name: str, place: str) -> set[str]:
        return {one["name"] for one in self.operations[name].get("parameters", ()) if one["in"] == place}

    def _validator(self, schema: Schema) -> jsonschema_rs.Validator:
        whole = {**schema, "components": {"schemas": self._closed}}
        return jsonschema_rs.validator_for(whole, validate_formats=True)


def _closed(schema: Schema) -> Schema:
    """Return the schema of a record with no room for fields that it does not name."""
    return {"additionalProperties": False, **schema} if "properties" in schema else schema


_made: list[Described] = []


def description_of(app: Edge) -> Described:
    if not _made:
        _made.append(Described(app))
    return _made[0]


async def check(app: Edge, response: httpx2.Response) -> None:
    """Check an exchange. Raises: AssertionError."""
    request, told = response.request, description_of(app)
    name = endpoint_of(app, request.method, request.url.path)
    if name is None or name not in app.routes or request.method == "OPTIONS":
        return
    told.response(name, response.status_code)
    _check_headers(told, name, response)
    if response.is_success and request.method != "HEAD":
        _check_query(told, name, request)
    media = response.headers.get("content-type", "").partition(";")[0]
    if request.method == "HEAD" or (not media and not response.headers.get("content-length", "0").strip("0")):
        return
    validator = told.answer_of(name, response.status_code, media)
    if validator is None:
        return
    body = msgspec.json.decode(await response.aread())
    faults = [*_faults(validator, body)]
    assert not faults, f"{name} answered {response.status_code}: {faults}"
    if response.is_success and request.method != "GET" and not _is_refused_within(body):
        _check_body(told, name, request)


def endpoint_of(app: Edge, method: str, path: str) -> str | None:
    """Return the name of the call; None: there is none such, or it is a file of a page."""
    if dashboard.is_open(path):
        return None
    try:
        return str(app.url_map.bind("localhost").match(path, method, return_rule=True)[0].endpoint)
    except HTTPException:
        return None


def _check_headers(told: Described, name: str, response: httpx2.Response) -> None:
    described = {one.lower() for one in told.response(name, response.status_code).get("headers", {})}
    said = {one.lower() for one in HEADERS} & {one.lower() for one in response.headers}
    assert said <= described, f"{name} answers {response.status_code} with {said - described}"


def _check_query(told: Described, name: str, request: httpx2.Request) -> None:
    if told.operations[name]["security"] == [] and any(name == path[1:] for path in NEVER_REFUSED):
        return
    said = {one for one, _ in parse_qsl(request.url.query.decode("latin-1"), keep_blank_values=True)}
    known = told.parameters(name, "query")
    unknown = {one for one in said - known if not (one.startswith(IN_PAYLOAD) and IN_PAYLOAD in known)}
    assert not unknown, f"{name} takes {unknown}, which are not described"


def _check_body(told: Described, name: str, request: httpx2.Request) -> None:
    if {"content-encoding", "transfer-encoding"} & request.headers.keys() or request.content.strip() in (b"", b"{}"):
        return
    validator = told.body_of(name)
    assert validator is not None, f"{name} takes a body, and none is described: {request.content!r:.200}"
    faults = [*_faults(validator, msgspec.json.decode(request.content))]
    assert not faults, f"{name} took what is not described: {faults}"


def _is_refused_within(body: Any) -> bool:
    """Whether some of what was sent together was refused."""
    results = body.get("results", ()) if isinstance(body, dict) else ()
    return any(one["status"] >= 400 for one in results)


def _faults(validator: jsonschema_rs.Validator, body: Any) -> Iterator[str]:
    yield from (f"{'/'.join(map(str, one.instance_path))}: {one.message:.300}" for one in validator.iter_errors(body))
