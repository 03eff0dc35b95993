"""What docs/event-feed.md lists is what the program has: events, fields, parameters, endings, limits."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tests.docs import feed, wire
from tests.docs.listeners import BROWSER, JAVASCRIPT, PAGE
from tests.docs.pages import PAGES, blocks, code, table
from tickr import events
from tickr.api import event_query, listener, protocol
from tickr.config import Config
from tickr.feed import delivery, subscription, tail
from tickr.feed.feed import PAGE_BYTES, PAGE_WITHIN_S
from tickr.worker import emitter, notes, speech

TEXT = PAGE.read_text()
schemas: dict[str, Any] = wire.document()["components"]["schemas"]


def size(count: int) -> str:
    assert count % 1024 == 0
    return f"{count // 1024} KiB"


# -- events -----------------------------------------------------------------------------------------------------------


def test_the_events_are_those_of_the_program() -> None:
    rows = table(TEXT, "event", "when", "previous states", "state")
    changes = set()
    for event, _, previous, after, _ in rows:
        (name,) = code(event)
        if name in events.NOTES:
            assert (previous, code(after)) == ("–", ["running"])
        else:
            before = [None] if previous == "null" else code(previous)
            changes |= {feed.Edge(name, *move) for move in product(before, code(after))}
    assert changes == feed.edges()
    others = [name for row in table(TEXT, "event of something else") for name in code(row[0])]
    assert [*dict.fromkeys(name for row in rows for name in code(row[0])), *others] == schemas["What"]["enum"]


def test_the_fields_of_an_event_are_those_of_its_schema() -> None:
    shown = {name: set(code(row[4])) for row in table(TEXT, "event", "when") for name in code(row[0])}
    shown |= {name: set(code(row[2])) for row in table(TEXT, "event of something else") for name in code(row[0])}
    for name, fields in shown.items():
        data = schemas[feed.schema_of(name)]["allOf"][1]["properties"]["data"]["properties"]
        thing = {"node"} if name.startswith("node.") else {"schedule", "queue", "operation"}
        beside = {"job", "previous_state", "encrypted", "encryption_key"}
        assert fields == set(data) - beside - thing, name


def test_the_members_of_an_event_are_those_of_its_schema() -> None:
    shown = {name for row in table(TEXT, "member", "what it holds") for name in code(row[0])}
    names = [one["$ref"].rpartition("/")[2] for one in wire.at("#/components/schemas/Event")["oneOf"]]
    others = ("Schedule", "Queue", "Operation", "Node")
    of_jobs = [f"#/components/schemas/{name}" for name in names if not name.startswith(others)]
    data = {name for one in of_jobs for name in fields_of(one)}
    assert shown == set(schemas["Change"]["properties"]) - {"data"} | {f"data.{name}" for name in data}


def fields_of(reference: str) -> set[str]:
    return set(wire.at(reference)["allOf"][1]["properties"]["data"]["properties"])


def test_the_kinds_of_frames_are_those_of_the_document() -> None:
    rows = table(TEXT, "`kind`", "when", "what it holds")
    assert [name for row in rows for name in code(row[0])] == list(wire.SCHEMA_OF_FRAME)
    for kind, _, holds in rows:
        required = set(schemas[wire.SCHEMA_OF_FRAME[code(kind)[0]]]["required"])
        assert set(code(holds)) == required - {"kind"}


# -- asking and ending ------------------------------------------------------------------------------------------------


def test_the_parameters_are_those_of_the_program() -> None:
    rows = table(TEXT, "parameter", "what it says")
    shown = {name for row in rows for name in code(row[0])}
    assert shown == {"limit", *(one.name for one in event_query.PARAMETERS)}
    assert f"1 to {event_query.MAX_LIMIT}; {event_query.DEFAULT_LIMIT} if not given" in rows[-1][1]


def test_the_endings_are_those_of_the_program() -> None:
    codes: dict[int, set[str]] = {}
    statuses = set()
    for close_code, status, names, *_ in table(TEXT, "close code", "status", "`code`"):
        codes.setdefault(int(close_code), set()).update(code(names))
        statuses |= {(int(status), name) for name in code(names)}
    assert codes == feed.close_codes()
    assert statuses == {(problem.status, problem.code) for problem in feed.endings()}


# -- clients ----------------------------------------------------------------------------------------------------------


def test_what_is_written_in_javascript_is_run() -> None:
    """In ``test_feed_clients.py``; other pages run theirs by their own commands, in ``test_examples.py``."""
    for page in PAGES:
        text = page.read_text()
        for one in (block for block in blocks(text) if block.language == "javascript"):
            assert one.file in (JAVASCRIPT, BROWSER) or f"$ node {one.file}" in text, f"{page.name}: {one.file}"


# -- figures ----------------------------------------------------------------------------------------------------------

LIMITS = {
    "events in a frame": f"{delivery.MAX_EVENTS}; fewer if they are long, at about {size(delivery.MAX_BYTES)}",
    "events on a page": f"{event_query.MAX_LIMIT:,}; fewer if they are long, at about {size(PAGE_BYTES)}, "
    f"or take more than {PAGE_WITHIN_S * 1000:g} ms to find",
    "values of one filter": f"{event_query.MAX_VALUES}",
    "waiting for one client": f"{subscription.MAX_PENDING} deliveries, {size(subscription.MAX_PENDING_BYTES)}",
    f"time for a client to take {size(protocol.PIECE_BYTES)}": f"{protocol.SEND_WITHIN_S:g} s",
    "time between two signs of life": f"{subscription.BOOKMARK_S:g} s",
    "listeners of one process": f"{listener.MAX_LISTENERS:,}",
    "a result in its event": size(events.MAX_RESULT_BYTES),
    "`progress` and `log` of an attempt": f"{notes.KEPT_A_SECOND} in a second",
    "`message` of `progress`": f"{notes.MAX_PROGRESS_MESSAGE} characters",
    "`data` of `progress` and `emitted`": size(speech.MAX_DATA_BYTES),
    "`emitted` by an attempt": f"{emitter.EMITTED_A_SECOND} in a second; the next ones wait",
    "`name` of `emitted`": "100 characters",
    "`message` of `log`": f"{notes.MAX_LOG_MESSAGE:,} characters",
    "time until an event is told without the bell": f"{tail.POLL_S:g} s",
}


def test_the_limits_are_those_of_the_program() -> None:
    assert {row[0]: row[1] for row in table(TEXT, "what", "at most")} == LIMITS


@pytest.mark.parametrize(
    "said",
    [
        f"(up to {event_query.MAX_VALUES})",
        f"a result longer than {size(events.MAX_RESULT_BYTES)}",
        f"at most {notes.KEPT_A_SECOND} such events in any second",
        f"{notes.MAX_PROGRESS_MESSAGE} characters with `progress` and at {notes.MAX_LOG_MESSAGE:,} with `log`",
        f"`--events-keep` ({Config().events_keep / 3600:g} h by default",
    ],
)
def test_the_text_says_what_the_table_says(said: str) -> None:
    assert said in " ".join(TEXT.split())
