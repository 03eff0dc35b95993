"""Any mix of submissions, ends and second lives in a sequence: never two at once, in order, and it always goes on."""

from __future__ import annotations

from random import Random

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.backends import SteppedClock, assert_lawful, put, start, told
from tests.store.linked import finish, in_turn, look, settle
from tickr.jobs import FINAL, Job, State
from tickr.store.contract import Store
from tickr.store.memory import open_memory

STEPS = st.lists(st.sampled_from(["put", "put", "start", "cancel", "redrive", "notice"]), min_size=1, max_size=30)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.randoms(use_true_random=False))
def test_jobs_of_a_sequence_run_one_after_the_other_in_their_order(steps: list[str], chance: Random) -> None:
    trio.run(_run, steps, chance)


async def _run(steps: list[str], chance: Random) -> None:
    async with open_memory(clock=SteppedClock()) as store:
        line: list[
            str
        ] = []  # in the order in which they were put in; whoever is started over may keep its place or not
        again: set[str] = set()  # who was started over, and may have another place
        for step in steps:
            await _step(store, step, line, again, chance)
            await _check(store, line, again)
        for _ in range(3 * len(line)):
            await settle(store, *line) if line else None
            await _check(store, line, again)
            for job in await _in(store, line, State.READY):
                await finish(store, job)
        assert {job.state for job in await store.get_many(line)} <= set(FINAL)
        await settle(store, *line) if line else None
        assert (await look(store)).looked_at == 0
        assert_lawful(await told(store))


async def _step(store: Store, step: str, line: list[str], again: set[str], chance: Random) -> None:
    if step == "put":
        line += [job.id for job in await put(store, *(in_turn() for _ in range(chance.randint(1, 3))))]
    elif step == "notice" and line:
        await settle(store, *chance.sample(line, chance.randint(1, len(line))))
    elif step == "start" and (ready := await _in(store, line, State.READY)):
        await _go_on(store, ready[0], line, again, chance)
    elif step == "cancel" and (waiting := await _in(store, line, State.READY, State.BLOCKED)):
        await store.cancel(chance.choice(waiting).id)
    elif step == "redrive" and (ended := await _in(store, line, *FINAL)):
        again.add((await store.redrive(chance.choice(ended).id)).id)


async def _go_on(store: Store, job: Job, line: list[str], again: set[str], chance: Random) -> None:
    """Start a job, and see whether it is its turn; whatever happens while it runs, it ends some time."""
    before = set(line[: line.index(job.id)]) - again
    assert job.id in again or {one.state for one in await store.get_many(before)} <= set(FINAL)
    await start(store, job)
    for _ in range(chance.randint(0, 3)):
        await _step(store, chance.choice(["put", "cancel", "redrive", "notice"]), line, again, chance)
        await _check(store, line, again)
    if chance.random() < 0.5:
        await store.cancel(job.id)
    await store.deregister("n1")
    await store.reap(10)


async def _check(store: Store, line: list[str], again: set[str]) -> None:
    open_ = await _in(store, line, State.READY, State.RUNNING, State.RETRYING)
    assert len(open_) <= 1, [(job.id, job.state) for job in open_]


async def _in(store: Store, line: list[str], *states: State) -> list[Job]:
    found = [job for job in await store.get_many(line) if job.state in states]
    return sorted(found, key=lambda job: line.index(job.id))
