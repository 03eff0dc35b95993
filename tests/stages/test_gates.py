"""Gates: what is set on queues and on a node decides where it looks, and places that get free are taken at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import tickr
from tests.stages.conftest import NODE, SECOND_US, Stage
from tests.stages.nodes import Slots
from tickr.bell import Ring
from tickr.errors import IndexUnavailable
from tickr.queues import NO_LIMITS, Limits, Order, Rate
from tickr.scheduler.audit import Audit
from tickr.scheduler.promote import promote
from tickr.worker.gates import CLOSED_NET_S

OTHER = "22222222-2222-7222-8222-222222222222"


class Node(Slots):
    """A whole node whose jobs run until they are let go.

    Attributes:
      runs: the jobs that run now. most: how many ran at once at most, by queue and by key.
      begun: the keys of all that began, in order.
    """

    def __init__(
        self, stage: Stage, *, slots: int = 10, here: Mapping[str, int | None] | None = None, order: Order = ()
    ) -> None:
        super().__init__(stage, self.work, slots=slots, here=here, order=order)
        self.runs: dict[str, trio.Event] = {}
        self.most: Counter[str | None] = Counter()
        self.begun: list[str | None] = []
        self._now: Counter[str | None] = Counter()

    async def work(self, job: tickr.Job) -> None:
        stored = await self.stage.store.get(job.id)
        assert stored is not None
        self.begun.append(stored.limit_key)
        self.runs[job.id] = trio.Event()
        for name in {stored.queue, stored.limit_key}:
            self._now[name] += 1
            self.most[name] = max(self.most[name], self._now[name])
        try:
            await self.runs[job.id].wait()
        finally:
            del self.runs[job.id]
            for name in {stored.queue, stored.limit_key}:
                self._now[name] -= 1

    async def start(self, nursery: trio.Nursery, node: str = NODE) -> None:
        await self.run(nursery)
        nursery.start_soon(promote, self.stage.store, self.stage.index, self.stage.bell)
        nursery.start_soon(Audit(self.stage.store, self.stage.index, self.stage.bell).run)
        await self.claim(nursery, node)

    async def let_go(self, count: int = 1) -> None:
        for event in list(self.runs.values())[:count]:
            event.set()
        await wait_all_tasks_blocked()


async def control(stage: Stage, queue: str, **wishes: object) -> None:
    """Set something, and ring as the API does."""
    await stage.store.control(queue, **wishes)
    await stage.bell.ring(Ring("queue"))
    await wait_all_tasks_blocked()


async def test_a_paused_queue_rests_and_goes_on_at_once(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await node.start(nursery)
    await control(stage, "slow", paused=True)
    await stage.submit(3, queue="slow")
    await stage.submit(2, queue="fast")
    await wait_all_tasks_blocked()
    assert (len(node.runs), node.most) == (2, {"fast": 2, None: 2})
    before = trio.current_time()
    await control(stage, "slow", paused=False)
    assert (len(node.runs), trio.current_time()) == (5, before)


async def test_a_queue_that_is_paused_is_not_asked_for_all_the_time(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await control(stage, "default", paused=True)
    await stage.submit(3)
    await node.start(nursery)
    await trio.sleep(100)  # virtual
    assert node.claims <= 2
    assert stage.store.calls["standings"] <= 100 / CLOSED_NET_S + 5
    await stage.store.control("default", paused=False)  # and the ring is lost
    await trio.sleep(CLOSED_NET_S + 0.1)  # virtual
    assert len(node.runs) == 3


async def test_a_place_that_gets_free_is_taken_at_once(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await control(stage, "default", limits=Limits(max_running=2))
    await node.start(nursery)
    await stage.submit(5)
    await wait_all_tasks_blocked()
    before = trio.current_time()
    for left in (2, 2, 2, 2, 1, 0):
        assert (len(node.runs), node.most["default"]) == (left, 2)
        await node.let_go()
    assert trio.current_time() == before
    assert node.claims <= 20


async def test_a_place_that_gets_free_on_another_node_is_taken_at_once(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await control(stage, "default", limits=Limits(max_running=1))
    first, second = Node(stage), Node(stage)
    await first.start(nursery)
    await stage.submit(2)
    await wait_all_tasks_blocked()
    await second.start(nursery, OTHER)
    first.claimer.close()
    assert (len(first.runs), len(second.runs)) == (1, 0)
    await first.let_go()
    assert (len(first.runs), len(second.runs)) == (0, 1)


async def test_keys_have_fair_turns_and_none_runs_more_than_it_may(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage, slots=4)
    await control(stage, "default", limits=Limits(max_running_per_key=2))
    await stage.submit(40, limit_key="a")
    await stage.submit(4, limit_key="b")
    await stage.submit(2, limit_key="c")
    await stage.submit(2)
    await node.start(nursery)
    while node.runs:
        await node.let_go()
        await trio.sleep(0.001)  # virtual
    assert len(node.begun) == 48
    assert (node.most["a"], node.most["b"]) == (2, 2)
    last = {key: at for at, key in enumerate(node.begun)}
    assert max(last["b"], last["c"], last[None]) <= 24
    assert trio.current_time() < 3


async def test_a_key_that_gets_free_in_one_queue_goes_on_in_another_at_once(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    for queue in ("a", "b"):
        await control(stage, queue, limits=Limits(max_running_per_key=1, shared_keys=True))
    await node.start(nursery)
    for queue in ("a", "b", "a", "b"):
        await stage.submit(5, queue=queue, limit_key="k")
    before = trio.current_time()
    while node.runs:
        assert len(node.runs) == 1
        await node.let_go()
    assert (len(node.begun), node.most["k"]) == (20, 1)
    assert trio.current_time() == before


async def test_a_rate_is_used_and_kept(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    node = Node(stage, slots=50)
    await control(stage, "default", limits=Limits(rate=Rate(3, 60 * SECOND_US)))
    await node.start(nursery)
    await stage.submit(10)
    begun = []
    for pause_s in (30, 61, 61, 61):
        await trio.sleep(pause_s)  # virtual
        begun.append(len(node.begun))
    assert begun == [3, 6, 9, 10]
    assert node.claims <= 20


async def test_limits_that_are_lifted_let_all_go_at_once(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await control(stage, "default", limits=Limits(max_running=1, max_running_per_key=1))
    await node.start(nursery)
    await stage.submit(3, limit_key="a")
    await stage.submit(3)
    await wait_all_tasks_blocked()
    assert len(node.runs) == 1
    await control(stage, "default", limits=NO_LIMITS)
    await trio.sleep(2.5)  # virtual; a key that was full is kept back for two seconds at most
    assert len(node.runs) == 6


async def test_a_node_is_for_some_queues_and_for_so_many_jobs_of_one(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage, here={"default": None, "mail": 2})
    await node.start(nursery)
    for queue in ("default", "mail", "other"):
        await stage.submit(3, queue=queue)
    await stage.submit(3, queue="mail", delay_us=SECOND_US)
    await trio.sleep(2)  # virtual
    assert node.most == {"default": 3, "mail": 2, None: 5}
    await node.let_go(10)
    await trio.sleep(2)  # virtual
    await node.let_go(10)
    await trio.sleep(2)  # virtual
    assert (node.most["mail"], node.most["other"]) == (2, 0)
    assert len(node.begun) == 9


async def test_queues_come_before_others_if_it_is_said_so(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage, slots=1, order=(("urgent", None), ("soon", None)))
    for queue in ("other", "soon", "urgent"):
        await stage.submit(3, queue=queue, limit_key=queue)
    await node.start(nursery)
    for _ in range(9):
        await node.let_go()
    assert node.begun[:6] == ["urgent"] * 3 + ["soon"] * 3


async def test_queues_have_shares_by_their_weights(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage, slots=1, order=(("much", 3), ("little", 1)))
    for queue in ("much", "little"):
        await stage.submit(12, queue=queue, limit_key=queue)
    await node.start(nursery)
    for _ in range(24):
        await node.let_go()
    assert node.begun[:12].count("much") in range(8, 11)


async def test_without_the_index_it_is_all_the_same(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.index.failing["*"] = IndexUnavailable("away")
    monkeypatch.setattr(stage.index.port, "wait_available", trio.sleep_forever)
    await control(stage, "default", limits=Limits(max_running_per_key=1))
    await control(stage, "paused", paused=True)
    node = Node(stage, here={"default": None, "mail": 2, "paused": None})
    await stage.submit(5, limit_key="a")
    await stage.submit(1, limit_key="b")
    for queue in ("mail", "paused", "other"):
        await stage.submit(3, queue=queue)
    await node.start(nursery)
    await trio.sleep(5)  # virtual
    assert node.most == {"default": 2, "a": 1, "b": 1, "mail": 2, None: 2}


async def test_plain_queues_cost_no_look_at_limits(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await node.start(nursery)
    await stage.submit(1)
    await node.let_go()
    looks = stage.store.calls["standings"]
    for _ in range(20):
        await stage.submit(3)
        await wait_all_tasks_blocked()
        await node.let_go(3)
    assert stage.store.calls["standings"] == looks
    assert stage.index.calls["free"] == 0
