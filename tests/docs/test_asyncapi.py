"""``docs/asyncapi.yaml`` is AsyncAPI 3.0, fits its own examples and refuses more, and lists what the program has.

What a running Tickr really sends is held against it in ``test_feed_on_the_wire.py``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs import feed, source, wire
from tickr import events, jobs, missed, schedules
from tickr.api import event_query, event_socket, event_stream, submission
from tickr.api.problems import Problem
from tickr.errors import CursorInvalid
from tickr.feed import cursor
from tickr.jobs import State

EXAMPLES = [pytest.param(reference, payload, id=name) for name, reference, payload in wire.examples()]
FREE = {"labels", "result", "payload"}
"""Members whose content is the user's."""
MAY_BE_LEFT_OUT = {"changed", "result", "dropped", "node", "errors", "replayed", "held"}
DATA = "/data/data"
"""What a handler has for a program to read: the user's, and it may be left out."""
OF_THE_STREAM_OF_JOBS = {"job", "stored", "refused"}

schemas: dict[str, Any] = wire.document()["components"]["schemas"]


# -- a good document --------------------------------------------------------------------------------------------------


def test_it_is_asyncapi() -> None:
    assert [
        f"{list(fault.absolute_path)}: {fault.message}" for fault in wire.official().iter_errors(wire.document())
    ] == []


@pytest.mark.parametrize("place", ["channels/websocket/bindings/ws/method", "components/schemas/Job/type", "asyncapi"])
def test_what_is_not_asyncapi_is_found(place: str) -> None:
    broken = copy.deepcopy(wire.document())
    *folders, last = place.split("/")
    part = broken
    for folder in folders:
        part = part[folder]
    part[last] = "unheard-of"
    assert not wire.official().is_valid(broken)


def test_every_reference_leads_somewhere_and_every_part_is_used() -> None:
    used = set(wire.references(wire.document()))
    for reference in used:
        wire.at(reference)
    parts = {
        f"#/components/{kind}/{name}"
        for kind in ("messages", "schemas")
        for name in wire.document()["components"][kind]
    }
    assert parts - used == {"#/components/schemas/Page"}, "the answer of a plain call is no message of a channel"


def test_the_channels_have_all_messages() -> None:
    channels = wire.document()["channels"]
    assert set(channels["websocket"]["messages"]) == set(wire.SCHEMA_OF_FRAME)
    assert set(channels["server_sent_events"]["messages"]) == feed.names() | {"stream_error"}
    assert set(channels["jobs"]["messages"]) == OF_THE_STREAM_OF_JOBS
    assert set(wire.messages()) == set(wire.SCHEMA_OF_FRAME) | feed.names() | {"stream_error"} | OF_THE_STREAM_OF_JOBS


# -- examples ---------------------------------------------------------------------------------------------------------


def test_every_message_has_an_example() -> None:
    assert [name for name, message in wire.messages().items() if not message.get("examples")] == []


@pytest.mark.parametrize(("reference", "payload"), EXAMPLES)
def test_an_example_fits_its_schema(reference: str, payload: Any) -> None:
    assert [fault.message for fault in wire.validator(reference).iter_errors(payload)] == []


@pytest.mark.parametrize(("reference", "payload"), EXAMPLES)
def test_nothing_may_be_added_to_an_example(reference: str, payload: Any) -> None:
    for place, part in objects(payload):
        part["made_up"] = 1
        assert not wire.validator(reference).is_valid(payload), f"{place}/made_up"
        del part["made_up"]


@pytest.mark.parametrize(("reference", "payload"), EXAMPLES)
def test_nothing_may_be_missing_in_an_example(reference: str, payload: Any) -> None:
    optional = MAY_BE_LEFT_OUT | ({"cursor"} if payload.get("kind") == "error" else set())
    for place, part in objects(payload):
        for name in set(part) - optional - ({"data"} if place == "/data" else set()):
            value = part.pop(name)
            assert not wire.validator(reference).is_valid(payload), f"{place}/{name}"
            part[name] = value


@pytest.mark.parametrize(("reference", "payload"), EXAMPLES)
def test_an_example_is_nothing_else(reference: str, payload: Any) -> None:
    others = {other for _, other, _ in wire.examples()} - {reference}
    assert [other for other in others if wire.validator(other).is_valid(payload)] == []


def objects(payload: dict[str, Any], place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, object) of every object in ``payload`` that is not the user's."""
    yield place, payload
    for name, value in payload.items():
        if name not in FREE and f"{place}/{name}" != DATA:
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict):
                    yield from objects(one, f"{place}/{name}")


# -- the program's words ----------------------------------------------------------------------------------------------


def test_the_words_are_those_of_the_program() -> None:
    assert schemas["State"]["enum"] == list(State)
    assert schemas["What"]["enum"] == list(events.NAMES)
    assert {edge.event for edge in feed.edges()} == set(events.CHANGES)
    assert set(schemas["Error"]["properties"]["kind"]["enum"]) == source.failure_kinds()


def test_the_close_codes_are_those_of_the_program() -> None:
    listed = wire.document()["channels"]["websocket"]["x-close-codes"]
    assert {one["code"]: set(one["errors"]) for one in listed} == feed.close_codes()
    assert len(listed) == len(feed.close_codes())
    assert set(schemas["ErrorCode"]["enum"]) == set().union(*feed.close_codes().values())


@pytest.mark.parametrize("ending", sorted(feed.endings(), key=lambda problem: problem.code), ids=lambda one: one.code)
def test_what_is_said_at_the_end_is_as_the_document_says(ending: Problem) -> None:
    assert wire.fault_of_frame(event_socket.error_frame(ending)) is None
    if ending.code not in event_stream._QUIET_ENDINGS:
        assert wire.fault("Problem", json.loads(ending.body())) is None


@pytest.mark.parametrize(
    "text",
    [
        cursor.write("5f0c2e9ab714", cursor.Place(10**18 - 1, 999_999)),
        cursor.write("5f0c2e9ab714", cursor.Place(0)),
        *("", "earliest", "5f0c2e9ab714", "5F0C2E9AB714.1", "5f0c2e9ab71.1", "5f0c2e9ab714.-1", "5f0c2e9ab714.1.2.3"),
        f"5f0c2e9ab714.{10**18}",
    ],
)
def test_a_cursor_is_what_the_program_takes_for_one(text: str) -> None:
    assert (wire.fault("Cursor", text) is None) == is_cursor(text)


def is_cursor(text: str) -> bool:
    try:
        cursor.read(text)
    except CursorInvalid:
        return False
    return True


def test_every_change_that_there_can_be_is_allowed_and_no_other() -> None:
    allowed = set()
    for name, reference, payload in wire.examples():
        if name in events.CHANGES:
            for previous in (None, *State):
                for state in State:
                    payload["data"] |= {"previous_state": previous, "job": payload["data"]["job"] | {"state": state}}
                    if wire.validator(reference).is_valid(payload):
                        allowed.add(feed.Edge(name, previous, state))
    assert allowed == feed.edges()


def test_the_limits_are_those_of_the_program() -> None:
    data = schemas["Succeeded"]["allOf"][1]["properties"]["data"]["properties"]
    assert data["result_bytes"]["minimum"] == events.MAX_RESULT_BYTES + 1
    assert schemas["Job"]["properties"]["max_attempts"]["maximum"] == jobs.MAX_ATTEMPTS
    assert schemas["Labels"]["maxProperties"] == submission.MAX_LABELS
    assert schemas["Page"]["properties"]["events"]["maxItems"] == event_query.MAX_LIMIT
    assert schemas["Schedule"]["properties"]["name"]["pattern"] == f"^{schedules.NAME_PATTERN}$"
    skipped = schemas["ScheduleSkipped"]["allOf"][1]["properties"]["data"]["properties"]
    assert skipped["count"]["maximum"] == missed.MOST_MISSED


def test_the_parameters_are_those_of_the_program() -> None:
    query = wire.document()["channels"]["websocket"]["bindings"]["ws"]["query"]
    assert set(query["properties"]) == {one.name for one in event_query.PARAMETERS}
    assert wire.document()["operations"]["tell_by_server_sent_events"]["bindings"]["http"]["query"] == query
