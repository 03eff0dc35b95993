"""What a node tells of its load: how much it does, and whether due work waits that it had no time for."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.stages.conftest import SECOND_US, Stage
from tests.stages.living import SOON_S, Living
from tickr.bell import Ring
from tickr.errors import IndexUnavailable, StoreUnavailable
from tickr.worker.load import EMPTY_S, Appetite

STEP_S = 1.0
SLACK = 0.1
"""In virtual time a second takes little of a processor, but not nothing."""


async def told(node: Living, looks: int = 1) -> list[tuple[float | None, bool]]:
    """Return what the node tells at each of the looks, a second apart: how much it does (None: nothing is told)."""
    found: list[tuple[float | None, bool]] = []
    for _ in range(looks):
        await trio.sleep(STEP_S)  # virtual
        load = await node.worker.load()
        found.append((load.share, load.behind) if load else (None, False))
    return found


async def begun(stage: Stage, nursery: trio.Nursery, slots: int = 2) -> Living:
    node = Living(stage, slots)
    await node.live(nursery)
    assert await node.worker.load() is None, "nothing is known of the time before the first look"
    return node


async def test_nothing_to_do_is_told(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    node = await begun(stage, nursery)
    assert await told(node, 3) == [(pytest.approx(0, abs=SLACK), False)] * 3


async def test_slots_that_are_taken_are_load_and_only_what_waits_beside_them_is_too_much(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = await begun(stage, nursery)
    await stage.submit(1)
    assert await told(node, 2) == [(0.5, False)] * 2
    await stage.submit(1)
    # The first look still sees a time when there was nothing more to do.
    assert await told(node, 3) == [(1.0, False)] * 3
    await stage.submit(1)
    assert await told(node, 3) == [(1.0, True)] * 3
    node.gate.set()
    assert await told(node, 1) == [(pytest.approx(0, abs=SLACK), False)]


async def test_what_it_may_not_start_is_not_what_it_has_no_time_for(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Jobs of a paused queue, or not yet due: another process could not start them, either."""
    await stage.store.control("shut", paused=True)
    node = await begun(stage, nursery)
    await stage.submit(2)
    await stage.submit(1, delay_us=3600 * SECOND_US)
    await stage.submit(1, queue="shut")
    assert (await told(node, 15))[-1] == (1.0, False)
    await stage.store.control("shut", paused=False)
    await stage.bell.ring(Ring("queue"))
    assert (await told(node, 15))[-1] == (1.0, True)


async def test_with_room_it_is_not_behind_whatever_waits(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """What stays in the index then is for others, who have the handlers."""
    await stage.register(types=("foreign",))
    node = await begun(stage, nursery)
    await stage.submit(3, type="foreign")
    await stage.submit(1)
    assert not any(behind for _, behind in await told(node, 30))


async def test_of_what_waits_in_an_index_that_is_away_nothing_is_known(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = await begun(stage, nursery)
    await stage.submit(5)
    assert (await told(node, 3))[-1] == (1.0, True)
    stage.index.failing["has_ready"] = IndexUnavailable("away")
    assert (await told(node))[-1] == (1.0, False)


async def test_a_node_that_takes_nothing_tells_nothing(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = await begun(stage, nursery)
    await node.give(quiet=True)
    await trio.sleep(SOON_S)  # virtual
    assert await told(node) == [(None, False)]
    await node.give(quiet=False)
    await trio.sleep(SOON_S)  # virtual
    assert await told(node) == [(pytest.approx(0, abs=SLACK), False)]

    (job,) = await stage.insert()
    stage.store.failing["*"] = StoreUnavailable("away")
    await stage.index.push([job.entry()], now=stage.wall_clock())
    assert (await told(node, 2))[-1] == (None, False)
    stage.store.failing.clear()
    assert (await told(node, 2))[-1][0] is not None

    node.worker.stop_claiming()
    assert await told(node) == [(None, False)]


async def test_the_share_goes_by_the_slots_there_are_now(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = await begun(stage, nursery, slots=2)
    await stage.submit(2)
    assert (await told(node, 2))[-1] == (1.0, False)
    node.worker.set_slots(8)
    assert (await told(node, 2))[-1] == (0.25, False)


async def test_a_short_wait_for_work_is_the_way_to_the_index_and_a_long_one_is_idleness(
    autojump_clock: MockClock,
) -> None:
    appetite = Appetite()
    assert appetite.empty_at == float("-inf")
    with appetite:
        await trio.sleep(EMPTY_S / 2)  # virtual
        assert appetite.empty_at == float("-inf")
    with appetite:
        assert appetite.empty_at == float("-inf"), "each wait is one of its own"
        await trio.sleep(EMPTY_S)  # virtual
        assert appetite.empty_at == trio.current_time()
    ended = trio.current_time()
    await trio.sleep(5)  # virtual
    assert appetite.empty_at == ended
