"""Whole programs of writers, prunings and listeners that come, go and dawdle: nobody ever misses an event unawares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.feed.conftest import Log, names
from tickr.errors import CursorExpired, StoreUnavailable, TooSlow
from tickr.feed.selection import EVERYTHING, Selection

QUEUES = ("a", "b")
SELECTIONS = (EVERYTHING, *(Selection(queues=frozenset({queue})) for queue in QUEUES))

steps = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 4), st.sampled_from(QUEUES)),
    st.tuples(st.just("come"), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.just("hear"), st.integers(0, 2), st.integers(1, 3)),
    st.tuples(st.just("go"), st.integers(0, 2)),
    st.tuples(st.just("prune"), st.integers(1, 3)),
    st.tuples(st.just("deafen")),
    st.tuples(st.just("hear_bell")),
    st.tuples(st.just("store"), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 1.0, 12.0])),
)


class Listener:
    """One client that keeps its cursor over its visits.

    Attributes:
      cursor: None before the first visit, and after it was told that it has missed something.
      got: the ids of all events it received since then, in order.
      begun_at: how many rows there were when it began to listen.
    """

    def __init__(self, log: Log, selection: Selection) -> None:
        self.log = log
        self.selection = selection
        self.cursor: str | None = None
        self.got: list[str] = []
        self.begun_at = 0
        self.wants = trio.Semaphore(0)
        self.scope: trio.CancelScope | None = None

    async def visit(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with trio.CancelScope() as self.scope:
            if self.cursor is None:
                self.begun_at = len(self.log.told)
            try:
                async with self.log.feed.subscribe(self.selection, after=self.cursor) as subscription:
                    self.cursor = subscription.cursor
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                    await self._follow(subscription)
            except CursorExpired:
                await self.excuse()
            except (StoreUnavailable, TooSlow):
                pass
        task_status.started()
        self.scope = None

    async def excuse(self) -> None:
        """It was told that it has missed something: that may only be where something was deleted."""
        assert (await self.log.memory.feed_state()).oldest > 1
        self.cursor, self.got = None, []

    async def _follow(self, subscription: Any) -> None:
        while True:
            await self.wants.acquire()
            delivery = await subscription.receive()
            self.got += names(delivery)
            self.cursor = delivery.cursor

    async def go(self) -> None:
        if self.scope:
            self.scope.cancel()
            await wait_all_tasks_blocked()


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=40))
def test_any_program(program: Sequence[tuple[Any, ...]]) -> None:
    async def run() -> None:
        log = Log()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(log.feed.run)
            listeners = [Listener(log, selection) for selection in SELECTIONS]
            queues: list[str] = []
            for step in program:
                await _do(step, log, listeners, nursery, queues)
            log.store.failing.clear()
            for listener in listeners:
                await listener.go()
                await _read_to_the_end(listener)
                expected = [
                    name
                    for queue, row in zip(queues, log.told, strict=True)
                    for name in row
                    if not listener.selection.queues or queue in listener.selection.queues
                ]
                assert listener.got == expected[len(expected) - len(listener.got) :]
                begun = sum(
                    len(row)
                    for queue, row in zip(queues[listener.begun_at :], log.told[listener.begun_at :], strict=True)
                    if not listener.selection.queues or queue in listener.selection.queues
                )
                assert len(listener.got) >= begun or listener.cursor is None
            nursery.cancel_scope.cancel()

    trio.run(run, clock=MockClock(autojump_threshold=0))


async def _do(
    step: tuple[Any, ...], log: Log, listeners: list[Listener], nursery: trio.Nursery, queues: list[str]
) -> None:
    match step:
        case ("write", count, queue):
            if not log.store.failing:
                queues.append(queue)
                await log.write(count, queue=queue)
        case ("come", who, _):
            if listeners[who].scope is None:
                await nursery.start(listeners[who].visit)
        case ("hear", who, times):
            for _ in range(times):
                listeners[who].wants.release()
            await wait_all_tasks_blocked()
        case ("go", who):
            await listeners[who].go()
        case ("prune", count):
            if not log.store.failing:
                await log.store.prune_events(log.wall_clock() + 1, count)
        case ("deafen",):
            log.deafen()
        case ("hear_bell",):
            log.hear()
        case ("store", away):
            log.store.failing = {"*": StoreUnavailable("away")} if away else {}
        case ("wait", seconds):
            await trio.sleep(seconds)


async def _read_to_the_end(listener: Listener) -> None:
    if listener.cursor is None:
        return
    try:
        async with listener.log.feed.subscribe(listener.selection, after=listener.cursor) as subscription:
            while (delivery := await subscription.receive()).kind != "caught_up":
                listener.got += names(delivery)
    except CursorExpired:
        await listener.excuse()
