"""The contract: jobs that handlers submit. They are born once, and their parent has ended when they have."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.store.backends import (
    OOPS,
    SECOND,
    SteppedClock,
    assert_lawful,
    end,
    new_job,
    put_one,
    put_running,
    start,
    told,
    told_of,
)
from tests.store.keyed import unique_job, unique_of
from tests.store.linked import child_of, dependent, finish, look, put_dependent, settle, settle_all, states
from tickr.edits import Edit
from tickr.errors import AttemptOver, DependencyCycle, DuplicateJob, IllegalTransition, SpecRejected
from tickr.jobs import Extras, Job, State
from tickr.links import MAX_CHILDREN, End, Kind, Link, Nursery
from tickr.reasons import CHILDREN
from tickr.reports import Outcome
from tickr.store.contract import Fate, Keyed, Store


def known(attempt: Job, *, lenient: bool = False) -> Job:
    """Return the record of an attempt as its worker has it once its handler has submitted a job."""
    return replace(attempt, extras=replace(attempt.extras, nursery=Nursery(lenient=lenient)))


async def close(store: Store, attempt: Job, kind: str = "succeeded", *, lenient: bool = False, **fields: object) -> Job:
    """End the attempt of a parent; ``awaiting``: it waits for its children."""
    job = known(attempt, lenient=lenient)
    failure = None if kind == "succeeded" else CHILDREN if kind == "awaiting" else OOPS
    (after,) = await store.finish([Outcome(job=job, kind=kind, failure=failure, **fields)])  # type: ignore[arg-type]
    assert after is not None
    return after


async def family(store: Store, count: int = 2) -> tuple[Job, list[Job]]:
    """Return a parent that runs and its children."""
    parent = await put_running(store)
    return parent, await store.spawn(parent, [child_of(parent) for _ in range(count)])


async def test_children_are_jobs_of_their_parent(store: Store) -> None:
    parent = await put_running(store)
    first, second = await store.spawn(parent, [child_of(parent, name="a"), child_of(parent, type="other", delay_us=9)])
    (third,) = await store.spawn(parent, [child_of(parent)])
    assert (first.state, first.version, first.extras.parent, first.extras.name) == (State.READY, 1, parent.id, "a")
    assert await store.children([parent.id]) == [first, second, third]
    assert await store.children([parent.id], 2) == [first, second]
    assert await store.children([first.id]) == []
    stored = await store.get(parent.id)
    assert stored is not None
    assert (stored.version, stored.extras.nursery) == (parent.version, Nursery())
    assert await told_of(store, first) == ["created"]
    assert "other" in {job.type for job in await store.still_waiting([second.id])}


async def test_a_child_that_is_submitted_again_is_the_same_job(store: Store) -> None:
    parent = await put_running(store)
    new = child_of(parent)
    (child,) = await store.spawn(parent, [new])
    done = await finish(store, child)
    assert await store.spawn(parent, [new]) == [done]
    assert len(await store.children([parent.id])) == 1
    with pytest.raises(DuplicateJob):
        await store.spawn(parent, [child_of(parent, id=new.id, payload="[1]", name=new.extras.name)])
    other = await put_one(store)
    with pytest.raises(DuplicateJob):
        await store.spawn(parent, [child_of(parent), child_of(parent, id=other.id)])
    assert len(await store.children([parent.id])) == 1, "all or none"


async def test_a_child_that_was_changed_meanwhile_is_the_same_child(store: Store) -> None:
    parent = await put_running(store)
    new = child_of(parent)
    (child,) = await store.spawn(parent, [new])
    await finish(store, child, State.FAILED)
    edited = await store.redrive(child.id, edit=Edit(queue="slow", payload='{"n":2}', max_attempts=9))
    assert await store.spawn(parent, [replace(new, timeout_us=5, priority=1, labels='{"a":"b"}')]) == [edited]
    (second,) = await store.spawn(parent, [other := child_of(parent)])
    assert await store.spawn(parent, [replace(other, queue="another")]) == [second]
    with pytest.raises(DuplicateJob):
        await store.spawn(parent, [replace(other, type="another")])


async def test_a_child_that_was_changed_while_it_waited_is_the_same_child(store: Store) -> None:
    parent = await put_running(store)
    new, other = child_of(parent), child_of(parent)
    child, second = await store.spawn(parent, [new, other])
    edited, _, _ = await store.edit(child.id, Edit(queue="slow", payload='{"n":2}', delay_us=SECOND))
    assert await store.spawn(parent, [new, other]) == [edited, second]
    await store.edit(second.id, Edit(priority=1))
    with pytest.raises(DuplicateJob):
        await store.spawn(parent, [replace(other, payload='{"n":3}')])


async def test_who_is_to_stop_has_no_more_children(store: Store) -> None:
    parent = await put_running(store)
    await store.cancel(parent.id)
    with pytest.raises(AttemptOver, match="is to stop"):
        await store.spawn(parent, [child_of(parent)])
    assert await store.children([parent.id]) == []


async def test_a_parent_that_waits_for_its_children_is_not_replaced(store: Store) -> None:
    await store.insert([unique_job("k")])
    job = await store.holder(unique_of("k"))
    assert job is not None
    (parent,) = await start(store, job)
    await store.spawn(parent, [child_of(parent)])
    closing = await close(store, parent, "failed")
    (answer,) = await store.insert([unique_job("k", on_conflict="replace")])
    assert isinstance(answer, Keyed)
    assert (answer[0], answer.fate) == (closing, Fate.HELD)
    assert await store.get(parent.id) == closing


async def test_only_the_attempt_that_runs_has_children(store: Store) -> None:
    parent = await put_running(store)
    await end(store, parent, "retried")
    with pytest.raises(AttemptOver):
        await store.spawn(parent, [child_of(parent)])
    assert await store.children([parent.id]) == []


async def test_a_parent_ends_when_its_children_have(store: Store, clock: SteppedClock) -> None:
    parent, (first, second) = await family(store)
    await finish(store, first)
    closing = await close(store, parent, result="[7]")
    assert (closing.state, closing.closing, closing.result) == (State.BLOCKED, End.SUCCEEDED, "[7]")
    assert await store.get(parent.id) == closing
    assert await settle(store, first, parent) == []
    clock.advance(60)
    await finish(store, second)
    (ended,) = await settle(store, second)
    assert (ended.state, ended.result, ended.finished_at, ended.attempt) == (State.SUCCEEDED, "[7]", clock.now, 1)
    assert (await look(store)).looked_at == 0
    assert await told_of(store, parent) == ["created", "started", "released", "succeeded"]
    assert [(one.number, one.outcome) for one in await store.attempts(parent.id)] == [(1, "succeeded")]
    assert_lawful(await told(store))


async def test_a_parent_whose_children_have_ended_before_it_ends_at_the_next_look(store: Store) -> None:
    parent, children = await family(store)
    for child in children:
        await finish(store, child)
    await settle(store, *children)
    await close(store, parent)
    assert parent.id in (await look(store)).ended
    (ended,) = await settle_all(store)
    assert ended.state is State.SUCCEEDED


async def test_who_waits_for_its_children_is_run_again_at_no_cost(store: Store, clock: SteppedClock) -> None:
    parent, (first, second) = await family(store)
    waits = await close(store, parent, "awaiting")
    assert (waits.state, waits.closing, waits.attempt) == (State.BLOCKED, None, 0)
    assert await store.claim([parent.id], node="n1", types={"mail"}) == []
    await finish(store, first)
    assert await settle(store, first) == []
    clock.advance(60)
    await finish(store, second)
    (ready,) = await settle(store, second)
    assert (ready.state, ready.run_at) == (State.READY, clock.now)
    (again,) = await start(store, ready)
    assert (again.attempt, again.fence) == (1, 2)
    await close(store, again)
    (ended,) = await settle(store, parent)
    assert ended.state is State.SUCCEEDED
    assert [one.outcome for one in await store.attempts(parent.id)] == ["released", "succeeded"]
    assert_lawful(await told(store))


@pytest.mark.parametrize("bad", [State.FAILED, State.CANCELLED])
async def test_who_waits_hears_of_a_failure_at_once_or_of_all_ends(store: Store, bad: State) -> None:
    strict, (first, _) = await family(store)
    lenient, (other, last) = await family(store)
    await close(store, strict, "awaiting")
    await close(store, lenient, "awaiting", lenient=True)
    await finish(store, first, bad)
    await finish(store, other, bad)
    moved = await settle(store, first, other)
    assert [(job.id, job.state) for job in moved] == [(strict.id, State.READY)]
    await finish(store, last)
    (ready,) = await settle(store, last)
    assert (ready.id, ready.extras.nursery) == (lenient.id, Nursery()), "each attempt learns anew"


@pytest.mark.parametrize("kind", ["succeeded", "failed", "cancelled"])
async def test_without_success_it_takes_its_children_along(store: Store, kind: str) -> None:
    parent, (first, second) = await family(store)
    if kind == "succeeded":
        await finish(store, first, State.FAILED)
    closing = await close(store, parent, kind, result="1" if kind == "succeeded" else None)
    page = await store.settle_links([parent.id, first.id])
    open_ = [second] if kind == "succeeded" else [first, second]
    assert sorted(page.orphans) == sorted(Link(child.id, parent.id, Kind.CHILD) for child in open_)
    assert page.jobs == []
    for child in open_:
        await store.cancel(child.id)
    (ended,) = await settle(store, *open_)
    assert ended.state is (State.CANCELLED if kind == "cancelled" else State.FAILED)
    assert (ended.version, ended.result) == (closing.version + 1, None)
    assert ended.error is not None
    assert ended.error.kind == ("child_failed" if kind == "succeeded" else OOPS.kind)
    expected = ["succeeded" if kind == "succeeded" else kind]
    assert [one.outcome for one in await store.attempts(parent.id)] == expected
    assert_lawful(await told(store))


async def test_failures_that_the_handler_has_dealt_with_are_not_its_own(store: Store) -> None:
    parent, (first, second) = await family(store)
    await finish(store, first, State.FAILED)
    await close(store, parent, lenient=True)
    assert await settle(store, first) == []
    await finish(store, second)
    (ended,) = await settle(store, second)
    assert ended.state is State.SUCCEEDED


@pytest.mark.parametrize("where", ["ready", "retrying", "awaiting", "closing"])
async def test_a_parent_that_does_not_run_is_cancelled_with_its_children(store: Store, where: str) -> None:
    parent, (first, second) = await family(store)
    kind = {"ready": "released", "closing": "succeeded", "retrying": "retried"}.get(where, where)
    await close(store, parent, kind)
    closing = await store.cancel(parent.id, reason="enough")
    assert (closing.state, closing.closing) == (State.BLOCKED, End.CANCELLED)
    assert await store.cancel(parent.id) == closing
    assert len((await store.settle_links([parent.id])).orphans) == 2
    for child in (first, second):
        await store.cancel(child.id)
    (ended,) = await settle(store, first, second)
    assert ended.state is State.CANCELLED
    assert ended.error is not None
    assert ended.error.message == "Cancelled on request: enough"
    assert_lawful(await told(store))


async def test_a_parent_that_fails_cannot_be_cancelled_any_more(store: Store) -> None:
    parent, _ = await family(store)
    await close(store, parent, "failed")
    with pytest.raises(IllegalTransition):
        await store.cancel(parent.id)


async def test_a_request_to_stop_goes_before_the_success_of_a_parent(store: Store) -> None:
    parent, _ = await family(store)
    await store.cancel(parent.id)
    closing = await close(store, parent, result="1")
    assert (closing.closing, closing.result, closing.cancel_requested) == (End.CANCELLED, None, False)


async def test_the_loss_of_its_node_does_not_harm_the_family(store: Store) -> None:
    parent, children = await family(store)
    await store.deregister("n1")
    (lost,) = await store.reap(10)
    assert (lost.state, lost.extras.nursery) == (State.READY, Nursery())
    (again,) = await start(store, lost, node="n2")
    new = [child_of(parent, id=child.id, name=child.extras.name) for child in children]
    assert await store.spawn(again, new) == children
    with pytest.raises(AttemptOver):
        await store.spawn(parent, new)


async def test_a_parent_that_kills_its_nodes_fails_with_its_children(store: Store) -> None:
    job, (child,) = await family(store, 1)
    for _ in range(3):
        await store.deregister("n1")
        (job,) = await store.reap(10)
        if job.state is State.READY:
            await start(store, job)
    assert job.closing is End.FAILED
    assert [link.on for link in (await store.settle_links([job.id])).orphans] == [child.id]


async def test_who_expires_while_it_waits_ends_with_its_children(store: Store, clock: SteppedClock) -> None:
    parent = await put_running(store, extras=Extras(expires_at=clock.now + 60 * SECOND))
    await store.spawn(parent, [child_of(parent)])
    await close(store, parent, "awaiting")
    clock.advance(61)
    (expired,) = (await store.end_expired(10)).jobs
    assert expired.closing is End.CANCELLED
    assert (await store.end_expired(10)).jobs == []
    closing, _ = await family(store)
    await close(store, closing)
    assert (await store.end_expired(10)) == ([], None)


# -- again ------------------------------------------------------------------------------------------------------------


async def test_a_family_that_is_started_over_keeps_what_has_succeeded(store: Store) -> None:
    parent = await put_running(store)
    new = [child_of(parent), child_of(parent)]
    good, bad = await store.spawn(parent, new)
    await finish(store, good)
    await finish(store, bad, State.FAILED)
    await close(store, parent)
    assert await states(store, parent, *await settle_all(store)) == ["failed", "failed"]
    ready = await store.redrive(parent.id)
    assert (ready.state, ready.extras.nursery) == (State.READY, None)
    (again,) = await start(store, ready)
    answers = await store.spawn(again, new)
    assert [job.state for job in answers] == [State.SUCCEEDED, State.READY]
    await finish(store, answers[1])
    await close(store, again)
    (ended,) = await settle_all(store)
    assert ended.state is State.SUCCEEDED
    assert [one.outcome for one in await store.attempts(parent.id)] == ["succeeded", "succeeded"]
    assert len(await store.children([parent.id])) == 2
    assert_lawful(await told(store))


async def test_children_may_wait_for_each_other_and_for_nobody_else(store: Store) -> None:
    parent, (first, _) = await family(store)
    waits = child_of(parent, dependent(first))
    both = child_of(parent, dependent(waits))
    answers = await store.spawn(parent, [both, waits])
    assert [job.state for job in answers] == [State.BLOCKED, State.BLOCKED]
    await finish(store, first)
    assert [job.id for job in await settle(store, first)] == [waits.id]
    for other in (await put_one(store), parent):
        with pytest.raises(SpecRejected, match="other children"):
            await store.spawn(parent, [child_of(parent, dependent(other))])
    one = new_job()
    circle = [child_of(parent, dependent(one)), child_of(parent, one)]
    circle[1] = child_of(parent, dependent(circle[0], id=one.id))
    with pytest.raises(DependencyCycle):
        await store.spawn(parent, circle)
    with pytest.raises(SpecRejected, match="may have"):
        await store.spawn(parent, [child_of(parent) for _ in range(MAX_CHILDREN)])


async def test_who_depends_on_a_parent_waits_for_the_whole_family(store: Store) -> None:
    parent, (child,) = await family(store, 1)
    waits = await put_dependent(store, parent)
    await close(store, parent)
    assert await settle(store, parent) == []
    await finish(store, child)
    assert await states(store, waits, *await settle_all(store)) == ["ready", "succeeded", "ready"]


async def test_who_has_ended_is_kept_as_long_as_its_parent_runs(store: Store, clock: SteppedClock) -> None:
    parent, (child,) = await family(store, 1)
    await finish(store, child)
    await settle(store, child)
    before = clock.now + 100 * SECOND
    assert (await store.prune_jobs(State.SUCCEEDED, before, 10)).deleted == 0
    await close(store, parent)
    await settle(store, parent)
    assert (await store.prune_jobs(State.SUCCEEDED, before, 1)).deleted == 1
    assert len(await store.children([parent.id])) <= 1
    assert (await store.prune_jobs(State.SUCCEEDED, before, 10)).deleted == 1
    assert await store.children([parent.id]) == []
