"""``POST /jobs``: what is taken, how it is shown, and what is refused without leaving a trace."""

from __future__ import annotations

import json
import uuid
from typing import Any

import msgspec
import pytest

import tickr
from tests.api.site import Site, open_site
from tickr.errors import StoreUnavailable
from tickr.jobs import Job, NewJob
from tickr.retry import Backoff
from tickr.store.memory import MemoryStore

ID = "0197A2C4-5b7e-7c3a-9f00-1d2e3f4a5b6c"
FIELDS = (
    *("id", "type", "queue", "priority", "state", "payload", "result", "error", "attempt", "max_attempts", "crashes"),
    "max_crashes",
    *("run_at", "expires_at", "keep", "created_at", "started_at", "finished_at", "node", "version", "labels"),
    *("limit_key", "unique", "progress", "progress_message", "progress_data", "traceparent", "schedule"),
    *("depends_on", "sequence", "parent", "encrypted", "encryption_key", "notice"),
)


async def test_a_type_is_enough(site: Site) -> None:
    answer = await site.post(type="email")
    job = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert answer.headers["etag"] == '"v1"'
    assert answer.headers["content-type"] == "application/json"
    assert tuple(job) == FIELDS
    assert uuid.UUID(job["id"]).version == 7
    created = job["created_at"]
    assert len(created) == len("2025-01-31T12:00:00.000000Z")
    assert created.endswith("Z")
    expected: dict[str, Any] = {"type": "email", "queue": "default", "priority": 5, "state": "ready", "payload": {}}
    expected |= {
        "attempt": 0,
        "max_attempts": 3,
        "crashes": 0,
        "max_crashes": 2,
        "run_at": created,
        "version": 1,
        "labels": {},
        "encrypted": False,
    }
    assert {name: value for name, value in job.items() if value is not None} == {
        **expected,
        "id": job["id"],
        "created_at": created,
    }


async def test_everything_that_can_be_said_is_stored(site: Site) -> None:
    answer = await site.post(
        type="report/weekly",
        payload=[1, None],
        queue="slow",
        priority=0,
        delay=1.5,
        max_attempts=7,
        timeout=0.25,
        backoff={"kind": "linear", "base": 3},
        labels={"b": "2", "a": "1"},
        id=ID,
    )
    assert answer.status_code == 201
    (job,) = await site.rows()
    assert job.id == ID.lower()
    assert (job.queue, job.priority, job.payload, job.max_attempts) == ("slow", 0, "[1,null]", 7)
    assert job.run_at - job.created_at == 1_500_000
    assert job.timeout_us == 250_000
    assert job.backoff == Backoff("linear", 3.0)
    assert job.labels == '{"a":"1","b":"2"}'
    assert answer.json()["labels"] == {"a": "1", "b": "2"}
    assert answer.json()["state"] == "scheduled"


@pytest.mark.parametrize("kind", ["constant", "linear", "exponential"])
async def test_the_kind_of_backoff_is_enough(site: Site, kind: str) -> None:
    assert (await site.post(type="a", backoff=kind)).status_code == 201
    assert (await site.rows())[0].backoff == Backoff(kind)  # type: ignore[arg-type]


async def test_the_payload_stays_as_it_was_written(site: Site) -> None:
    payload = '{"z":1,  "a": 12345678901234567890123, "é":"\\u00e9\\n\\ud83d\\ude00\\\\u0000", "f": 1.50, "o":{ } }'
    answer = await site.send('{"type":"a","payload": ' + payload + " }")
    assert answer.status_code == 201
    assert f'"payload":{payload},' in answer.text
    assert (await site.rows())[0].payload == payload
    assert f'"payload":{payload},' in (await site.http.get(answer.headers["location"])).text


@pytest.mark.parametrize("payload", ["null", "0", '"text"', "[]", "true", "-0.0"])
async def test_the_payload_may_be_any_json(site: Site, payload: str) -> None:
    assert (await site.send(f'{{"type":"a","payload":{payload}}}')).status_code == 201
    assert (await site.rows())[0].payload == payload


@pytest.mark.parametrize(
    ("run_at", "stored"),
    [
        ("2100-01-01T00:00:00Z", 4_102_444_800_000_000),
        ("2100-01-01T02:30:00.5+02:30", 4_102_444_800_500_000),
        ("1999-12-31T23:59:59-05:00", 946_702_799_000_000),
        ("0001-01-01T00:00:00+23:59", 0),
    ],
)
async def test_run_at_is_an_instant_and_the_past_is_at_once(site: Site, run_at: str, stored: int) -> None:
    answer = await site.post(type="a", run_at=run_at)
    assert answer.json()["state"] == ("scheduled" if run_at > "2099" else "ready")
    assert (await site.rows())[0].run_at == stored


class Wishes(msgspec.Struct, frozen=True):
    timeout: float | None = 30.0
    max_attempts: int | None = 9
    max_crashes: int | None = 0
    keep: float | None = 60.5
    queue: str | None = "quick"
    priority: int | None = 2
    unique: tickr.Unique | None = None
    backoff: Backoff | None = None


async def test_the_handlers_wishes_count_where_the_submission_says_nothing() -> None:
    async with open_site(defaults=lambda type: Wishes() if type == "known" else None) as site:
        await site.post(type="known", timeout=1, queue="mine")
        await site.post(type="known", priority=0)
        await site.post(type="unknown")
        jobs = [*reversed(await site.rows())]
        rows = [(job.timeout_us, job.max_attempts, job.max_crashes, job.backoff) for job in jobs]
        assert [(job.queue, job.priority) for job in jobs] == [("mine", 2), ("quick", 0), ("default", 5)]
        assert rows == [
            (1_000_000, 9, 0, Backoff()),
            (30_000_000, 9, 0, Backoff()),
            (3_600_000_000, 3, 2, Backoff()),
        ]


# -- the same id ----------------------------------------------------------------------------------------------------


async def test_an_id_that_is_stored_is_the_same_job_or_a_conflict(site: Site) -> None:
    first = await site.post(type="a", id=ID, delay=60)
    again = await site.post(type="a", id=ID.lower(), delay=60)
    other = await site.post(type="b", id=ID)
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == first.content
    assert (other.json()["code"], other.json()["job_id"]) == ("duplicate_job", ID.lower())
    assert len(await site.rows()) == 1


# -- what is refused ------------------------------------------------------------------------------------------------

FAULTY: list[tuple[str, list[str]]] = [
    ("{}", ["/type"]),
    ("[]", [""]),
    ('"a"', [""]),
    ("17", [""]),
    ("null", [""]),
    ('{"type":""}', ["/type"]),
    ('{"type":"a b"}', ["/type"]),
    ('{"type":"a\\n"}', ["/type"]),
    ('{"type":"é"}', ["/type"]),
    (json.dumps({"type": "a" * 129}), ["/type"]),
    ('{"type":null}', ["/type"]),
    ('{"type":17}', ["/type"]),
    ('{"type":"a","queue":"a|b"}', ["/queue"]),
    ('{"type":"a","queue":""}', ["/queue"]),
    ('{"type":"a","queue":null}', ["/queue"]),
    *((f'{{"type":"a","priority":{value}}}', ["/priority"]) for value in ("-1", "10", "5.0", '"5"', "true", "null")),
    ('{"type":"a","priority":' + "9" * 400 + "}", ["/priority"]),
    *((f'{{"type":"a","delay":{value}}}', ["/delay"]) for value in ("-1", "-1e-9", "3153600001", '"5"', "false", "[]")),
    ('{"type":"a","delay":' + "9" * 300 + "}", ["/delay"]),
    *((f'{{"type":"a","timeout":{value}}}', ["/timeout"]) for value in ("0", "-1", "2592001", "1e300", '"1"')),
    *((f'{{"type":"a","max_attempts":{value}}}', ["/max_attempts"]) for value in ("0", "1000001", "1.5", "true")),
    *(
        (f'{{"type":"a","run_at":{value}}}', ["/run_at"])
        for value in (
            '"2030-01-01T00:00:00"',
            '"2030-01-01"',
            '"soon"',
            "1900000000",
            '"2030-02-30T00:00:00Z"',
            '"2030-01-01T25:00:00Z"',
            '"9999-12-31T23:59:59Z"',
            '"2030-01-01T00:00:00+99:00"',
        )
    ),
    ('{"type":"a","delay":1,"run_at":"2030-01-01T00:00:00Z"}', ["/run_at"]),
    ('{"type":"a","backoff":"random"}', ["/backoff"]),
    ('{"type":"a","backoff":{"kind":"random"}}', ["/backoff/kind"]),
    ('{"type":"a","backoff":{"bas":1}}', ["/backoff"]),
    ('{"type":"a","backoff":{"base":-1,"jitter":2}}', ["/backoff/base", "/backoff/jitter"]),
    ('{"type":"a","labels":[]}', ["/labels"]),
    ('{"type":"a","labels":{"a b":"c"}}', ["/labels"]),
    ('{"type":"a","labels":{"a":1}}', ["/labels"]),
    (json.dumps({"type": "a", "labels": {"a": "v" * 257}}), ["/labels"]),
    (json.dumps({"type": "a", "labels": {f"n{n}": "" for n in range(17)}}), ["/labels"]),
    ('{"type":"a","id":"17"}', ["/id"]),
    ('{"type":"a","id":"0197a2c45b7e7c3a9f001d2e3f4a5b6c"}', ["/id"]),
    ('{"type":"a","id":"{0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c}"}', ["/id"]),
    ('{"type":"a","id":"0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c\\n"}', ["/id"]),
    ('{"type":"a","unique":"k"}', ["/unique"]),
    ('{"type":"a","depends_on":"0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"}', ["/depends_on"]),
    ('{"type":"a","depends_on":["17"]}', ["/depends_on/0"]),
    ('{"type":"a","a/b~c":1}', ["/a~1b~0c"]),
    ('{"tpye":"a","priority":11,"delay":-1}', ["/type", "/tpye", "/priority", "/delay"]),
    (
        '{"type":"!","delay":1,"run_at":"2030-01-01T00:00:00Z","backoff":{"base":-1}}',
        ["/type", "/run_at", "/backoff/base"],
    ),
]


@pytest.mark.parametrize(("body", "pointers"), FAULTY)
async def test_a_faulty_job_is_refused_with_every_fault_and_leaves_no_trace(
    site: Site, body: str, pointers: list[str]
) -> None:
    answer = await site.send(body)
    problem = answer.json()
    assert answer.status_code == 422, problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["code"], problem["type"]) == (422, "invalid_request", "about:blank")
    assert [fault["pointer"] for fault in problem["errors"]] == pointers
    assert all(fault["detail"] for fault in problem["errors"])
    assert await site.rows() == []


async def test_a_misspelt_field_is_told_what_was_meant(site: Site) -> None:
    problem = (await site.post(typ="a")).json()
    assert problem["errors"][1] == {"pointer": "/typ", "detail": 'is not known here; did you mean "type"?'}


async def test_a_query_is_refused(site: Site) -> None:
    answer = await site.send('{"type":"a"}', "/jobs?wait=30")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/wait")
    assert await site.rows() == []


# -- when it cannot be stored ---------------------------------------------------------------------------------------


class BrokenStore(MemoryStore):
    """A memory store that is away; with ``during_commit`` the job is stored but nobody is told."""

    def __init__(self, during_commit: bool) -> None:
        super().__init__()
        self.during_commit = during_commit

    async def insert(self, new: Any, **how: Any) -> list[tuple[Job, bool]]:
        if self.during_commit:
            await super().insert(new, **how)
        raise StoreUnavailable("gone", outcome_unknown=self.during_commit)


@pytest.mark.parametrize("during_commit", [False, True])
async def test_a_store_that_is_away_is_503_with_the_id_to_ask_again_with(during_commit: bool) -> None:
    async with open_site(store=BrokenStore(during_commit)) as site:
        answer = await site.post(type="a")
        problem = answer.json()
        assert answer.status_code == 503
        assert answer.headers["retry-after"].isdigit()
        assert (problem["code"], problem["outcome_unknown"]) == ("store_unavailable", during_commit)
        assert (await site.http.get(f"/jobs/{problem['job_id']}")).status_code == (200 if during_commit else 404)


async def test_a_full_intake_is_429(site: Site) -> None:
    site.context.intake.close()
    answer = await site.post(type="a")
    assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")
    assert answer.headers["retry-after"] == "1"
    assert await site.rows() == []


class BuggyStore(MemoryStore):
    async def insert(self, new: list[NewJob], **how: Any) -> list[tuple[Job, bool]]:  # type: ignore[override]
        raise ValueError("the secret is xyzzy")


async def test_what_nobody_foresaw_is_a_500_that_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async with open_site(store=BuggyStore()) as site:
        answer = await site.post(type="a")
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert "xyzzy" not in answer.text
        assert "ValueError" not in answer.text
        log = capsys.readouterr().out
        assert answer.json()["incident"] in log
        assert "the secret is xyzzy" in log
        compat = await site.send('{"jobtype":"a"}', "/api/v2/jobs")
        assert (compat.status_code, compat.json()["success"]) == (500, False)
