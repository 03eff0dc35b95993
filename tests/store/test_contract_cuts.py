"""Every method of the contract, cut at each of its checkpoints, beside a twin on which it runs undisturbed.

After each cut the store shows what the twin showed before the call or what it shows after it, and nothing between;
asked again it gets there. Both go through the same scenes with the same ids under the same clock, and the twin is the
memory store, which the contract's other tests hold to the same promises.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

import pytest

from tests.faults.cutting import cut_at
from tests.faults.mysql_checks import assert_clean, connections_to, pools_of
from tests.store.backends import MANY_BYTES, OOPS, START, Backend, a_node, noted, put
from tests.waiting import eventually
from tickr.jobs import Job, NewJob, Outcome, State
from tickr.store.contract import MAX_BATCH, Filter, Start, Store
from tickr.store.memory import MemoryStore
from tickr.store.mysql import MysqlStore

MANY = 12
"""With so many, some of the successes are written together."""


class Scene:
    """One call's own jobs and node, by the same names in every store.

    Attributes:
      jobs: the jobs of this scene as they are in its store when the call is made.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.type = name
        self.node = f"node of {name}"
        self.jobs: list[Job] = []
        self.seen = 0

    def ids(self) -> list[str]:
        return [str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.type} {n}")) for n in range(MANY)]

    def new(self, count: int) -> list[NewJob]:
        return [NewJob(id=job_id, type=self.type) for job_id in self.ids()[:count]]

    async def put(self, count: int) -> None:
        self.jobs = await put(self.store, *self.new(count))

    async def join(self, count: int) -> None:
        await self.put(count)
        await self.store.register(a_node(id=self.node), lease_s=15)

    async def run(self, count: int) -> None:
        await self.join(count)
        claimed = await self.store.claim([job.id for job in self.jobs], node=self.node, types={self.type})
        self.jobs = sorted(claimed, key=lambda job: self.ids().index(job.id))

    async def fail(self, count: int) -> None:
        await self.run(count)
        await self.store.finish(self.outcomes("failed"))

    async def lose(self, count: int) -> None:
        await self.run(count)
        await self.store.deregister(self.node)

    async def ask_to_stop(self, count: int) -> None:
        await self.run(count)
        await self.store.cancel(self.jobs[0].id)

    def outcomes(self, *kinds: str) -> list[Outcome]:
        kinds += kinds[-1:] * (len(self.jobs) - len(kinds))
        return [
            Outcome(job=job, kind=kind, failure=None if kind == "succeeded" else OOPS)  # type: ignore[arg-type]
            for job, kind in zip(self.jobs, kinds, strict=True)
        ]

    async def view(self) -> tuple[object, ...]:
        """Return what can be seen of the scene; of a crowd of jobs the attempts of some."""
        jobs = (await self.store.list_jobs(Filter(types=(self.type,)), limit=100)).jobs
        attempts = [
            await self.store.attempts(job_id) for job_id in self.ids()[:4] if job_id in {job.id for job in jobs}
        ]
        nodes = [node for node in await self.store.nodes() if node.id == self.node]
        pages = await self.store.event_rows(self.seen, 1000, MANY_BYTES)
        assert [seq for seq, _ in pages] == list(range(self.seen + 1, self.seen + 1 + len(pages)))
        return jobs, attempts, nodes, [body for _, body in pages]


Step = Callable[[Scene], Awaitable[object]]


class Case(NamedTuple):
    """A method: what there is before, and the call."""

    name: str
    prepare: Step
    call: Step


def insert_some_again(scene: Scene) -> Awaitable[object]:
    return scene.store.insert(scene.new(MANY))


def insert_and_start(scene: Scene) -> Awaitable[object]:
    return scene.store.insert(scene.new(3), start=Start(scene.node, frozenset(scene.ids()[1:3])))


def say_something(scene: Scene) -> Awaitable[object]:
    return scene.store.note([noted(scene.jobs[0], 1), noted(scene.jobs[1], 1, fraction=0.5), noted(scene.jobs[0], 2)])


few, running = partial(Scene.put, count=3), partial(Scene.run, count=MANY)

WRITES = [
    Case("insert", partial(Scene.put, count=0), lambda s: s.store.insert(s.new(3))),
    Case("insert again", few, insert_some_again),
    Case("insert and start", partial(Scene.join, count=0), insert_and_start),
    Case("cancel", few, lambda s: s.store.cancel(s.jobs[0].id)),
    Case("cancel running", running, lambda s: s.store.cancel(s.jobs[0].id)),
    Case("redrive", partial(Scene.fail, count=1), lambda s: s.store.redrive(s.jobs[0].id)),
    Case("claim", partial(Scene.join, count=3), lambda s: s.store.claim(s.ids(), node=s.node, types={s.type})),
    Case("claim_due", partial(Scene.join, count=3), lambda s: s.store.claim_due(3, node=s.node, types={s.type})),
    Case("finish", running, lambda s: s.store.finish(s.outcomes("retried", "failed", "released", "succeeded"))),
    Case("finish cancelled", partial(Scene.ask_to_stop, count=MANY), lambda s: s.store.finish(s.outcomes("retried"))),
    Case("note", running, say_something),
    Case("register", few, lambda s: s.store.register(a_node(id=s.node), lease_s=15)),
    Case("heartbeat", running, lambda s: s.store.heartbeat(s.node, lease_s=30)),
    Case("deregister", running, lambda s: s.store.deregister(s.node)),
    Case("expire", running, lambda s: s.store.expire(s.node, lease_until=START + 15_000_000)),
    Case("reap", partial(Scene.lose, count=3), lambda s: s.store.reap(100)),
    Case("prune_jobs", partial(Scene.fail, count=3), lambda s: s.store.prune_jobs(State.FAILED, 2 * START, MAX_BATCH)),
]
READS = [
    Case("get", few, lambda s: s.store.get(s.jobs[0].id)),
    Case("attempts", running, lambda s: s.store.attempts(s.jobs[0].id)),
    Case("list_jobs", few, lambda s: s.store.list_jobs(Filter(types=(s.type,)), limit=2)),
    Case("queues", few, lambda s: s.store.queues()),
    Case("queue_names", few, lambda s: s.store.queue_names()),
    Case("due", few, lambda s: s.store.due(2)),
    Case("waiting_after", few, lambda s: s.store.waiting_after(None, 2)),
    Case("still_waiting", few, lambda s: s.store.still_waiting(s.ids())),
    Case("epoch", few, lambda s: s.store.epoch("mine")),
    Case("nodes", running, lambda s: s.store.nodes()),
    Case("event_rows", few, lambda s: s.store.event_rows(s.seen, 10, MANY_BYTES)),
    Case("number_events", few, lambda s: s.store.number_events()),
    Case("feed_state", few, lambda s: s.store.feed_state()),
    Case("prune_events", few, lambda s: s.store.prune_events(START, 10)),
    Case("new_history", few, lambda s: s.store.new_history("another")),
    Case("diagnose", few, lambda s: s.store.diagnose()),
    Case("ping", few, lambda s: s.store.ping()),
]


def test_every_method_has_its_case() -> None:
    named = {case.name.split()[0] for case in WRITES + READS}
    methods = {name for name in vars(Store) if not name.startswith("_")} - {"name", "now_us", "on_events"}
    assert named == methods


@pytest.mark.parametrize("cases", [WRITES, READS], ids=["writes", "reads"])
async def test_a_cut_at_any_checkpoint_is_as_if_it_were_not_or_were_done(
    backend: Backend, cases: Sequence[Case]
) -> None:
    twin = MemoryStore(clock=backend.clock)
    async with backend.open() as store:
        for case in cases:
            for checkpoint in itertools.count(1):
                if await cut_once(case, checkpoint, store, twin):
                    break
            assert checkpoint > 1, case.name
        await assert_nothing_is_left(store, backend)


async def cut_once(case: Case, checkpoint: int, store: Store, twin: Store) -> bool:
    """Run ``case`` on both, cut at ``checkpoint`` on ``store``. Returns whether there was no such checkpoint."""
    name = f"{case.name.replace(' ', '-')}.{checkpoint}"
    scene, undisturbed = Scene(store, name), Scene(twin, name)
    for one in (scene, undisturbed):
        one.seen = await one.store.number_events()
        await case.prepare(one)
    before = await undisturbed.view()
    assert await scene.view() == before, name
    await case.call(undisturbed)
    after = await undisturbed.view()

    too_late = await cut_at(checkpoint, partial(case.call, scene))
    await assert_usable(store)
    found = await scene.view()
    assert found in ((after,) if too_late else (before, after)), name
    if found != after:
        await case.call(scene)
        assert await scene.view() == after, name
    for one in (scene, undisturbed):
        await one.store.deregister(one.node)
        await one.store.reap(100)
    return too_late


async def assert_usable(store: Store) -> None:
    if isinstance(store, MysqlStore):
        for pool in pools_of(store):
            await assert_clean(pool)


async def assert_nothing_is_left(store: Store, backend: Backend) -> None:
    """No connection is there but those that wait to be used again."""
    if isinstance(store, MysqlStore):
        idle = sum(len(pool._idle) for pool in pools_of(store))

        async def only_those() -> bool:
            return await connections_to(backend.url) == idle

        await eventually(only_those)
