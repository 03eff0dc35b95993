"""The contract, for jobs that are changed while they wait or run: what may be, what comes of it, and who is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.store.backends import (
    OOPS,
    SECOND,
    SteppedClock,
    assert_lawful,
    end,
    join,
    new_id,
    new_job,
    put,
    put_final,
    put_one,
    put_running,
    start,
    told,
    told_of,
)
from tests.store.linked import child_of, put_dependent, settle
from tickr.edits import NEVER, NO_LABELS, Edit
from tickr.errors import JobNotFound, NotEditable, VersionMismatch
from tickr.events import Event
from tickr.filters import EVERYTHING
from tickr.jobs import FINAL, Extras, Job, State
from tickr.operation_moves import Begin, Step
from tickr.operations import Operation, filtered
from tickr.reports import Checkpoint, Outcome
from tickr.retry import Backoff
from tickr.store.contract import Store


async def changed(store: Store, job: Job, **fields: Any) -> Job:
    """Return ``job`` as it is once changed, having seen that the store keeps just that."""
    after, change, _ = await store.edit(job.id, Edit(**fields))
    assert change is not None
    assert await store.get(job.id) == after
    return after


async def last_event(store: Store) -> Event:
    event = (await told(store))[-1][-1]
    assert isinstance(event, Event)
    return event


async def test_all_that_may_be_changed_of_a_job_that_waits(store: Store, clock: SteppedClock) -> None:
    job = await put_one(store, queue="mail", labels='{"a":"b"}', delay_us=60 * SECOND, limit_key="acme")
    clock.advance(1)
    after, change, at = await store.edit(
        job.id,
        Edit(
            payload='{"to": "é \'\\\\ 1.10"}',
            queue="new",
            priority=9,
            max_attempts=7,
            timeout_us=5,
            backoff=Backoff(kind="constant"),
            labels=NO_LABELS,
            limit_key="other",
            delay_us=2 * SECOND,
            expires_in_us=3 * SECOND,
        ),
    )
    assert change is not None
    assert (change.before, change.after, at) == (job, after, clock())
    assert after == msgspec.structs.replace(
        job,
        version=2,
        payload='{"to": "é \'\\\\ 1.10"}',
        queue="new",
        priority=9,
        max_attempts=7,
        timeout_us=5,
        backoff=Backoff(kind="constant"),
        labels=None,
        limit_key="other",
        run_at=clock() + 2 * SECOND,
        extras=Extras(expires_at=clock() + 3 * SECOND),
    )
    assert await store.get(job.id) == after
    assert await store.queue_names() == ["mail", "new"]
    event = await last_event(store)
    names = ["payload", "queue", "priority", "max_attempts", "timeout", "backoff", "labels", "limit_key", "run_at"]
    assert (event.what, event.version, event.changed) == ("changed", 2, [*names, "expires_at"])
    assert (event.previous_state, event.state, event.queue) == (State.SCHEDULED, State.SCHEDULED, "new")
    assert_lawful(await told(store))


async def test_it_is_claimed_when_and_as_it_was_changed(store: Store, clock: SteppedClock) -> None:
    early = await put_one(store, delay_us=3600 * SECOND)
    late = await put_one(store)
    clock.advance(1)
    early = await changed(store, early, delay_us=0, payload="[1]")
    late = await changed(store, late, run_at=clock() + SECOND)
    await join(store, "n1")
    (running,) = await store.claim([early.id, late.id], node="n1", types=["mail"])
    assert (running.id, running.payload, running.version) == (early.id, "[1]", 3)
    clock.advance(1)
    assert [job.id for job in await store.claim_due(5, node="n1", types=["mail"])] == [late.id]
    assert await told_of(store, early) == ["created", "changed", "started"]


async def test_a_retry_that_waits_runs_now_and_keeps_its_attempts(store: Store, clock: SteppedClock) -> None:
    job = await put_running(store)
    (waits,) = await store.finish([Outcome(job=job, kind="retried", failure=OOPS, delay_us=3600 * SECOND)])
    assert waits is not None
    clock.advance(1)
    now = await changed(store, waits, delay_us=0, max_attempts=9)
    assert (now.state, now.run_at, now.attempt, now.error) == (State.RETRYING, clock(), 1, OOPS)
    (again,) = await start(store, now)
    assert (again.attempt, again.max_attempts) == (2, 9)
    assert [one.outcome for one in await store.attempts(job.id)] == ["retrying", "running"]


async def test_a_job_that_is_due_keeps_its_place_in_the_line(store: Store, clock: SteppedClock) -> None:
    job = await put_one(store)
    clock.advance(1)
    assert (await store.edit(job.id, Edit(delay_us=0))).change is None
    assert (await changed(store, job, run_at=5, priority=1)).run_at == job.run_at


async def test_what_is_the_same_is_no_change(store: Store) -> None:
    job = await put_one(store, queue="mail", priority=3)
    before = await told(store)
    assert await store.edit(job.id, Edit(queue="mail", priority=3, payload=job.payload)) == (job, None, job.created_at)
    assert await told(store) == before


async def test_a_blocked_job_is_changed_and_waits_as_before(store: Store, clock: SteppedClock) -> None:
    first = await put_one(store)
    job = await put_dependent(store, first)
    after = await changed(store, job, queue="new", delay_us=9 * SECOND)
    assert after.state is State.BLOCKED
    (running,) = await start(store, first)
    await end(store, running, "succeeded")
    await settle(store, first)
    found = await store.get(job.id)
    assert found is not None
    assert (found.state, found.queue, found.run_at) == (State.READY, "new", clock() + 9 * SECOND)


async def test_of_a_running_job_the_timeout_alone(store: Store) -> None:
    job = await put_running(store)
    longer = await changed(store, job, timeout_us=7 * SECOND)
    assert longer == msgspec.structs.replace(job, timeout_us=7 * SECOND, version=job.version + 1)
    with pytest.raises(NotEditable, match="running"):
        await store.edit(job.id, Edit(timeout_us=9, priority=1))
    assert await store.get(job.id) == longer
    assert [one.outcome for one in await store.attempts(job.id)] == ["running"]
    assert [one.timeout_us for one in await store.heartbeat("n1", lease_s=15) or ()] == [7 * SECOND]
    event = await last_event(store)
    assert (event.what, event.changed, event.state, event.previous_state) == ("changed", ["timeout"], *["running"] * 2)


@pytest.mark.parametrize("kind", ["succeeded", "retried", "failed"])
async def test_what_its_worker_says_after_that_counts(store: Store, kind: Any) -> None:
    job = await put_running(store)
    longer = await changed(store, job, timeout_us=7 * SECOND)
    failure = None if kind == "succeeded" else OOPS
    (ended,) = await store.finish([Outcome(job=job, kind=kind, failure=failure, result="1" if not failure else None)])
    assert ended is not None
    assert (ended.version, ended.timeout_us) == (longer.version + 1, 7 * SECOND)
    assert await store.get(job.id) == ended
    assert_lawful(await told(store))


@pytest.mark.parametrize("state", sorted(FINAL))
async def test_what_has_ended_cannot_be_changed(store: Store, state: State) -> None:
    job = await put_final(store, state)
    with pytest.raises(NotEditable, match="retry it"):
        await store.edit(job.id, Edit(priority=1))
    assert await store.get(job.id) == job


async def test_what_waits_for_its_children_to_end_cannot_be_changed(store: Store) -> None:
    parent = await put_running(store)
    await store.spawn(parent, [child_of(parent)])
    stored = await store.get(parent.id)
    assert stored is not None
    (closing,) = await store.finish([Outcome(job=stored, kind="succeeded", result="1")])
    assert closing is not None
    assert closing.closing is not None
    with pytest.raises(NotEditable, match="children"):
        await store.edit(parent.id, Edit(priority=1))


async def test_the_version_is_looked_at_first(store: Store) -> None:
    job = await put_one(store)
    with pytest.raises(VersionMismatch):
        await store.edit(job.id, Edit(priority=1), version=2)
    with pytest.raises(JobNotFound):
        await store.edit(new_id(), Edit(priority=1))
    assert (await store.edit(job.id, Edit(priority=1), version=1)).job.version == 2


# -- when it expires --------------------------------------------------------------------------------------------------


async def test_a_job_expires_when_that_was_changed_to(store: Store, clock: SteppedClock) -> None:
    soon, later, never = await put(store, *(new_job(expires_in_us=SECOND) for _ in range(3)))
    fresh = await put_one(store)
    await changed(store, later, expires_at=clock() + 5 * SECOND)
    await changed(store, never, expires_at=NEVER)
    await changed(store, fresh, expires_in_us=3 * SECOND)
    clock.advance(2)
    expired = await store.end_expired(10)
    assert ([job.id for job in expired.jobs], expired.next_at) == ([soon.id], clock() + SECOND)
    clock.advance(10)
    assert {job.id for job in (await store.end_expired(10)).jobs} == {later.id, fresh.id}
    assert await store.end_expired(10) == ([], None)
    assert [job.id for job in await start(store, never)] == [never.id]


async def test_none_is_changed_to_expire_before_it_is_due(store: Store, clock: SteppedClock) -> None:
    job = await put_one(store, expires_in_us=5 * SECOND)
    with pytest.raises(NotEditable, match="expires_at"):
        await store.edit(job.id, Edit(delay_us=6 * SECOND))
    await changed(store, job, delay_us=6 * SECOND, expires_in_us=7 * SECOND)


# -- what an attempt has kept -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("edit", "kept"), [(Edit(priority=1), "[1]"), (Edit(payload="[2]"), None)])
async def test_another_payload_begins_without_a_checkpoint(store: Store, edit: Edit, kept: str | None) -> None:
    job = await put_running(store)
    await store.keep_checkpoints([Checkpoint(job=job, value="[1]")])
    (waits,) = await store.finish([Outcome(job=job, kind="retried", failure=OOPS)])
    assert waits is not None
    await store.edit(job.id, edit)
    assert await store.checkpoint(waits) == kept


# -- many -------------------------------------------------------------------------------------------------------------


async def test_an_operation_edits_what_waits_and_skips_the_rest(store: Store, clock: SteppedClock) -> None:
    waiting = [await put_one(store, queue="mail", delay_us=SECOND) for _ in range(3)]
    running = await put_running(store)
    clock.advance(1)
    which = filtered("edit", EVERYTHING)
    assert State.RUNNING not in which.states
    begun = (
        await store.move_operation(
            Begin(Operation(id=new_id(), action="edit", which=which, edit=Edit(queue="night", delay_us=9)))
        )
    ).after
    assert begun is not None
    (other,) = await start(store, waiting[0])
    ids = tuple(job.id for job in [*waiting, running])
    moved = await store.move_operation(Step(begun.id, begun.version, ids, (0, ""), last=True))
    assert moved.after is not None
    assert (moved.after.done, moved.after.skipped, moved.after.state) == (2, 2, "done")
    assert [change.before for change in moved.changes] == waiting[1:]
    assert [(job.queue, job.run_at) for job in moved.jobs] == [("night", clock() + 9)] * 2
    assert [await store.get(job.id) for job in waiting[1:]] == moved.jobs
    assert await store.get(other.id) == other
    assert "night" in await store.queue_names()


async def test_an_operation_changes_the_timeouts_of_running_jobs(store: Store) -> None:
    running, waiting = await put_running(store), await put_one(store)
    which = filtered("edit", msgspec.structs.replace(EVERYTHING, states=(State.RUNNING,)))
    begun = (
        await store.move_operation(Begin(Operation(id=new_id(), action="edit", which=which, edit=Edit(timeout_us=9))))
    ).after
    assert begun is not None
    moved = await store.move_operation(Step(begun.id, begun.version, (running.id, waiting.id), None, last=True))
    assert [(job.id, job.timeout_us) for job in moved.jobs] == [(running.id, 9)]
