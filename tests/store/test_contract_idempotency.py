"""The contract: idempotency keys. The same request is answered the same, whatever became of its job since."""

from __future__ import annotations

import msgspec
import pytest

from tests.store.backends import SECOND, SteppedClock, end, new_id, new_job, put_one, start, told
from tests.store.keyed import KEEP_S, put_held, put_keyed, put_one_keyed, request, requested, unique_job, unique_of
from tickr.errors import DuplicateJob, KeyReused, UniqueConflict
from tickr.jobs import State
from tickr.retry import Backoff
from tickr.store.contract import MAX_BATCH, Fate, Filter, Keyed, Store
from tickr.store.keys import refusal

BODY, OTHER = '{"type":"mail"}', '{"type": "mail"}'


async def stored(store: Store) -> set[str]:
    return {job.id for job in (await store.list_jobs(Filter(), limit=1000)).jobs}


def seen(answer: Keyed) -> tuple[object, ...]:
    return *answer, answer.fate, answer.replayed


async def test_the_same_request_gets_the_first_answer_again(store: Store, clock: SteppedClock) -> None:
    first = await put_one_keyed(store, requested("k", BODY, payload="[1]", delay_us=5 * SECOND))
    assert seen(first)[1:] == (True, Fate.CREATED, False)
    clock.advance(10)
    again = await put_one_keyed(store, requested("k", BODY, payload="[1]", delay_us=5 * SECOND))
    assert seen(again) == (first[0], False, Fate.CREATED, True)
    assert await stored(store) == {first[0].id}
    assert len(await told(store)) == 1


async def test_another_request_under_the_same_key_is_refused(store: Store) -> None:
    first = await put_one_keyed(store, requested("k", BODY))
    other = requested("k", OTHER)
    answer = await put_one_keyed(store, other)
    assert (answer[0].id, answer[1], answer.fate) == (first[0].id, False, Fate.REUSED)
    error = refusal(other, answer)
    assert isinstance(error, KeyReused)
    assert error.job_id == first[0].id
    assert await stored(store) == {first[0].id}


async def test_it_is_answered_as_it_was_whatever_became_of_the_job(store: Store, clock: SteppedClock) -> None:
    first = await put_one_keyed(
        store, requested("k", BODY, max_attempts=7, backoff=Backoff("linear"), labels='{"a":"b"}')
    )
    for step in range(3):
        clock.advance(1)
        # The handler's defaults were changed by a deploy meanwhile.
        again = await put_one_keyed(store, requested("k", BODY, max_attempts=9, labels='{"a":"b"}'))
        assert seen(again) == (first[0], False, Fate.CREATED, True)
        if step == 0:
            (running,) = await start(store, first[0])
        if step == 1:
            await end(store, running, "retried", delay_us=SECOND)


async def test_it_is_answered_as_it_was_when_the_job_was_deleted(store: Store, clock: SteppedClock) -> None:
    first = await put_one_keyed(store, requested("k", BODY))
    (running,) = await start(store, first[0])
    await end(store, running, "succeeded")
    clock.advance(1)
    assert (await store.prune_jobs(State.SUCCEEDED, clock(), MAX_BATCH)).deleted == 1
    assert seen(await put_one_keyed(store, requested("k", BODY))) == (first[0], False, Fate.CREATED, True)
    assert (await put_one_keyed(store, requested("k", OTHER))).fate is Fate.REUSED
    assert await stored(store) == set()


async def test_a_key_is_kept_so_long_from_its_first_use_and_no_longer(store: Store, clock: SteppedClock) -> None:
    first = await put_one_keyed(store, requested("k", BODY))
    clock.now += int(KEEP_S * SECOND) - 1
    assert (await put_one_keyed(store, requested("k", BODY))).replayed
    clock.now += 1
    second = await put_one_keyed(store, requested("k", OTHER))
    assert seen(second)[1:] == (True, Fate.CREATED, False)
    assert await stored(store) == {first[0].id, second[0].id}
    clock.advance(KEEP_S - 1)
    assert seen(await put_one_keyed(store, requested("k", OTHER)))[0] == second[0]


async def test_old_keys_are_deleted_and_no_others(store: Store, clock: SteppedClock) -> None:
    for number in range(5):
        await put_one_keyed(store, requested(f"k{number}", keep_s=10 + number))
    clock.advance(12)
    assert [await store.prune_keys(2), await store.prune_keys(2), await store.prune_keys(2)] == [2, 1, 0]
    assert [(await put_one_keyed(store, requested(f"k{number}"))).replayed for number in range(5)] == [
        False, False, False, True, True,
    ]  # fmt: skip


async def test_twice_in_one_batch_is_once(store: Store) -> None:
    answers = await put_keyed(store, requested("k"), requested("k"), requested("k", OTHER))
    assert [(answer[1], answer.fate, answer.replayed) for answer in answers] == [
        (True, Fate.CREATED, False), (False, Fate.CREATED, True), (False, Fate.REUSED, False),
    ]  # fmt: skip
    assert await stored(store) == {answers[0][0].id}


async def test_keys_of_the_two_kinds_do_not_meet(store: Store) -> None:
    held = await put_held(store, "k")
    answer = await put_one_keyed(store, requested("k"))
    assert (answer[1], answer[0].id != held.id) == (True, True)
    assert await store.holder(unique_of("k")) == held


# -- with an id -------------------------------------------------------------------------------------------------------


async def test_with_an_id_of_its_own_the_first_answer_counts(store: Store) -> None:
    name = new_id()
    first = await put_one_keyed(store, requested("k", BODY, id=name))
    again = await put_one_keyed(store, requested("k", BODY, id=name))
    assert seen(again) == (first[0], False, Fate.CREATED, True)
    without = await put_one_keyed(store, requested("another", BODY, id=name))
    assert seen(without) == (first[0], False, Fate.SAME, False)
    assert seen(await put_one_keyed(store, requested("another", BODY, id=name))) == (first[0], False, Fate.SAME, True)
    assert (await put_one_keyed(store, requested("another", OTHER, id=new_id()))).fate is Fate.REUSED


async def test_what_is_refused_for_its_id_keeps_no_key(store: Store) -> None:
    job = await put_one(store, payload="1")
    answer = await put_one_keyed(store, requested("k", BODY, id=job.id, payload="2"))
    assert seen(answer) == (job, False, Fate.SAME, False)  # whoever asked sees that the content is another
    with pytest.raises(DuplicateJob):
        await store.insert([requested("k", BODY, id=job.id, payload="2")], whole=True)
    assert (await put_one_keyed(store, requested("k", OTHER)))[1]


# -- with a unique key ------------------------------------------------------------------------------------------------


async def test_to_be_told_of_the_holder_is_an_answer_and_comes_again(store: Store) -> None:
    holder = await put_held(store, "u")
    new = unique_job("u", request=request("k"))
    first = await put_one_keyed(store, new)
    assert seen(first) == (holder, False, Fate.HELD, False)
    (running,) = await start(store, holder)
    ended = await end(store, running, "succeeded")
    again = await put_one_keyed(store, unique_job("u", request=request("k")))
    assert seen(again) == (ended, False, Fate.HELD, True)
    assert refusal(new, again) is None
    assert (await put_one_keyed(store, unique_job("u", request=request("k", OTHER)))).fate is Fate.REUSED
    assert await stored(store) == {holder.id}


async def test_to_be_told_of_a_job_that_was_deleted_since_counts_for_nothing(store: Store, clock: SteppedClock) -> None:
    holder = await put_held(store, "u")
    await put_keyed(store, unique_job("u", request=request("k")))
    await store.cancel(holder.id)
    clock.advance(1)
    await store.prune_jobs(State.CANCELLED, clock(), MAX_BATCH)
    answer = await put_one_keyed(store, unique_job("u", request=request("k")))
    assert seen(answer)[1:] == (True, Fate.CREATED, False)
    assert seen(await put_one_keyed(store, unique_job("u", request=request("k"))))[1:] == (False, Fate.CREATED, True)


async def test_a_refusal_keeps_no_key(store: Store) -> None:
    holder = await put_held(store, "u")
    for _ in range(2):
        new = unique_job("u", on_conflict="reject", request=request("k"))
        answer = await put_one_keyed(store, new)
        assert seen(answer) == (holder, False, Fate.HELD, False)
        assert isinstance(refusal(new, answer), UniqueConflict)
    await store.cancel(holder.id)
    assert (await put_one_keyed(store, unique_job("u", on_conflict="reject", request=request("k"))))[1]


async def test_who_replaced_once_does_not_replace_again(store: Store) -> None:
    await put_held(store, "u")
    first = await put_one_keyed(store, unique_job("u", on_conflict="replace", request=request("k")))
    later = await put_one_keyed(store, unique_job("u", on_conflict="replace"))
    assert later.replaced is not None
    assert later.replaced.id == first[0].id
    again = await put_one_keyed(store, unique_job("u", on_conflict="replace", request=request("k")))
    assert (again[0], again.replayed, again.replaced) == (first[0], True, None)
    assert await store.holder(unique_of("u")) == later[0]


# -- requests for many ------------------------------------------------------------------------------------------------


async def test_each_of_many_is_answered_as_it_was(store: Store, clock: SteppedClock) -> None:
    first = await put_keyed(store, *(requested("k", BODY, item=number) for number in range(3)))
    clock.advance(1)
    again = await put_keyed(store, *(requested("k", BODY, item=number) for number in range(3)))
    assert [seen(answer) for answer in again] == [(answer[0], False, Fate.CREATED, True) for answer in first]


async def test_what_of_many_was_not_stored_is_stored_now(store: Store) -> None:
    first = await put_keyed(store, *(requested("k", BODY, item=number) for number in (0, 2)))
    again = await put_keyed(store, *(requested("k", BODY, item=number) for number in range(3)))
    assert [(answer[1], answer.replayed) for answer in again] == [(False, True), (True, False), (False, True)]
    assert [answer[0].id for answer in again[::2]] == [answer[0].id for answer in first]


async def test_another_request_for_many_is_refused_whole(store: Store) -> None:
    await put_keyed(store, requested("k", BODY, item=1))
    answers = await put_keyed(store, *(requested("k", OTHER, item=number) for number in range(3)))
    assert [answer.fate for answer in answers] == [Fate.REUSED] * 3
    assert (await put_one_keyed(store, requested("k", OTHER))).fate is Fate.REUSED
    with pytest.raises(KeyReused):
        await store.insert([requested("k", OTHER, item=0)], whole=True)


async def test_a_request_for_many_is_kept_as_long_as_any_other(store: Store, clock: SteppedClock) -> None:
    await put_keyed(store, *(requested("k", BODY, item=number) for number in range(3)))
    clock.advance(KEEP_S / 2)
    await put_keyed(store, requested("k", BODY, item=3))
    clock.advance(KEEP_S / 2)
    # The last one's own key is not old, but it belongs to a request that is.
    others = await put_keyed(store, *(requested("k", OTHER, item=number) for number in range(4)))
    assert [answer[1] for answer in others] == [True] * 4
    clock.advance(KEEP_S)
    assert await store.prune_keys(100) == 5
    assert await store.prune_keys(100) == 0


async def test_a_thousand_of_one_request(store: Store) -> None:
    new = [requested("k" * 250, BODY, item=number) for number in range(MAX_BATCH)]
    first = await put_keyed(store, *new, whole=True)
    repeated = [msgspec.structs.replace(one, id=new_job().id) for one in new]
    again = await put_keyed(store, *repeated, whole=True)
    assert [answer[0] for answer in again] == [answer[0] for answer in first]
    assert all(answer.replayed for answer in again)
