"""Keys on one MySQL between two nodes: who waits for whom, and that nobody else does."""

from __future__ import annotations

import pytest
import trio

from tests.servers import MariaDB, mysql_execute
from tests.store.backends import OOPS, assert_lawful, join, new_job, put_one, start, told, transactions_on
from tests.store.keyed import put_held, put_keyed, put_one_keyed, request, requested, unique_job, unique_of
from tests.waiting import eventually
from tickr.errors import StoreUnavailable, UniqueConflict
from tickr.jobs import FINAL, Job, NewJob, State
from tickr.reports import Outcome
from tickr.store.contract import MAX_BATCH, Fate, Filter, Keyed, Store
from tickr.store.mysql import open_mysql
from tickr.store.mysql_driver import Connection
from tickr.store.mysql_transactions import Transaction

ROUNDS, EACH = 12, 6
HOLD = "SELECT 1 FROM unique_keys WHERE name = %s FOR UPDATE"


async def at_once(stores: list[Store], *batches: list[NewJob]) -> list[list[Keyed]]:
    """Insert all ``batches`` at the same time, on the stores in turn, and return the answers."""
    answers: dict[int, list[Keyed]] = {}

    async def insert(number: int) -> None:
        answers[number] = await put_keyed(stores[number % len(stores)], *batches[number])

    async with trio.open_nursery() as nursery:
        for number in range(len(batches)):
            nursery.start_soon(insert, number)
    return [answers[number] for number in range(len(batches))]


async def test_of_many_with_one_key_one_is_stored(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as one, open_mysql(mysql_url) as other:
        for turn in range(ROUNDS):
            answers = await at_once([one, other], *([unique_job(f"key {turn}")] for _ in range(EACH)))
            assert sum(answer[1] for (answer,) in answers) == 1
            (job_id,) = {answer[0].id for (answer,) in answers}
            holder = await other.holder(unique_of(f"key {turn}"))
            assert holder is not None
            assert holder.id == job_id
        assert len((await one.list_jobs(Filter(), limit=1000)).jobs) == ROUNDS
        assert_lawful(await told(one))


async def test_of_many_under_one_idempotency_key_one_is_stored(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as one, open_mysql(mysql_url) as other:
        for turn in range(ROUNDS):
            answers = await at_once([one, other], *([requested(f"key {turn}")] for _ in range(EACH)))
            assert [answer.fate for (answer,) in answers] == [Fate.CREATED] * EACH
            assert sum(answer[1] for (answer,) in answers) == 1
            assert len({answer[0].id for (answer,) in answers}) == 1
        assert len((await one.list_jobs(Filter(), limit=1000)).jobs) == ROUNDS


async def test_of_many_that_replace_the_last_one_stays(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as one, open_mysql(mysql_url) as other:
        new = [[unique_job("key", on_conflict="replace")] for _ in range(EACH * ROUNDS)]
        answers = await at_once([one, other], *new)
        assert all(answer[1] for (answer,) in answers)
        jobs = (await one.list_jobs(Filter(), limit=1000)).jobs
        assert len(jobs) == EACH * ROUNDS
        (last,) = [job for job in jobs if job.state is State.READY]
        assert await one.holder(unique_of("key")) == last
        replaced = [answer.replaced.id for (answer,) in answers if answer.replaced]
        assert sorted(replaced) == sorted(job.id for job in jobs if job is not last)
        assert_lawful(await told(one))


async def test_batches_whose_keys_come_in_opposite_orders_both_get_through(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as one, open_mysql(mysql_url) as other:
        for turn in range(ROUNDS):
            names = [f"{turn} {number}" for number in range(40)]
            forth = [unique_job(name, on_conflict="replace") for name in names]
            back = [unique_job(name, on_conflict="replace") for name in reversed(names)]
            answers = await at_once([one, other], forth, back)
            assert all(answer[1] for batch in answers for answer in batch)
        jobs = (await one.list_jobs(Filter(), limit=10_000)).jobs
        assert sum(job.state is State.READY for job in jobs) == ROUNDS * 40
        assert sum(job.state is State.CANCELLED for job in jobs) == ROUNDS * 40
        assert_lawful(await told(one))


async def test_claims_and_replacements_at_the_same_time_settle_on_one(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as one, open_mysql(mysql_url) as other:
        await join(one, "n1")
        started: list[Job] = []

        async def claim() -> None:
            started.extend(await other.claim_due(10, node="n1", types=["mail"]))

        for _ in range(ROUNDS):
            await put_one_keyed(one, unique_job("key"))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(claim)
                answer = await put_one_keyed(one, unique_job("key", on_conflict="replace"))
            assert answer[1] or answer[0] == started[-1]
            await claim()
            alive = [job for job in (await one.list_jobs(Filter(), limit=1000)).jobs if job.state not in FINAL]
            assert [job.state for job in alive] == [State.RUNNING]
            await one.finish([Outcome(job=job, kind="failed", failure=OOPS) for job in started[-1:]])
        assert_lawful(await told(one))


async def test_running_again_and_being_submitted_at_the_same_time_settle_on_one(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as one, open_mysql(mysql_url) as other:
        first = await put_held(one, "key")
        await one.cancel(first.id)
        for _ in range(ROUNDS):
            again: list[Job] = []
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def redrive(again: list[Job] = again) -> None:
                    try:
                        again.append(await other.redrive(first.id))
                    except UniqueConflict:
                        return

                answer = await put_one_keyed(one, unique_job("key"))
            assert answer[1] == (not again)
            alive = [job for job in (await one.list_jobs(Filter(), limit=1000)).jobs if job.state not in FINAL]
            assert [job.id for job in alive] == [answer[0].id]
            await one.cancel(answer[0].id)
        assert_lawful(await told(one))


# -- locks ------------------------------------------------------------------------------------------------------------


async def test_nobody_waits_for_a_key_but_who_asks_for_it(mysql_url: str) -> None:
    async with (
        open_mysql(mysql_url, asked_within_s=1.0, worked_within_s=3) as store,
        transactions_on(mysql_url) as rival,
    ):
        (running,) = await start(store, await put_held(store, "key"))
        waiting = await put_held(store, "other", until_s=1)

        async def hold(tx: Transaction) -> None:
            await tx.run(HOLD, unique_of("key").name.encode())
            with trio.fail_after(0.9):
                await put_one(store)
                await put_held(store, "third")
                assert (await put_one_keyed(store, requested("key")))[1]
                assert await store.holder(unique_of("key")) == running
                assert await store.cancel(waiting.id)
                assert await store.prune_keys(100) == 0
                await store.finish([Outcome(job=running, kind="succeeded")])
            with pytest.raises(StoreUnavailable) as caught:
                await put_one_keyed(store, unique_job("key"))
            assert not caught.value.outcome_unknown

        await rival.run(hold, within_s=10)
        await put_held(store, "key")


async def test_keys_that_somebody_is_at_are_passed_over_when_old_ones_are_deleted(mysql_url: str) -> None:
    async with open_mysql(mysql_url, worked_within_s=3) as store, transactions_on(mysql_url) as rival:
        for name in ("a", "b", "c"):
            await put_held(store, name, until_s=0.000_001)

        async def hold(tx: Transaction) -> None:
            await tx.run(HOLD, unique_of("b").name.encode())
            assert await store.prune_keys(100) == 2

        await rival.run(hold, within_s=10)
        assert await store.prune_keys(100) == 1


async def test_who_waits_for_a_key_sees_what_became_of_it(mysql_url: str) -> None:
    waits = (
        "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'INSERT INTO unique%'"
    )
    async with open_mysql(mysql_url) as one, open_mysql(mysql_url) as other, transactions_on(mysql_url) as rival:
        first = await put_held(one, "key")
        answers: list[Keyed] = []

        async def second() -> None:
            answers.append(await put_one_keyed(other, unique_job("key")))

        async def waiting() -> bool:
            return await trio.to_thread.run_sync(mysql_execute, mysql_url, waits) == [["1"]]

        async with trio.open_nursery() as nursery:

            async def hold(tx: Transaction) -> None:
                await tx.run(HOLD, unique_of("key").name.encode())
                nursery.start_soon(second)
                await eventually(waiting)
                await one.cancel(first.id)

            await rival.run(hold, within_s=10)
        assert answers[0][1]


@pytest.mark.parametrize("mysql_private_server", [{"options": ["--max-allowed-packet=1M"]}], indirect=True)
async def test_many_long_keys_go_through_a_small_packet(mysql_private_server: MariaDB) -> None:
    async with open_mysql(mysql_private_server.url, asked_within_s=20) as store:
        names = [f"{number:04}{'ä' * 251}" for number in range(MAX_BATCH)]
        new = [unique_job(name, request=request("k" * 250, item=at)) for at, name in enumerate(names)]
        assert all(answer[1] for answer in await put_keyed(store, *new))
        again = [unique_job(name, request=request("k" * 250, item=at)) for at, name in enumerate(names)]
        assert all(answer.replayed for answer in await put_keyed(store, *again))
        held = await put_keyed(store, *(unique_job(name) for name in names))
        assert [answer[0].id for answer in held] == [one.id for one in new]


async def test_a_plain_job_sends_not_one_statement_more(mysql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    execute = Connection.execute

    async def recording(connection: Connection, sql: str, *parameters: object) -> object:
        sent.append(sql)
        return await execute(connection, sql, *parameters)  # type: ignore[arg-type]

    async with open_mysql(mysql_url) as store:
        await put_one(store)
        monkeypatch.setattr(Connection, "execute", recording)
        await put_one(store)
        await store.insert([new_job() for _ in range(50)])
    assert not [sql for sql in sent if "unique_keys" in sql]
    writes = [sql.split(" (")[0] for sql in sent if sql.startswith("INSERT")]
    assert writes == ["INSERT INTO jobs", "INSERT INTO events"] * 2
