"""Any graph of jobs, with any outcomes and wishes: how it ends is a function of the graph, and it always ends."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.backends import SteppedClock, assert_lawful, new_id, new_job, told
from tests.store.linked import dependent, finish, look, settle, settle_all
from tickr.jobs import FINAL, Job, State
from tickr.store.contract import Store
from tickr.store.memory import open_memory

ENDS = {"fail": State.FAILED, "cancel": State.CANCELLED}


class Node(NamedTuple):
    """A job of a graph: those before it that it depends on, by number, its wish, and how it ends if it is started."""

    on: frozenset[int]
    policy: str
    outcome: State


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    nodes: list[Node] = []
    for at in range(draw(st.integers(1, 9))):
        on = draw(st.frozensets(st.integers(0, at - 1), max_size=4)) if at else frozenset[int]()
        policy = draw(st.sampled_from(["fail", "cancel", "run"]))
        nodes.append(Node(on, policy, draw(st.sampled_from([State.SUCCEEDED, State.SUCCEEDED, State.FAILED]))))
    return nodes


def expected(graph: list[Node]) -> list[State]:
    """Return how each job ends: nothing but the graph has a say in it."""
    ends: list[State] = []
    for node in graph:
        bad = node.policy != "run" and any(ends[at] is not State.SUCCEEDED for at in node.on)
        ends.append(ENDS[node.policy] if bad else node.outcome)
    return ends


@settings(max_examples=150, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_how_a_graph_ends_is_a_function_of_the_graph(graph: list[Node], chance: Random) -> None:
    trio.run(_run, graph, chance)


async def _run(graph: list[Node], chance: Random) -> None:
    async with open_memory(clock=SteppedClock()) as store:
        ids = [new_id() for _ in graph]
        new = [
            dependent(*(ids[on] for on in sorted(node.on)), on_failure=node.policy, id=id_)
            if node.on
            else new_job(id=id_)
            for id_, node in zip(ids, graph, strict=True)
        ]
        # Some before the others, which may come when what they depend on has ended long since.
        cut = chance.randint(0, len(new))
        await store.insert(chance.sample(new[:cut], cut)) if cut else None
        while True:
            await _step(store, graph, ids, chance)
            if cut < len(new) and chance.random() < 0.5:
                await store.insert(chance.sample(new[cut:], len(new) - cut), whole=True)
                cut = len(new)
            elif cut == len(new) and not [job for job in await store.get_many(ids) if job.state is State.READY]:
                if not (await look(store)).ended:
                    break
                await settle_all(store)
        found = {job.id: job.state for job in await store.get_many(ids)}
        assert [found[id_] for id_ in ids] == expected(graph)
        assert (await look(store)).looked_at == 0
        assert set(found.values()) <= set(FINAL)
        assert_lawful(await told(store))


async def _step(store: Store, graph: list[Node], ids: list[str], chance: Random) -> None:
    """Let one job run, or have some of what has ended be noticed, now or never."""
    ready = [job for job in await store.get_many(ids) if job.state is State.READY]
    if ready:
        job: Job = chance.choice(sorted(ready, key=lambda one: ids.index(one.id)))
        await finish(store, job, graph[ids.index(job.id)].outcome)
        if chance.random() < 0.5:
            await settle(store, job)
