"""The contract, for searches in payloads: the same jobs on every store, page by page, and never too much at once."""

from __future__ import annotations

import pytest

from tests.store.backends import SteppedClock, new_job, put, put_final, put_one, put_running
from tickr.envelopes import PREFIX
from tickr.jobs import Extras, Job, State
from tickr.store import search
from tickr.store.contract import Filter, Place, Store


def where(*values: tuple[str, str], parts: tuple[str, ...] = (), **more: object) -> Filter:
    return Filter(payload=values, payload_parts=parts, **more)  # type: ignore[arg-type]


async def pages(store: Store, which: Filter, limit: int = 100) -> list[list[Job]]:
    found: list[list[Job]] = []
    after: Place | None = None
    while not found or after is not None:
        before = after
        jobs, after = await store.list_jobs(which, limit=limit, before=before)
        assert len(jobs) <= limit
        assert after is None or before is None or after < before
        found.append(jobs)
    return found


async def ids(store: Store, which: Filter, limit: int = 100) -> list[str]:
    return [job.id for page in await pages(store, which, limit) for job in page]


PAYLOADS = (
    '{"customer": 7, "name": "Anna"}',
    '{"customer": "7", "name": "gr\\u00fc\\u00dfe"}',
    '{"customer": 12345678901234567890123, "order": {"items": [{"sku": "a-1"}]}}',
    '{"customer": 12345678901234567890124, "order": {"items": []}}',
    '["Anna", 7]',
    '"Anna"',
    "{}",
)
ASKED = [
    (where(("customer", "7")), [0, 1]),
    (where(("customer", '"7"')), [1]),
    (where(("customer", "12345678901234567890123")), [2]),
    (where(("order.items.0.sku", "a-1")), [2]),
    (where(("customer", "7"), ("customer", "12345678901234567890124")), [0, 1, 3]),
    (where(("customer", "7"), ("name", "Anna")), [0]),
    (where(("1", "7")), [4]),
    (where(parts=("Anna",)), [0, 4, 5]),
    (where(parts=("grüße",)), [1]),
    (where(("customer", "7"), parts=("Anna",)), [0]),
    (where(("customer", "8")), []),
]


async def test_the_same_are_found_everywhere(store: Store, clock: SteppedClock) -> None:
    jobs = []
    for payload in PAYLOADS:
        jobs.append(await put_one(store, payload=payload))
        clock.advance(1)
    for which, places in ASKED:
        expected = [jobs[n].id for n in reversed(places)]
        for limit in (1, 2, 100):
            assert await ids(store, which, limit) == expected, which


async def test_it_goes_together_with_the_other_conditions(store: Store, clock: SteppedClock) -> None:
    mine, other = {"payload": '{"n": 1}'}, {"payload": '{"n": 2}'}
    failed = await put_final(store, State.FAILED, **mine)
    await put_final(store, State.FAILED, **other)
    running, _ = await put_running(store, **mine), await put_running(store, **other)
    elsewhere = await put_one(store, "report", queue="q", labels='{"a":"b"}', **mine)
    assert await ids(store, where(("n", "1"), states=(State.FAILED,))) == [failed.id]
    assert await ids(store, where(("n", "1"), states=(State.RUNNING,), queues=("default",))) == [running.id]
    assert await ids(store, where(("n", "1"), queues=("q",), labels=(("a", "b"),))) == [elsewhere.id]
    assert await ids(store, where(("n", "2"), types=("report",))) == []
    assert await ids(store, where(("n", "1"), created_after=clock() + 1)) == []


async def test_a_page_looks_into_so_many_and_says_where_to_go_on(
    store: Store, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LOOK_INTO", 40)
    monkeypatch.setattr(search, "FIRST_READ", 8)
    first = await put_one(store, payload='{"n": 1}')
    clock.advance(1)
    await put(store, *(new_job(payload='{"n": 0}') for _ in range(99)))
    for states in ((), (State.READY,)):
        found = await pages(store, where(("n", "1"), states=states))
        assert [len(page) for page in found] == [0, 0, 1]
        assert found[-1][0].id == first.id


async def test_large_payloads_end_a_page_sooner(
    store: Store, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LOOK_INTO_BYTES", 50_000)
    monkeypatch.setattr(search, "FIRST_READ", 2)
    await put(store, *(new_job(payload=f'{{"n": "{"x" * 10_000}"}}') for _ in range(11)))
    assert [len(page) for page in await pages(store, where(parts=("xx",)))] == [5, 5, 1]
    assert [len(page) for page in await pages(store, where(parts=("yy",)))] == [0, 0, 0]


async def test_what_else_is_looked_through_counts_as_well(store: Store, clock: SteppedClock) -> None:
    await put(store, *(new_job(payload='{"n": 1}') for _ in range(5)))
    clock.advance(1)
    await put(store, *(new_job("report", payload='{"n": 1}') for _ in range(300)))
    found, after = await store.list_jobs(where(("n", "1"), types=("mail",)), limit=10, look_at=100)
    assert found == []
    assert after is not None
    assert len(await ids(store, where(("n", "1"), types=("mail",)))) == 5


async def test_what_is_encrypted_is_never_found(store: Store) -> None:
    await put_one(store, payload=f'{PREFIX}{{"customer":7}}', extras=Extras(sealed="k"))
    assert await ids(store, where(parts=("customer",))) == []
    assert await ids(store, where(("customer", "7"))) == []


async def test_a_count_is_of_those_alone_and_says_when_it_is_not_exact(
    store: Store, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        await put_final(store, State.FAILED, payload=f'{{"n": {n % 2}}}')
        await put_final(store, State.SUCCEEDED, payload='{"n": 0}')
    which = where(("n", "0"), states=(State.FAILED, State.SUCCEEDED))
    groups, exact = await store.tally(which)
    assert ([(one.state, one.count) for one in groups], exact) == ([(State.SUCCEEDED, 3), (State.FAILED, 2)], True)
    monkeypatch.setattr(search, "TALLY_INTO", 2)
    groups, exact = await store.tally(which)
    assert exact is False
    assert sum(one.count for one in groups) <= 2
