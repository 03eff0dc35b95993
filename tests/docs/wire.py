"""``docs/asyncapi.yaml`` as the tests use it: the document, its schemas and its examples.

Comes in: what a server has sent. Goes out: ``fault``, the reason why the document does not allow it.
"""

from __future__ import annotations

import copy
import functools
import gzip
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import yaml

from tests.docs.pages import ROOT

FILE = ROOT / "docs" / "asyncapi.yaml"
OFFICIAL = ROOT / "tests" / "docs" / "asyncapi" / "asyncapi-3.0.0.json.gz"

SCHEMA_OF_FRAME = {
    "subscribed": "Subscribed",
    "events": "Events",
    "caught_up": "CaughtUp",
    "bookmark": "Bookmark",
    "error": "ErrorFrame",
}
"""The kinds of frames and the schemas that they have to fit."""


@functools.cache
def document() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text()))


@functools.cache
def official() -> jsonschema.Draft7Validator:
    """Return what says whether a document is AsyncAPI 3.0."""
    return jsonschema.Draft7Validator(json.loads(gzip.decompress(OFFICIAL.read_bytes())))


@functools.cache
def validator(reference: str) -> jsonschema.Draft7Validator:
    """Return what checks values by the schema at ``reference``, like ``#/components/schemas/Event``."""
    # The whole document is the schema's surroundings, in which its references are looked up.
    schema = {**document(), "allOf": [{"$ref": reference}]}
    return jsonschema.Draft7Validator(schema)


def fault(schema: str, value: Any) -> str | None:
    """Return why ``value`` is not what the schema of that name allows, or None."""
    found = jsonschema.exceptions.best_match(validator(f"#/components/schemas/{schema}").iter_errors(value))
    return found and f"{schema}/{'/'.join(map(str, found.absolute_path))}: {found.message}"


def fault_of_frame(text: str) -> str | None:
    """Return why the text of a websocket frame is not what the document says, or None."""
    frame = json.loads(text)
    schema = SCHEMA_OF_FRAME.get(frame.get("kind"))
    return fault(schema, frame) if schema else f"unknown kind of frame: {text[:200]}"


def messages() -> dict[str, dict[str, Any]]:
    return dict(document()["components"]["messages"])


def examples() -> Iterator[tuple[str, str, Any]]:
    """Yield (message, reference of its schema, payload) of every example."""
    for name, message in messages().items():
        for example in message["examples"]:
            yield name, message["payload"]["$ref"], copy.deepcopy(example["payload"])


def references(part: Any) -> Iterator[str]:
    """Yield every ``$ref`` below ``part``."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def at(reference: str) -> Any:
    """Return what ``#/…`` points to. Raises: KeyError: nothing."""
    found: Any = document()
    for word in reference.removeprefix("#/").split("/"):
        found = found[word]
    return found
