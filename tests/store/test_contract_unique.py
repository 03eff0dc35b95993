"""The contract: unique keys. Who holds one, until when, and what a second submission comes to."""

from __future__ import annotations

import pytest

from tests.store.backends import (
    SECOND,
    SteppedClock,
    a_node,
    assert_lawful,
    end,
    join,
    new_id,
    new_job,
    put_one,
    start,
    told,
    told_of,
)
from tests.store.keyed import put_held, put_keyed, put_one_keyed, unique_job, unique_of
from tickr.errors import DuplicateJob, IllegalTransition, UniqueConflict, VersionMismatch
from tickr.jobs import FINAL, Job, State
from tickr.store.contract import MAX_BATCH, Fate, Filter, Keyed, Start, Store
from tickr.store.keys import refusal

KEY = "invoice 42 / März"
NEVER = 2**62


async def finish(store: Store, job: Job, state: State) -> Job:
    if state is State.CANCELLED:
        return await store.cancel(job.id)
    (running,) = await start(store, job)
    after = await end(store, running, state.value)
    assert after is not None
    return after


async def jobs_with_the_key(store: Store) -> list[Job]:
    return (await store.list_jobs(Filter(), limit=100)).jobs


async def test_the_key_is_on_the_job_and_the_job_is_the_holder(store: Store) -> None:
    job = await put_held(store, KEY, until_s=1.5, payload='{"a": 1}')
    assert job.extras.unique == unique_of(KEY, 1.5)
    assert await store.get(job.id) == job == await store.holder(unique_of(KEY))
    assert await store.holder(unique_of("another")) is None
    assert await told_of(store, job) == ["created"]


@pytest.mark.parametrize("on_conflict", ["return", "reject"])
async def test_a_second_job_is_not_stored_beside_one_that_waits_or_runs(store: Store, on_conflict: str) -> None:
    first = await put_held(store, KEY, delay_us=SECOND)
    second = unique_job(KEY, on_conflict=on_conflict, payload='{"other": 1}', queue="elsewhere")
    answer = await put_one_keyed(store, second)
    assert (*answer, answer.fate, answer.replayed, answer.replaced) == (first, False, Fate.HELD, False, None)
    refused = refusal(second, answer)
    assert (refused is None) == (on_conflict == "return")
    if isinstance(refused, UniqueConflict):
        assert (refused.job_id, refused.refused) == (first.id, second.id)
    assert await store.get(second.id) is None
    assert "elsewhere" not in await store.queue_names()
    assert len(await told(store)) == 1


async def test_one_that_runs_or_waits_for_its_next_attempt_holds_the_key(store: Store) -> None:
    (running,) = await start(store, await put_held(store, KEY))
    assert (await put_one_keyed(store, unique_job(KEY)))[0] == running
    retrying = await end(store, running, "retried", delay_us=SECOND)
    assert (await put_one_keyed(store, unique_job(KEY)))[0] == retrying
    assert await jobs_with_the_key(store) == [retrying]


@pytest.mark.parametrize("state", sorted(FINAL))
async def test_a_job_that_has_ended_does_not_hold_the_key(store: Store, state: State) -> None:
    first = await put_held(store, KEY)
    await finish(store, first, state)
    assert await store.holder(unique_of(KEY)) is None
    second = await put_held(store, KEY)
    assert second.id != first.id
    assert await store.holder(unique_of(KEY)) == second


async def test_one_whose_node_was_lost_too_often_does_not_hold_the_key(store: Store) -> None:
    job = await put_held(store, KEY)
    for turn in range(3):
        await start(store, job, node=f"n{turn}")
        await store.deregister(f"n{turn}")
        (job,) = await store.reap(10)
        assert (await store.holder(unique_of(KEY)) is None) == (job.state is State.FAILED)
    await put_held(store, KEY)


async def test_one_that_was_deleted_does_not_hold_the_key(store: Store, clock: SteppedClock) -> None:
    for until_s in (None, 1_000_000):
        first = await put_held(store, KEY, until_s=until_s)
        await finish(store, first, State.SUCCEEDED)
        clock.advance(1)
        assert (await store.prune_jobs(State.SUCCEEDED, clock(), MAX_BATCH)).deleted == 1
        assert await store.holder(unique_of(KEY)) is None
        second = await put_held(store, KEY, until_s=until_s)
        await finish(store, second, State.CANCELLED)
        clock.advance(1_000_000)


async def test_an_id_that_was_given_out_again_does_not_hold_what_it_held(store: Store, clock: SteppedClock) -> None:
    first = await put_held(store, KEY)
    await finish(store, first, State.SUCCEEDED)
    clock.advance(1)
    await store.prune_jobs(State.SUCCEEDED, clock(), MAX_BATCH)
    await put_one(store, id=first.id)
    assert await store.holder(unique_of(KEY)) is None
    await put_held(store, KEY)


async def test_for_a_time_means_from_the_creation_and_whether_it_has_ended_or_not(
    store: Store, clock: SteppedClock
) -> None:
    first = await put_held(store, KEY, until_s=10, delay_us=5 * SECOND)
    clock.advance(6)
    ended = await finish(store, first, State.SUCCEEDED)
    clock.now += 4 * SECOND - 1
    assert (await put_one_keyed(store, unique_job(KEY)))[0] == ended == await store.holder(unique_of(KEY))
    clock.now += 1
    assert await store.holder(unique_of(KEY)) is None
    second = await put_held(store, KEY, until_s=10)
    clock.advance(10)  # it waits still
    third = await put_held(store, KEY)
    assert {job.id for job in await jobs_with_the_key(store)} == {first.id, second.id, third.id}


async def test_until_it_is_started_one_runs_and_one_more_waits(store: Store, clock: SteppedClock) -> None:
    first, second, third = (unique_job("k", until_started=True) for _ in range(3))
    ((job, created),) = await store.insert([first])
    assert created
    assert await store.insert([second]) == [Keyed(job, Fate.HELD)]
    (running,) = await start(store, job)
    ((waiting, created),) = await store.insert([second])
    assert created
    assert await store.insert([third]) == [Keyed(waiting, Fate.HELD)]
    await end(store, running, "retried")  # it waits again, and does not take the key from the other
    assert (await store.holder(unique_of("k"))) == waiting
    assert (await store.cancel(waiting.id)).state == State.CANCELLED
    assert await store.holder(unique_of("k")) is None
    await store.cancel(job.id)
    assert (await store.redrive(job.id)).state == State.READY
    ((_, created),) = await store.insert([third])
    assert created


async def test_how_long_a_key_is_held_is_up_to_its_holder(store: Store, clock: SteppedClock) -> None:
    first = await put_held(store, KEY)
    clock.advance(1_000)
    assert (await put_one_keyed(store, unique_job(KEY, until_s=1)))[0] == first


async def test_keys_are_compared_to_the_letter(store: Store) -> None:
    names = ["a", "A", "a ", "á", "u:a", "i:a", "x" * 255, "x" * 254, "漢" * 255, "漢" * 254 + "字", "'\\%s", "\n"]
    jobs = [await put_held(store, name) for name in names]
    assert [await store.holder(unique_of(name)) for name in names] == jobs


# -- replace --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.READY, State.RETRYING])
async def test_one_that_waits_is_cancelled_for_the_new_one(store: Store, state: State, clock: SteppedClock) -> None:
    first = await put_held(store, KEY, delay_us=SECOND, payload="1")
    clock.advance(1)
    if state is State.RETRYING:
        (running,) = await start(store, first)
        after = await end(store, running, "retried", delay_us=SECOND)
        assert after is not None
        first = after
    new = unique_job(KEY, on_conflict="replace", payload="2")
    answer = await put_one_keyed(store, new)
    assert (answer[0].id, answer[1], answer.fate) == (new.id, True, Fate.CREATED)
    assert answer.replaced == await store.get(first.id)
    assert answer.replaced.state is State.CANCELLED
    assert answer.replaced.version == first.version + 1
    assert answer.replaced.finished_at == clock()
    error = answer.replaced.error
    assert error is not None
    assert error.kind == "replaced"
    assert new.id in error.message
    assert await store.holder(unique_of(KEY)) == answer[0] == await store.get(new.id)
    last = (await told(store))[-1]
    assert [(event.what, event.job) for event in last] == [("cancelled", first.id), ("created", new.id)]
    assert last[0].error == error
    assert_lawful(await told(store))


async def test_one_that_runs_is_not_replaced(store: Store) -> None:
    (running,) = await start(store, await put_held(store, KEY))
    new = unique_job(KEY, on_conflict="replace")
    answer = await put_one_keyed(store, new)
    assert (*answer, answer.fate) == (running, False, Fate.HELD)
    assert isinstance(refusal(new, answer), UniqueConflict)
    assert await store.get(running.id) == running
    assert await store.get(new.id) is None


async def test_one_that_has_ended_gives_its_time_to_one_that_replaces(store: Store, clock: SteppedClock) -> None:
    first = await put_held(store, KEY, until_s=100)
    ended = await finish(store, first, State.SUCCEEDED)
    answer = await put_one_keyed(store, unique_job(KEY, until_s=100, on_conflict="replace"))
    assert (answer[1], answer.fate, answer.replaced) == (True, Fate.CREATED, None)
    assert await store.get(first.id) == ended
    clock.advance(99)
    assert await store.holder(unique_of(KEY)) == answer[0]


async def test_what_was_replaced_stays_cancelled_and_is_claimed_by_nobody(store: Store) -> None:
    first = await put_held(store, KEY)
    answer = await put_one_keyed(store, unique_job(KEY, on_conflict="replace"))
    await join(store, "n1")
    claimed = await store.claim([first.id, answer[0].id], node="n1", types=["mail"])
    assert [job.id for job in claimed] == [answer[0].id]


# -- several at once ------------------------------------------------------------------------------------------------


async def test_those_of_one_batch_are_dealt_with_one_after_the_other(store: Store) -> None:
    new = [
        unique_job("a", payload="1"),
        unique_job("a", payload="2"),
        new_job(),
        unique_job("a", payload="3", on_conflict="replace"),
        unique_job("b"),
        unique_job("a", payload="4", on_conflict="reject"),
    ]
    answers = await store.insert(new)
    assert [created for _, created in answers] == [True, False, True, True, True, False]
    first, second, _, third, _, fourth = [job for job, _ in answers]
    assert (first.id, second.id, fourth.id) == (new[0].id, new[0].id, third.id)
    assert answers[3].replaced == await store.get(first.id)  # type: ignore[attr-defined]
    states = {job.id: job.state for job in await jobs_with_the_key(store)}
    assert states == {
        new[0].id: State.CANCELLED, new[2].id: State.READY, new[3].id: State.READY, new[4].id: State.READY,
    }  # fmt: skip
    (commit,) = await told(store)
    assert [event.what for event in commit] == ["created", "created", "cancelled", "created", "created"]
    assert_lawful([commit])


async def test_many_in_one_batch(store: Store) -> None:
    new = [unique_job(f"key {number % 400}") for number in range(MAX_BATCH)]
    answers = await put_keyed(store, *new)
    assert [answer[1] for answer in answers] == [number < 400 for number in range(MAX_BATCH)]
    assert [answer[0].id for answer in answers[400:]] == [new[number % 400].id for number in range(400, MAX_BATCH)]
    replacing = [unique_job(f"key {number % 400}", on_conflict="replace") for number in range(MAX_BATCH)]
    assert all(answer[1] and answer.replaced for answer in await put_keyed(store, *replacing))
    assert_lawful(await told(store))


async def test_a_whole_is_refused_for_one_that_is_not_to_be_stored(store: Store) -> None:
    held = await put_held(store, "taken")
    new = [unique_job("free"), unique_job("taken", on_conflict="reject"), new_job()]
    with pytest.raises(UniqueConflict) as refused:
        await store.insert(new, whole=True)
    assert (refused.value.job_id, refused.value.refused) == (held.id, new[1].id)
    assert await store.holder(unique_of("free")) is None
    assert await jobs_with_the_key(store) == [held]
    answers = await store.insert([unique_job("free"), unique_job("taken"), new_job()], whole=True)
    assert [created for _, created in answers] == [True, False, True]


async def test_a_whole_that_cancels_and_is_refused_cancels_nothing(store: Store) -> None:
    held = await put_held(store, "taken")
    stored = await put_one(store, payload="1")
    with pytest.raises(DuplicateJob):
        await store.insert([unique_job("taken", on_conflict="replace"), new_job(id=stored.id, payload="2")], whole=True)
    assert await store.get(held.id) == held == await store.holder(unique_of("taken"))


# -- the id -----------------------------------------------------------------------------------------------------------


async def test_an_id_that_is_stored_is_that_job_whoever_holds_the_key(store: Store) -> None:
    new = unique_job(KEY)
    await put_keyed(store, new)
    again = await put_one_keyed(store, new)
    assert (again[0].id, again[1], again.fate) == (new.id, False, Fate.SAME)
    await finish(store, again[0], State.SUCCEEDED)
    other = await put_held(store, KEY)
    late = await put_one_keyed(store, new)
    assert (late[0].id, late[0].state, late.fate) == (new.id, State.SUCCEEDED, Fate.SAME)
    assert await store.holder(unique_of(KEY)) == other


async def test_a_stored_id_takes_no_key(store: Store) -> None:
    stored = await put_one(store)
    answer = await put_one_keyed(store, unique_job(KEY, id=stored.id))
    assert (answer[0], answer.fate) == (stored, Fate.SAME)
    assert await store.holder(unique_of(KEY)) is None
    with pytest.raises(DuplicateJob):  # the key is part of what was said
        await store.insert([unique_job(KEY, id=stored.id)], whole=True)


# -- starts -----------------------------------------------------------------------------------------------------------


async def test_one_that_gets_its_key_may_start_at_once_and_one_that_does_not_does_not(store: Store) -> None:
    await store.register(a_node(id="n1"), lease_s=15)
    waits = await put_held(store, "waits")
    gets, takes, held = unique_job("free"), unique_job("waits", on_conflict="replace"), unique_job("free")
    answers = await put_keyed(store, gets, takes, held, start=Start("n1", frozenset([gets.id, takes.id, held.id])))
    assert [(answer[0].state, answer[1]) for answer in answers] == [
        (State.RUNNING, True), (State.RUNNING, True), (State.RUNNING, False),
    ]  # fmt: skip
    running = await store.heartbeat("n1", lease_s=15)
    assert {one.id for one in running or []} == {gets.id, takes.id}
    assert (await store.still_waiting([waits.id])) == []
    assert_lawful(await told(store))


async def test_for_a_node_without_a_row_it_is_stored_and_waits(store: Store) -> None:
    new = unique_job(KEY)
    answer = await put_one_keyed(store, new, start=Start("gone", frozenset([new.id])))
    assert (answer[0].state, answer[1]) == (State.READY, True)
    assert await store.holder(unique_of(KEY)) == answer[0]


# -- running again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pruned", [False, True])
async def test_one_that_runs_again_has_its_key_again(store: Store, clock: SteppedClock, pruned: bool) -> None:
    first = await put_held(store, KEY)
    await finish(store, first, State.FAILED)
    if pruned:
        clock.advance(10_000)
        assert await store.prune_keys(10) == 1
    again = await store.redrive(first.id)
    assert await store.holder(unique_of(KEY)) == again
    assert (await put_one_keyed(store, unique_job(KEY)))[0] == again


async def test_one_whose_key_another_holds_cannot_run_again(store: Store) -> None:
    first = await put_held(store, KEY)
    ended = await finish(store, first, State.FAILED)
    second = await put_held(store, KEY)
    with pytest.raises(VersionMismatch):
        await store.redrive(first.id, version=1)
    with pytest.raises(UniqueConflict) as refused:
        await store.redrive(first.id)
    assert (refused.value.job_id, refused.value.refused) == (second.id, first.id)
    assert await store.get(first.id) == ended
    await store.cancel(second.id)
    assert (await store.redrive(first.id)).state is State.READY
    with pytest.raises(UniqueConflict):
        await store.redrive(second.id)
    with pytest.raises(IllegalTransition):
        await store.redrive(first.id)


async def test_one_that_held_its_key_for_a_time_runs_again_whoever_has_it(store: Store, clock: SteppedClock) -> None:
    first = await put_held(store, KEY, until_s=10)
    await finish(store, first, State.FAILED)
    clock.advance(10)
    second = await put_held(store, KEY)
    assert (await store.redrive(first.id)).state is State.READY
    assert await store.holder(unique_of(KEY)) == second


# -- what is kept ---------------------------------------------------------------------------------------------------


async def test_keys_that_stand_for_nothing_are_deleted_and_no_others(store: Store, clock: SteppedClock) -> None:
    hour_s = 3_600
    await finish(store, await put_held(store, "ended"), State.SUCCEEDED)
    waits = await put_held(store, "waits", delay_us=NEVER // 2)
    short, long = await put_held(store, "short", until_s=60), await put_held(store, "long", until_s=3 * hour_s)
    assert await store.prune_keys(10) == 0
    clock.advance(60)
    assert [await store.prune_keys(10), await store.prune_keys(10)] == [1, 0]
    clock.advance(hour_s)
    assert [await store.prune_keys(1), await store.prune_keys(10), await store.prune_keys(10)] == [1, 1, 0]
    assert await store.holder(unique_of("waits")) == waits
    assert await store.holder(unique_of("long")) == long
    await put_held(store, "ended")
    assert (await put_held(store, "short")).id != short.id
    clock.advance(3 * hour_s)
    assert await store.prune_keys(10) == 4
    assert await store.holder(unique_of("waits")) == waits
    await store.cancel(waits.id)
    clock.advance(100 * hour_s)
    assert await store.prune_keys(10) == 3
    clock.advance(1_000 * hour_s)
    assert await store.prune_keys(10) == 2  # the two that wait, one of them for the second time
    assert await store.holder(unique_of("ended")) is not None


async def test_a_job_that_never_had_a_key_has_none(store: Store) -> None:
    job = await put_one(store, id=new_id())
    assert job.extras.unique is None
