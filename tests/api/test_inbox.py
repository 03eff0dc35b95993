"""``POST /inbox``, and what becomes of rows: read as strictly as ``POST /jobs``, taken once, refused with a reason."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.inboxes import SharedStore
from tests.api.site import Site, open_site
from tests.api.test_bodies import NOT_STRICT
from tests.store.backends import OOPS, end, start
from tickr import inbox_row
from tickr.api.inbox import MAX_REASON
from tickr.errors import SpecRejected, StoreError
from tickr.failpoints import FailpointError, armed
from tickr.store.memory import MemoryStore
from tickr.worker.handlers import Jobs


@pytest.fixture
def store() -> SharedStore:
    return SharedStore()


@pytest.fixture
async def site(store: SharedStore) -> AsyncIterator[Site]:
    async with open_site(store=store) as opened:
        yield opened


async def take(site: Site, taken: int = 0, refused: int = 0) -> None:
    """Have the inbox gone through, a turn after the other; what the net has taken meanwhile counts as well."""
    left = True
    while left:
        answer = await site.http.post("/inbox")
        assert answer.status_code == 200, answer.text
        assert answer.json().keys() == {"taken", "refused"}
        left = any(answer.json().values())
    store = site.store
    assert isinstance(store, SharedStore)
    assert len(await store.all_jobs()) == taken
    assert len(await store.reasons()) == refused
    assert len(store.ids()) == refused


# -- what is taken ----------------------------------------------------------------------------------------------------


async def test_a_row_becomes_a_job_under_its_id(site: Site, store: SharedStore) -> None:
    store.insert_row(type="mail", payload={"to": "é"}, priority=3, queue="q", labels={"a": "b"}, max_attempts=7)
    (job_id,) = store.ids()
    await take(site, taken=1)
    job = (await site.http.get(f"/jobs/{job_id}")).json()
    assert (job["type"], job["payload"], job["priority"], job["queue"]) == ("mail", {"to": "é"}, 3, "q")
    assert (job["labels"], job["max_attempts"], job["state"]) == ({"a": "b"}, 7, "ready")


async def test_the_answer_counts_what_this_node_has_done(site: Site, store: SharedStore) -> None:
    """The net may have been quicker; together it is each row once."""
    answers = []
    for _ in range(3):
        store.insert_row(type="a")
        store.insert_row("{")
        answers.append((await site.http.post("/inbox")).json())
    assert all(answer["taken"] <= 1 and answer["refused"] <= 1 for answer in answers)
    assert answers[1] == {"taken": 1, "refused": 1} or answers[2] == {"taken": 1, "refused": 1}
    await take(site, taken=3, refused=3)


async def test_an_id_in_the_text_goes_before_that_of_the_row(site: Site, store: SharedStore) -> None:
    chosen = str(uuid.uuid4())
    store.insert_row(type="a", id=chosen)
    await take(site, taken=1)
    store.insert_row(f'{{"type": "a", "id": "{chosen.upper()}"}}')
    await take(site, taken=1)
    store.insert_row(f'{{"type": "b", "id": "{chosen}"}}')
    await take(site, taken=1, refused=1)
    assert (await store.reasons())[0].startswith("duplicate_job: ")


async def test_a_program_may_set_the_id_of_the_row(site: Site, store: SharedStore) -> None:
    chosen = str(uuid.uuid4())
    store.insert_row('{"type": "a"}', id=chosen.upper())
    await take(site, taken=1)
    assert (await site.http.get(f"/jobs/{chosen}")).status_code == 200


async def test_jobs_that_are_due_at_once_are_due_in_the_order_of_their_rows(site: Site, store: SharedStore) -> None:
    for number in range(1200):
        store.insert_row(type="a", payload=number)
    await take(site, taken=1200)
    jobs = sorted(await store.all_jobs(), key=lambda job: job.run_at)
    assert [json.loads(job.payload) for job in jobs] == list(range(1200))
    assert all(job.run_at <= job.created_at for job in jobs)


async def test_delays_and_instants_are_kept(site: Site, store: SharedStore) -> None:
    store.insert_row(type="a", delay=3600)
    store.insert_row(type="b", run_at="2100-01-01T00:00:00Z")
    await take(site, taken=2)
    delayed, fixed = sorted(await store.all_jobs(), key=lambda job: job.type)
    assert delayed.run_at - delayed.created_at == 3600 * 1_000_000
    assert fixed.run_at == 4_102_444_800_000_000


async def test_the_defaults_of_handlers_count(store: SharedStore) -> None:
    async with open_site(store=store, defaults=eager) as site:
        store.insert_row(type="eager")
        await take(site, taken=1)
    (job,) = await store.all_jobs()
    assert job.max_attempts == 42


def eager(type_: str) -> Any:
    jobs = Jobs()

    @jobs.handler("eager", max_attempts=42, queue="own", priority=2, max_crashes=0)
    async def run() -> None: ...

    return jobs.get(type_)


# -- what is refused --------------------------------------------------------------------------------------------------

NOT_A_JOB = [
    "[]",
    "null",
    '"mail"',
    "{}",
    '{"type": ""}',
    '{"type": 7}',
    '{"type": "a", "colour": "red"}',
    '{"type": "a", "priority": 1.5}',
    '{"type": "a", "priority": 100}',
    '{"type": "a", "delay": -1}',
    '{"type": "a", "delay": 1, "run_at": "2100-01-01T00:00:00Z"}',
    '{"type": "a", "run_at": "yesterday"}',
    '{"type": "a", "id": "7"}',
    '{"type": "a", "unique": {"key": ""}}',
    '{"type": "a", "expires_at": "2001-01-01T00:00:00Z"}',
]


@pytest.mark.parametrize("text", [*(body for body, _ in NOT_STRICT), *(text.encode() for text in NOT_A_JOB)])
async def test_what_post_jobs_refuses_is_refused_with_the_same_words(
    text: bytes, site: Site, store: SharedStore
) -> None:
    answer = (await site.send(text)).json()
    store.insert_row(text)
    store.insert_row(type="behind")
    await take(site, taken=1, refused=1)
    (reason,) = await store.reasons()
    assert reason.startswith(f"{answer['code']}: ")
    for fault in answer.get("errors", []):
        assert f"{fault['pointer'] or 'the job'} {fault['detail']}"[:200] in reason
    assert len(reason) <= MAX_REASON


async def test_a_text_that_is_too_long_is_refused_unread(store: SharedStore) -> None:
    async with open_site(store=store, max_body=2000) as site:
        store.insert_row(type="a", payload="x" * 1900)
        store.insert_row(type="a", payload="x" * 2000)
        await take(site, taken=1, refused=1)
    assert (await store.reasons())[0].startswith("body_too_large: ")


@pytest.mark.parametrize("odd", ["", "7", "not a uuid", "\ufffd" * 36])
async def test_a_row_whose_id_is_none_is_refused_unless_the_text_has_one(
    odd: str, site: Site, store: SharedStore
) -> None:
    store.insert_row('{"type": "a"}', id=odd or " ")
    store.insert_row(f'{{"type": "a", "id": "{uuid.uuid4()}"}}', id=odd or " ")
    await take(site, taken=1, refused=1)
    assert "/id" in (await store.reasons())[0]


async def test_a_key_that_another_job_holds_refuses_and_retry_takes_it_later(site: Site, store: SharedStore) -> None:
    holder = (await site.post(type="a", unique={"key": "k"})).json()
    number = store.insert_row(type="b", unique={"key": "k", "on_conflict": "reject"})
    await take(site, taken=1, refused=1)
    assert (await store.reasons())[0].startswith("unique_conflict: ")
    job = await store.get(holder["id"])
    assert job is not None
    await end(store, (await start(store, job))[0], "failed", failure=OOPS)
    await store.retry_inbox(number)
    await take(site, taken=2)


async def test_unless_told_otherwise_the_job_that_holds_the_key_will_do(site: Site, store: SharedStore) -> None:
    for _ in range(3):
        store.insert_row(type="a", unique={"key": "k"})
    await take(site, taken=1)


async def test_of_rows_that_replace_each_other_the_last_stays(site: Site, store: SharedStore) -> None:
    for number in range(3):
        store.insert_row(type="a", payload=number, delay=60, unique={"key": "k", "on_conflict": "replace"})
    await take(site, taken=3)
    (kept,) = [job for job in await store.all_jobs() if job.state != "cancelled"]
    assert kept.payload == "2"


async def test_what_a_store_does_not_take_holds_up_nobody(store: SharedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    insert = MemoryStore.insert

    async def picky(self: MemoryStore, new: Any, **options: Any) -> Any:
        if any(one.type == "poison" for one in new):
            raise StoreError("odd")
        return await insert(self, new, **options)

    monkeypatch.setattr(SharedStore, "insert", picky)
    async with open_site(store=store) as site:
        for type_ in ("a", "poison", "b", "poison", "c"):
            store.insert_row(type=type_)
        await take(site, taken=3, refused=2)


# -- again ------------------------------------------------------------------------------------------------------------


async def test_who_dies_before_the_rows_are_deleted_makes_no_second_job(store: SharedStore) -> None:
    """By failpoint, and then read by a node whose handlers have other defaults."""

    async def die() -> None:
        raise FailpointError("inbox.after_submit")

    store.insert_row(type="eager")
    store.insert_row(type="plain", delay=60)
    store.insert_row(type="keyed", unique={"key": "k"})
    with pytest.raises(ExceptionGroup), armed("inbox.after_submit", die):
        async with open_site(store=store) as site:
            await site.http.post("/inbox")
    assert len(store.ids()) == len(await store.all_jobs()) == 3
    before = {job.id: job for job in await store.all_jobs()}
    async with open_site(store=store, defaults=eager) as site:
        await take(site, taken=3)
    assert {job.id: job for job in await store.all_jobs()} == before


# -- the call ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("store_", "settings"), [(MemoryStore(), {}), (SharedStore(), {"inbox": False})])
async def test_where_there_is_none_the_call_says_so(store_: MemoryStore, settings: dict[str, Any]) -> None:
    store_.put_in_inbox(b'{"type": "a"}')
    async with open_site(store=store_, **settings) as site:
        answer = await site.http.post("/inbox")
        assert (answer.status_code, answer.json()["code"]) == (404, "inbox_off")
        assert await site.rows() == []


async def test_the_call_takes_no_body_and_no_query(site: Site) -> None:
    assert (await site.send('{"now": true}', "/inbox")).status_code == 422
    assert (await site.http.post("/inbox?now=1")).status_code == 400
    assert (await site.http.get("/inbox")).status_code == 405


# -- for programs that insert -----------------------------------------------------------------------------------------


async def test_inbox_row_writes_what_is_taken(site: Site, store: SharedStore) -> None:
    store.insert_row(inbox_row("mail", {"to": "é"}, priority=2, delay=5))
    store.insert_row(inbox_row("plain"))
    await take(site, taken=2)
    mail, plain = sorted(await store.all_jobs(), key=lambda job: job.type)
    assert (mail.priority, json.loads(mail.payload), json.loads(plain.payload)) == (2, {"to": "é"}, {})


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [({"priority": 1.5}, "/priority"), ({"colour": "red"}, "/colour"), ({"delay": -1}, "/delay"), ({"id": "7"}, "/id")],
)
def test_inbox_row_refuses_before_anything_is_inserted(fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(SpecRejected) as refused:
        inbox_row("mail", **fields)
    assert refused.value.pointer == pointer
