"""``docs/remote-workers.md`` lists what the calls take and answer, and their bounds, as the program has them."""

from __future__ import annotations

from typing import get_args, get_type_hints

import msgspec
import pytest

from tests.docs.pages import ROOT, code, table
from tickr.api import lease_request, leases, listener
from tickr.remote import beats, settle
from tickr.remote import leases as of_the_store
from tickr.worker import failures, notes, speech

TEXT = (ROOT / "docs" / "remote-workers.md").read_text()


def kib(size: int) -> str:
    return f"{size // 1024} KiB"


@pytest.mark.parametrize(
    ("column", "record"),
    [
        ("field of a poll", lease_request.PollBody),
        ("field of a job that is held", lease_request.HeldBody),
        ("field of an answer", leases.LeaseDocument),
        ("field of a success", lease_request.CompletedBody),
        ("field of a failure", lease_request.FailedBody),
    ],
)
def test_the_fields_are_those_of_the_program(column: str, record: type[msgspec.Struct]) -> None:
    shown = [name for row in table(TEXT, column) for name in code(row[0])]
    assert shown == [field.name for field in msgspec.structs.fields(record)]


def test_the_words_are_those_of_the_program() -> None:
    assert [code(row[0])[0] for row in table(TEXT, "`reason` of a stop")] == list(get_args(beats.Reason))
    statuses = get_args(get_type_hints(settle.Settled)["status"])
    assert [code(row[0])[0] for row in table(TEXT, "`status` of a report")] == list(statuses)
    (then,) = (row[2] for row in table(TEXT, "field of a failure") if code(row[0]) == ["then"])
    ways = set(get_args(settle.How)) - {"succeeded"}
    assert ways <= set(code(then))


def test_the_calls_are_those_of_the_program() -> None:
    shown = [code(row[0])[0] for row in table(TEXT, "call", "what it does")]
    assert shown == [
        "POST /leases",
        *(f"POST /leases/<lease>/{name}" for name in ("heartbeat", "complete", "fail")),
        "DELETE /leases/<lease>",
    ]


def test_the_limits_are_those_of_the_program() -> None:
    assert {row[0]: row[1] for row in table(TEXT, "what", "at most")} == {
        "leases": f"{of_the_store.MAX_LEASES:,}",
        "jobs in the answer to a poll, in a report": f"{lease_request.MAX_JOBS}",
        "jobs that are held": f"{lease_request.MAX_HELD:,}",
        "types of a lease; queues of a lease": f"{lease_request.MAX_NAMES}",
        "`name`": f"{lease_request.MAX_NAME} characters",
        "`wait`": f"{lease_request.MAX_WAIT_S} s",
        "lines of a job in a heartbeat, and events": f"{lease_request.MAX_LINES}",
        "such a line; `message` with `progress`": f"{notes.MAX_LOG_MESSAGE:,}, {notes.MAX_PROGRESS_MESSAGE} characters",
        "`data` with `progress`, and of an event": kib(speech.MAX_DATA_BYTES),
        "`error.message`; `error.traceback`": f"{kib(failures.MAX_MESSAGE_BYTES)}, {kib(failures.MAX_TRACEBACK_BYTES)}",
        "body of a report of successes": f"{leases.MAX_COMPLETE_BYTES // 1024**2} MiB",
        "payloads in an answer together, beyond the first": f"{beats.DOCUMENT_BYTES // 1024**2} MiB",
    }
    assert f"{listener.MAX_LISTENERS:,} for a process" in " ".join(TEXT.split())


def test_the_defaults_are_those_of_the_program() -> None:
    defaults = {code(row[0])[0]: row[1] for row in table(TEXT, "field of a poll")}
    fields = {field.name: field.default for field in msgspec.structs.fields(lease_request.PollBody)}
    assert {name: defaults[name] for name in ("max", "wait")} == {name: str(fields[name]) for name in ("max", "wait")}
    assert f"{beats.PATIENCE_US // 1_000_000} s later it is ended" in " ".join(TEXT.split())
