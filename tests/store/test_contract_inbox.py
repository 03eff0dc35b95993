"""The contract, for the inbox: rows that other programs have committed, in their order, until they are settled."""

from __future__ import annotations

import sqlite3
import uuid

import pytest

from tests.servers import mysql_execute
from tests.store.backends import SECOND, START, Backend, MysqlBackend, SqliteBackend, SteppedClock
from tests.store.inboxed import put_rows, rows_of, texts_of
from tickr.store.contract import RefusedRow, Store
from tickr.store.inbox import EXCERPT


async def test_rows_come_in_the_order_in_which_they_were_inserted(store: Store) -> None:
    first = await put_rows(store, *(f'{{"n": {n}}}' for n in range(5)))
    second = await put_rows(store, '{"last": true}')
    rows = await rows_of(store)
    assert [row.seq for row in rows] == first + second == sorted(first + second)
    assert [row.job for row in rows] == [*(b'{"n": %d}' % n for n in range(5)), b'{"last": true}']
    assert [row.size for row in rows] == [len(row.job or b"") for row in rows]
    assert [row.seq for row in await rows_of(store, 2)] == first[:2]
    assert await rows_of(store) == rows, "looking changes nothing"


async def test_an_empty_inbox_has_no_rows(store: Store) -> None:
    assert await rows_of(store) == []
    assert await store.inbox_refused(10) == []
    assert await store.prune_inbox(2 * START, 10) == 0


async def test_each_row_has_a_uuid_of_its_own(store: Store) -> None:
    await put_rows(store, *["{}"] * 200)
    ids = {row.id for row in await rows_of(store)}
    assert len(ids) == 200
    assert {str(uuid.UUID(one)) for one in ids} == ids


async def test_any_text_comes_back_as_it_was(store: Store) -> None:
    texts = ["", " ", "no JSON", "Ünïcödé \U0001f600 \\ ' \" \n\t", "x" * 70_000]
    await put_rows(store, *texts)
    assert await texts_of(store) == texts


async def test_a_page_ends_before_it_is_too_long_but_has_a_row_at_least(store: Store) -> None:
    seqs = await put_rows(store, "a" * 60, "b" * 30, "c" * 30, "d" * 30)
    assert [row.seq for row in await rows_of(store, max_bytes=100)] == seqs[:2]
    assert [row.seq for row in await rows_of(store, max_bytes=120)] == seqs[:3]
    assert [row.seq for row in await rows_of(store, max_bytes=1)] == seqs[:1]


async def test_a_row_that_is_too_long_is_not_read(store: Store) -> None:
    seqs = await put_rows(store, "short", "x" * 2_000_000, "after it")
    rows = await rows_of(store, max_bytes=1000, max_row_bytes=1000)
    assert [row.seq for row in rows] == seqs
    assert [(row.job, row.size) for row in rows] == [(b"short", 5), (None, 2_000_000), (b"after it", 8)]
    assert [row.job for row in await rows_of(store, max_row_bytes=5)] == [b"short", None, None]


async def test_bytes_are_counted_and_not_characters(store: Store) -> None:
    await put_rows(store, "ü" * 10)
    (row,) = await rows_of(store, max_row_bytes=19)
    assert (row.job, row.size) == (None, 20)


async def test_what_is_taken_is_gone_and_what_is_refused_is_kept(store: Store, clock: SteppedClock) -> None:
    one, two, three, four = await put_rows(store, "1", "2", "3", "4")
    clock.advance(5)
    assert await store.settle_inbox([one, three], {two: "why ü", four: "why not"}) == 2
    assert await rows_of(store) == []
    ids = [row.id for row in await store.inbox_refused(10)]
    at = START + 5 * SECOND
    assert await store.inbox_refused(10) == [
        RefusedRow(four, ids[0], "4", at, "why not"),
        RefusedRow(two, ids[1], "2", at, "why ü"),
    ]


@pytest.mark.parametrize("taken", [[], [1]])
async def test_settling_alone_either_way(store: Store, taken: list[int]) -> None:
    (seq,) = await put_rows(store, "{}")
    done = await store.settle_inbox([seq] if taken else [], {} if taken else {seq: "no"})
    assert done == len(taken)
    assert len(await store.inbox_refused(10)) == 1 - len(taken)


async def test_what_somebody_else_has_settled_is_passed_over(store: Store, clock: SteppedClock) -> None:
    one, two, three = await put_rows(store, "1", "2", "3")
    assert await store.settle_inbox([one], {two: "first"}) == 1
    clock.advance(1)
    assert await store.settle_inbox([one, three], {one: "gone", two: "second"}) == 1
    (kept,) = await store.inbox_refused(10)
    assert (kept.seq, kept.reason, kept.refused_at) == (two, "first", START)
    assert await store.settle_inbox([two], {}) == 1, "who has made it a job is right"
    assert await store.inbox_refused(10) == []


async def test_those_refused_last_come_first_and_only_the_beginning_is_shown(store: Store, clock: SteppedClock) -> None:
    for number in range(4):
        (seq,) = await put_rows(store, f"{number}" * 1000)
        await store.settle_inbox([], {seq: f"reason {number}"})
        clock.advance(1)
    assert [row.reason for row in await store.inbox_refused(3)] == ["reason 3", "reason 2", "reason 1"]
    assert [row.job for row in await store.inbox_refused(1)] == ["3" * EXCERPT]


async def test_a_refused_row_can_be_retried_in_its_old_place_or_dropped(store: Store) -> None:
    one, two = await put_rows(store, "1", "2")
    await store.settle_inbox([], {one: "no", two: "no"})
    (three,) = await put_rows(store, "3")
    assert await store.retry_inbox(one)
    assert [row.seq for row in await rows_of(store)] == [one, three]
    assert await store.drop_inbox(two)
    assert await store.inbox_refused(10) == []
    for seq in (one, two, three, 999):
        assert not await store.retry_inbox(seq)
        assert not await store.drop_inbox(seq), "only what was refused"
    assert await texts_of(store) == ["1", "3"]


async def test_refused_rows_are_pruned_the_oldest_first_and_never_those_that_wait(
    store: Store, clock: SteppedClock
) -> None:
    seqs = await put_rows(store, *"abcdef")
    for seq in seqs[:4]:
        await store.settle_inbox([], {seq: "no"})
        clock.advance(1)
    assert await store.prune_inbox(START, 10) == 0
    assert await store.prune_inbox(START + 3 * SECOND, 2) == 2
    assert [row.seq for row in await store.inbox_refused(10)] == [seqs[3], seqs[2]]
    assert await store.prune_inbox(START + 3 * SECOND, 2) == 1
    assert await store.prune_inbox(START + 60 * SECOND, 2) == 1
    assert await texts_of(store) == ["e", "f"]


async def test_rows_outlive_the_store_and_numbers_are_never_given_out_again(durable_backend: Backend) -> None:
    async with durable_backend.open() as store:
        *_, last = await put_rows(store, "1", "2")
        await store.settle_inbox([last], {})
    async with durable_backend.open() as store:
        assert await texts_of(store) == ["1"]
        await store.settle_inbox([row.seq for row in await rows_of(store)], {})
        (seq,) = await put_rows(store, "3")
        assert seq > last


async def test_a_program_needs_to_name_the_text_alone(durable_backend: Backend) -> None:
    async with durable_backend.open() as store:
        durable_backend.execute("INSERT INTO inbox (job) VALUES ('a'), ('b')")
        durable_backend.execute("INSERT INTO inbox (job) SELECT job FROM inbox ORDER BY seq")
        assert await texts_of(store) == ["a", "b", "a", "b"]
        assert len({row.id for row in await rows_of(store)}) == 4


# -- what only one of them has to fear --------------------------------------------------------------------------------


async def test_sqlite_text_that_is_no_text_stops_nobody(tmp_path: object) -> None:
    backend = SqliteBackend(tmp_path / "tickr.db")  # type: ignore[operator]
    async with backend.open() as store:
        backend.execute("INSERT INTO inbox (id, job) VALUES (CAST(x'ff' AS TEXT), CAST(x'7bff7d' AS TEXT))")
        backend.execute("INSERT INTO inbox (job) VALUES ('{}')")
        first, second = await rows_of(store)
        assert (first.id, first.job, second.job) == ("\ufffd", b"{\xff}", b"{}")
        await store.settle_inbox([second.seq], {first.seq: "no UTF-8"})
        (kept,) = await store.inbox_refused(10)
        assert kept.job == "{\ufffd}"
        with pytest.raises(sqlite3.IntegrityError):
            backend.execute("INSERT INTO inbox (job) VALUES (x'7b7d')")


@pytest.mark.slow
async def test_mysql_neither_sees_nor_waits_for_what_is_not_committed(mysql_url: str) -> None:
    """While another program's transaction is open, the rows before and behind its own are taken."""
    backend = MysqlBackend(mysql_url)
    async with backend.open() as other, backend.open() as store:
        assert hasattr(other, "_transactions")
        before = await put_rows(store, "before")

        async def in_between(tx: object) -> None:
            for _ in range(3):
                await tx.run("INSERT INTO inbox (job) VALUES ('open')")  # type: ignore[attr-defined]
            behind = await put_rows(store, "behind", "refused")
            assert await texts_of(store) == ["before", "behind", "refused"]
            assert await store.settle_inbox([*before, behind[0]], {behind[1]: "no"}) == 2
            assert await store.prune_inbox(2 * START, 10) == 1
            assert await rows_of(store) == []

        await other._transactions.run(in_between, within_s=10)
        assert await texts_of(store) == ["open"] * 3


@pytest.mark.slow
async def test_mysql_needs_no_other_right_than_to_insert(mysql_url: str) -> None:
    backend = MysqlBackend(mysql_url)
    database = mysql_url.rpartition("/")[2]
    async with backend.open() as store:
        if "WITH GRANT OPTION" not in str(mysql_execute(mysql_url, "SHOW GRANTS")):
            pytest.skip("the user of TICKR_TEST_MYSQL may give nobody rights")
        user = f"shop{uuid.uuid4().hex[:8]}"
        mysql_execute(mysql_url, f"CREATE USER {user}@'%' IDENTIFIED BY 'pw'")
        mysql_execute(mysql_url, f"GRANT INSERT ON {database}.inbox TO {user}@'%'")
        theirs = mysql_url.replace(mysql_url.split("//")[1].split("@")[0], f"{user}:pw").rpartition("/")[0]
        mysql_execute(theirs, f"INSERT INTO {database}.inbox (job) VALUES ('{{}}')")
        with pytest.raises(OSError, match="denied"):
            mysql_execute(theirs, f"DELETE FROM {database}.inbox")
        assert await texts_of(store) == ["{}"]
        mysql_execute(mysql_url, f"DROP USER {user}@'%'")
