"""What a running Tickr says on ``GET /jobs/stream`` is what ``docs/asyncapi.yaml`` has of it."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from tests.api.site import Site, open_site
from tests.api.submitting import open_submitter
from tests.docs import wire
from tickr.api import event_socket, job_frames
from tickr.api.job_frames import Sent
from tickr.api.keys import UniqueWish
from tickr.api.problems import Problem
from tickr.errors import StoreUnavailable
from tickr.jobs import Job
from tickr.keys import MAX_KEY_LENGTH, MAX_UNIQUE_S, OnConflict
from tickr.store.memory import MemoryStore


class Away(MemoryStore):
    async def insert(self, new: Any, **how: Any) -> list[tuple[Job, bool]]:
        raise StoreUnavailable("gone", outcome_unknown=True)


async def answers_of(site: Site, *said: Any) -> list[dict[str, Any]]:
    async with open_submitter(site) as client:
        for one in said:
            await client.send(one)
        return await client.answers(len(said))


def fault(answer: dict[str, Any]) -> str | None:
    return wire.fault("RefusedJob" if "error" in answer else "StoredJob", answer)


async def test_answers_are_as_the_document_says() -> None:
    job = {"type": "a", "id": str(uuid.uuid4())}
    said = [
        {"ref": 1, **job},
        {"ref": "x", **job},
        {"ref": 2, **job, "type": "b"},
        {"type": "a"},
        {"ref": 3, "type": "a", "delay": 60},
        {"ref": 4, "type": "a", "payload": "\ud800"},
        {"ref": 5, "type": "a", "unique": {"key": "k"}},
        {"ref": 6, "type": "a", "unique": {"key": "k"}},
        {"ref": 7, "type": "a", "unique": {"key": "k", "on_conflict": "reject"}},
        7,
    ]
    async with open_site() as site:
        answers = await answers_of(site, *said)
    async with open_site(store=Away()) as site:
        answers += await answers_of(site, {"ref": 1, "type": "a"})
    assert len(answers) == len(said) + 1
    assert [found for answer in answers if (found := fault(answer))] == []


def test_the_fields_of_a_job_are_those_of_the_program() -> None:
    schema = wire.document()["components"]["schemas"]["SentJob"]
    fields = msgspec.structs.fields(Sent)
    assert set(schema["properties"]) == {field.name for field in fields}
    assert set(schema["required"]) == {field.name for field in fields if field.required}
    unique = wire.document()["components"]["schemas"]["Unique"]
    assert set(unique["properties"]) == {field.name for field in msgspec.structs.fields(UniqueWish)}
    assert unique["properties"]["key"]["maxLength"] == MAX_KEY_LENGTH
    assert unique["properties"]["until"]["oneOf"][1]["maximum"] == MAX_UNIQUE_S
    assert unique["properties"]["on_conflict"]["enum"] == list(OnConflict)
    shortest, longest = wire.document()["components"]["schemas"]["Ref"]["oneOf"]
    assert shortest["maxLength"] == job_frames.MAX_REF_LENGTH
    assert (longest["minimum"], longest["maximum"]) == (-(2**63), 2**63 - 1)


def test_the_close_codes_are_those_of_the_program() -> None:
    statuses = {"stopping": 503, "internal": 500, "too_many_listeners": 503}
    statuses |= {"invalid_parameter": 400, "forbidden": 403}
    for listed in wire.document()["channels"]["jobs"]["x-close-codes"]:
        for code in listed["errors"]:
            assert event_socket.close_code(Problem(statuses.get(code, 401), code, "")) == listed["code"]
