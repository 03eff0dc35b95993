"""The contract, for queues that are taken away: only empty ones, with what is set on them; and nothing is lost."""

from __future__ import annotations

import msgspec
import pytest

from tests.store.backends import (
    OOPS,
    SECOND,
    Backend,
    SteppedClock,
    end,
    join,
    new_job,
    put,
    put_final,
    put_one,
    put_running,
    told,
)
from tests.store.linked import put_dependent
from tickr.errors import QueueNotEmpty, QueueNotFound
from tickr.events import ThingEvent
from tickr.jobs import State
from tickr.queues import Limits, Rate
from tickr.reports import Outcome
from tickr.store.contract import Store

LIMITS = Limits(max_running=2, rate=Rate(5, 60 * SECOND))


async def test_an_empty_queue_goes_with_what_is_set_on_it(store: Store) -> None:
    job = await put_final(store, State.SUCCEEDED, queue="mail")
    await put_one(store, queue="other")
    await store.control("mail", paused=True, limits=LIMITS, mark="a")
    await store.drop_queue("mail", mark="b")
    assert await store.queue_names() == ["other"]
    assert [depth.name for depth in await store.queues()] == ["other"]
    assert await store.standings() == []
    event = (await told(store))[-1][-1]
    assert isinstance(event, ThingEvent)
    summary = msgspec.json.decode(event.data)["queue"]
    assert (event.what, event.name, summary["paused"], summary["max_running"]) == ("queue.deleted", "mail", True, 2)
    assert await store.get(job.id) == job, "its history is not the queue's"


async def test_the_next_job_makes_it_anew_with_nothing_set_on_it(store: Store) -> None:
    await put_final(store, State.SUCCEEDED, queue="mail")
    await store.control("mail", paused=True)
    await store.drop_queue("mail")
    job = await put_one(store, queue="mail")
    assert await store.queue_names() == ["mail"]
    await join(store, "n1")
    assert [one.id for one in await store.claim([job.id], node="n1", types=["mail"])] == [job.id]


async def test_one_that_is_not_there(store: Store) -> None:
    await put_one(store, queue="other")
    for _ in range(2):
        with pytest.raises(QueueNotFound):
            await store.drop_queue("mail")
    await store.control("mail", paused=True)
    await store.drop_queue("mail")
    with pytest.raises(QueueNotFound):
        await store.drop_queue("mail")


@pytest.mark.parametrize("where", ["ready", "scheduled", "blocked", "running", "retrying"])
async def test_no_queue_goes_in_which_something_is_left_to_do(store: Store, where: str) -> None:
    if where == "blocked":
        await put_dependent(store, await put_one(store, queue="other"), queue="mail")
    elif where in ("running", "retrying"):
        job = await put_running(store, queue="mail")
        if where == "retrying":
            await store.finish([Outcome(job=job, kind="retried", failure=OOPS, delay_us=SECOND)])
    else:
        await put(store, new_job(queue="mail", delay_us=SECOND if where == "scheduled" else 0))
    await store.control("mail", limits=LIMITS)
    before = await told(store)
    with pytest.raises(QueueNotEmpty):
        await store.drop_queue("mail")
    assert await told(store) == before
    assert "mail" in await store.queue_names()
    assert [standing.controls.limits for standing in await store.standings()] == [LIMITS]


async def test_a_node_that_believes_it_registered_loses_no_job(backend: Backend, clock: SteppedClock) -> None:
    """Another node takes the queue away; this one, which has used it, still finds it by what is due in it."""
    async with backend.open() as here, backend.open() as there:
        if here.name == "memory":
            pytest.skip("one process has it")
        running = await put_running(here, queue="mail")
        await end(here, running, "succeeded")
        await there.drop_queue("mail")
        job = await put_one(here, queue="mail")
        for store in (here, there):
            assert await store.queue_names() == ["mail"]
            assert [depth.name for depth in await store.queues()] == ["mail"]
        assert [entry.id for entry in await there.due(10)] == [job.id]
        await put_one(here, queue="mail", delay_us=SECOND)
        assert "mail" in await there.queue_names(), "what it knew wrongly it has forgotten"
