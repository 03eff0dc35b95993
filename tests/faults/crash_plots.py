"""For every failpoint a scene: which node comes to it, under which load, and who takes over when it has died there.

On MariaDB and Redis the victim has one role, where one is enough, beside an heir that has them all and works on without
faults: what the victim held is the heir's when its lease has ended. On SQLite and the heap the victim is alone, and the
heir is what the operator starts in its place: it knows at once that the victim is dead.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

import trio

from tests.faults.crash_listener import Listener
from tests.faults.crash_stage import FAR_S, LEASE_S, WAVE_S, WORKERS, Stage
from tests.faults.inserting import inbox_of, insert_on
from tests.processes import TickrProcess
from tests.waiting import eventually

ALL = "api,scheduler,worker"
FREEZES = 4
TICKS_AFTER = 3
"""So many ticks of a schedule are waited for after a node has died."""
OPERATED, PUT_OFF = 60, "put-off"
"""So many jobs of this type, which nobody handles, are what an operation is about."""
SILENT_S = 4 * LEASE_S
"""How long a node is kept frozen at most, in seconds."""


class Scene(NamedTuple):
    """How a node comes to a point.

    Attributes:
      play: see the plots below.
      roles: of the victim, where somebody else has the others.
      passes: how many times it passes the point first.
      flags: of the victim.
    """

    play: Callable[[Stage, str, Scene], Awaitable[None]]
    roles: str = ALL
    passes: int = 0
    flags: tuple[str, ...] = ()

    def victim(self, stage: Stage, point: str) -> TickrProcess:
        roles = self.roles if stage.backend.shared else ALL
        return stage.node(*self.flags, roles=roles, failpoints=f"{point}=kill@{self.passes + 1}")


# -- plots ------------------------------------------------------------------------------------------------------------


async def under_load(stage: Stage, point: str, scene: Scene) -> None:
    """Jobs come in, wave after wave, until the victim has died."""
    victim = scene.victim(stage, point)
    heir = stage.node()
    async with trio.open_nursery() as nursery:
        if stage.backend.shared:
            nursery.start_soon(stage.start, heir)
        await stage.start(victim)
    await waves_until_struck(stage, victim, point)
    if not stage.backend.shared:
        await stage.start(heir)


async def followed(stage: Stage, point: str, scene: Scene) -> None:
    """The same with a subscriber, who comes back with its cursor and hears everything once, in order."""
    listener = Listener(stage.nodes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.run)
        await under_load(stage, point, scene)
        await stage.drain()
        await listener.has_heard((await stage.history()).events)
        nursery.cancel_scope.cancel()


async def stopped(stage: Stage, point: str, scene: Scene) -> None:
    """The victim is told to stop while it works."""
    victim, heir = scene.victim(stage, point), stage.node()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.start, victim)
        if stage.backend.shared:
            nursery.start_soon(stage.start, heir)
    await stage.client.wave()
    await keep_busy(stage, victim, 1.0, 2.0)
    victim.terminate()
    await stage.struck(victim, point)
    if not stage.backend.shared:
        await stage.start(heir)


async def without_index(stage: Stage, point: str, scene: Scene) -> None:
    """Redis loses everything again and again; the heap loses it with its process."""
    if not stage.backend.shared:
        first = await stage.start(stage.node())
        await stage.client.wave()
        await stage.kill(first)
        await under_load(stage, point, scene)
        return
    await stage.start(stage.node())
    await stage.client.wave()
    victim = await stage.start(scene.victim(stage, point))
    await waves_until_struck(stage, victim, point, each=stage.backend.forget_index)


async def with_entries_lost(stage: Stage, point: str, scene: Scene) -> None:
    """Jobs that wait are not in the index: taken out of Redis, or submitted at a node with another heap."""
    if stage.backend.shared:
        others = await stage.start(stage.node(roles="api,worker"))
        victim = await stage.start(scene.victim(stage, point))
        await waves_until_struck(stage, victim, point, each=lambda: stage.backend.forget_index("epoch"))
    else:
        others = await stage.start(stage.node(roles="api"))
        victim = await stage.start(scene.victim(stage, point))
        await waves_until_struck(stage, victim, point)
    await stage.start(stage.node())
    assert others.running


async def beside_a_silent_node(stage: Stage, point: str, scene: Scene) -> None:
    """Another node works and falls silent for longer than its lease: frozen, or killed where it could hold a lock."""
    other, victim = stage.node(), scene.victim(stage, point)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.start, other)
        nursery.start_soon(stage.start, victim)
    if stage.backend.shared:
        for _ in range(FREEZES):
            if await freeze_at_work(stage, other, lambda: not victim.running):
                break
        await stage.struck(victim, point)
    else:
        await keep_busy(stage, other)
        await stage.kill(other)
        await stage.struck(victim, point)
        await stage.start(stage.node())


async def silent_itself(stage: Stage, point: str, scene: Scene) -> None:
    """The victim is frozen until another node has taken its row away, or much longer than its lease; then it knows."""
    victim, heir = scene.victim(stage, point), stage.node()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.start, victim)
        nursery.start_soon(stage.start, heir)
    await freeze_at_work(stage, victim, lambda: "node.expired" in heir.log)
    await stage.struck(victim, point)


async def with_old_events(stage: Stage, point: str, scene: Scene) -> None:
    """The victim keeps events for a second only; they are looked at before it is started."""
    await stage.start(stage.node())
    await stage.client.wave()
    await stage.drain()
    await stage.keep_events()
    victim = await stage.start(scene.victim(stage, point))
    await stage.struck(victim, point)
    await stage.client.wave()


async def while_schedules_tick(stage: Stage, point: str, scene: Scene) -> None:
    """A schedule has a tick every second, before, while and after the victim dies; each makes one job."""
    victim, heir = scene.victim(stage, point), stage.node()
    async with trio.open_nursery() as nursery:
        if stage.backend.shared:
            nursery.start_soon(stage.start, heir)
        await stage.start(victim)
    await stage.client.tick()
    await waves_until_struck(stage, victim, point)
    if not stage.backend.shared:
        await stage.start(heir)
    await stage.client.ticks_on(TICKS_AFTER)
    await stage.client.end_ticks()
    await stage.drain()
    ticks = [job.made_for.tick or 0 for job in (await stage.history()).jobs if job.made_for]
    assert len(ticks) > TICKS_AFTER
    assert sorted(ticks) == [*range(min(ticks), max(ticks) + 1, 1_000_000)], sorted(ticks)


async def while_an_operation_runs(stage: Stage, point: str, scene: Scene) -> None:
    """An operation cancels jobs, step by step, before, while and after the victim dies; each of them once."""
    victim, heir = scene.victim(stage, point), stage.node()
    async with trio.open_nursery() as nursery:
        if stage.backend.shared:
            nursery.start_soon(stage.start, heir)
        await stage.start(victim)
    jobs = [await stage.client.submit(PUT_OFF, delay=FAR_S, ends=("cancelled",)) for _ in range(OPERATED)]
    await stage.client.settle()
    operation = await stage.client.operate({"action": "cancel", "filter": {"type": PUT_OFF}, "rate": OPERATED / 3})
    await stage.client.wave()
    await stage.struck(victim, point)
    if not stage.backend.shared:
        await stage.start(heir)
    ended = await stage.client.operated(operation)
    assert (ended["done"], ended["skipped"], ended["total"]) == (len(jobs), 0, len(jobs)), ended


async def with_rows_inserted(stage: Stage, point: str, scene: Scene) -> None:
    """Another program inserts jobs, beside the load, which nobody submits again; not one of its rows is left."""
    victim, heir = scene.victim(stage, point), stage.node()
    async with trio.open_nursery() as nursery:
        if stage.backend.shared:
            nursery.start_soon(stage.start, heir)
        await stage.start(victim)
    await waves_until_struck(stage, victim, point, each=partial(insert_on, stage))
    if not stage.backend.shared:
        await stage.start(heir)
    await stage.drain()

    async def none_left() -> bool:
        return not await trio.to_thread.run_sync(inbox_of, stage.backend.store)

    await eventually(none_left, within_s=WAVE_S * 10)


async def keep_busy(stage: Stage, node: TickrProcess, *seconds: float) -> None:
    """Submit more than one node has slots for, and return when ``node`` is at work.

    Args:
      seconds: how long the jobs take, in turn; else some would end while their node is silent, some go on after it.
    """
    lengths = itertools.cycle(seconds or (1.0, LEASE_S + 2))
    async with trio.open_nursery() as nursery:
        for length in itertools.islice(lengths, WORKERS + 4):
            nursery.start_soon(partial(stage.client.submit, "slow", seconds=length))
    await stage.works(node)


async def freeze_at_work(stage: Stage, node: TickrProcess, done: Callable[[], bool]) -> bool:
    """Freeze ``node`` at work until ``done``, or for long enough; return whether it is.

    It may not be: a node that was frozen in a transaction may hold a lock that keeps the others from it.
    """
    await keep_busy(stage, node)
    thaw = stage.freeze(node)
    with trio.move_on_after(SILENT_S):
        await eventually(lambda: as_fact(done), within_s=2 * SILENT_S)
    thaw()
    return done()


async def as_fact(done: Callable[[], bool]) -> bool:
    return done()


async def waves_until_struck(
    stage: Stage, victim: TickrProcess, point: str, *, each: Callable[[], None] | None = None
) -> None:
    """Send one wave of jobs after the other, and do ``each`` after each, until the victim has died at its point."""
    async with trio.open_nursery() as nursery:

        async def until_struck() -> None:
            await stage.struck(victim, point)
            nursery.cancel_scope.cancel()

        nursery.start_soon(until_struck)
        while True:
            with trio.CancelScope(shield=True):  # what was asked is heard out, or would be neither known nor unknown
                await stage.client.wave()
                if each:
                    await trio.to_thread.run_sync(each)
            await trio.sleep(WAVE_S)


# -- scenes -----------------------------------------------------------------------------------------------------------

SCENES = {
    "intake.before_store": Scene(under_load, "api", passes=1),
    "intake.after_commit": Scene(under_load, "api", passes=1),
    "intake.after_announce": Scene(under_load, "api", passes=1),
    "intake.after_cancel": Scene(under_load, "api"),
    "api.before_answer": Scene(under_load, "api", passes=5),
    "inbox.after_submit": Scene(with_rows_inserted, "api"),
    "announce.after_index": Scene(under_load, "api", passes=1),
    "store.before_commit": Scene(under_load, passes=9),
    "store.after_commit": Scene(under_load, passes=9),
    "lease.after_register": Scene(under_load),
    "lease.before_renew": Scene(under_load, "worker", passes=1),
    "lease.after_lost": Scene(silent_itself, "worker"),
    "claim.after_pop": Scene(under_load, "worker", passes=1),
    "claim.after_commit": Scene(under_load, "worker", passes=1),
    "run.before_handler": Scene(under_load, "worker", passes=2),
    "run.after_handler": Scene(under_load, "worker", passes=2),
    "outcomes.before_store": Scene(under_load, "worker", passes=1),
    "outcomes.after_commit": Scene(under_load, "worker", passes=1),
    "outcomes.after_announce": Scene(under_load, "worker", passes=1),
    "notes.before_store": Scene(under_load, "worker"),
    "promote.before": Scene(under_load, "scheduler", passes=3),
    "promote.after": Scene(under_load, "scheduler"),
    "schedule.before_fire": Scene(while_schedules_tick, "scheduler", passes=2),
    "schedule.after_fire": Scene(while_schedules_tick, "scheduler", passes=2),
    "operation.before_step": Scene(while_an_operation_runs, "scheduler", passes=2),
    "operation.after_step": Scene(while_an_operation_runs, "scheduler", passes=2),
    "reap.after_expire": Scene(beside_a_silent_node, "scheduler"),
    "reap.after_commit": Scene(beside_a_silent_node, "scheduler"),
    "expire.after_commit": Scene(under_load, "scheduler"),
    "audit.before_put_back": Scene(with_entries_lost, "scheduler"),
    "rebuild.after_mark": Scene(without_index, "scheduler"),
    "rebuild.after_page": Scene(without_index, "scheduler"),
    "rebuild.before_epoch": Scene(without_index, "scheduler"),
    "retention.after_number": Scene(under_load, "scheduler", passes=1),
    "retention.after_prune": Scene(with_old_events, "scheduler", flags=("--events-keep", "1")),
    "statistics.before_commit": Scene(under_load, "scheduler"),
    "statistics.after_commit": Scene(under_load, "scheduler"),
    "feed.before_number": Scene(followed, "api", passes=1),
    "feed.after_number": Scene(followed, "api", passes=1),
    "feed.before_tell": Scene(followed, "api", passes=1),
    "stop.draining": Scene(stopped),
    "stop.before_hand_back": Scene(stopped, flags=("--grace", "0.3")),
    "stop.before_release": Scene(stopped),
    "stop.after_release": Scene(stopped),
}

IN_FAMILIES = {"children.after_commit", "links.after_commit"}
"""Points on the way of jobs that wait for others: nodes are killed there in tests/features/test_20_children.py."""
NUMBERED_AT_INSERT = {"feed.before_number", "feed.after_number"}
"""SQLite's one writer gives events their numbers as it writes them."""
