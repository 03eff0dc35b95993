"""Row 4, event-driven: nothing polls faster than once a second. Counted at the ports during five idle seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from inspect import iscoroutinefunction
from typing import Any

import pytest
import trio
import trio.testing

from tests.features.conftest import StartNode
from tests.features.test_03_delayed_jobs import noop
from tickr import service
from tickr.service import Handle, serve

IDLE_S = 5
AT_MOST = IDLE_S + 1
"""Calls of one method in that time: one a second, and one for the edges."""


class Counted:
    """An open port whose calls are counted by name."""

    def __init__(self, port: Any, calls: Counter[str]) -> None:
        self._port = port
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if not iscoroutinefunction(value):
            return value

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self._calls[name] += 1
            return await value(*args, **kwargs)

        return counted


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The calls that nodes make on their store and index, by method."""
    counter: Counter[str] = Counter()

    def counting(opener: Callable[..., Any]) -> Callable[..., Any]:
        @asynccontextmanager
        async def opened(*args: Any, **kwargs: Any) -> AsyncIterator[Counted]:
            async with opener(*args, **kwargs) as port:
                yield Counted(port, counter)

        return opened

    monkeypatch.setattr(service, "open_store", counting(service.open_store))
    monkeypatch.setattr(service, "open_index", counting(service.open_index))
    return counter


def assert_idle(calls: Counter[str]) -> None:
    assert calls, "nothing was counted at all"
    assert {name: count for name, count in calls.items() if count > AT_MOST} == {}


async def test_event_driven_idle_in_virtual_time(calls: Counter[str], autojump_clock: trio.testing.MockClock) -> None:
    def clock() -> int:
        return 1_700_000_000_000_000 + int(trio.current_time() * 1_000_000)

    async with trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[Handle]) -> None:
            await serve(
                noop(),
                store="memory:",
                index="heap:",
                roles=("scheduler", "worker"),
                clock=clock,
                task_status=task_status,
            )

        handle = await nursery.start(run)
        await trio.sleep(3)  # virtual: the start is over
        calls.clear()
        await trio.sleep(IDLE_S)  # virtual
        assert_idle(calls)
        handle.stop()


async def test_event_driven_idle_in_real_time(calls: Counter[str], start_node: StartNode) -> None:
    async with start_node(noop()) as client:
        done = await client.post(type="noop")
        await client.post(type="noop", delay=3600)
        await client.until_final(done["id"])
        calls.clear()
        with trio.move_on_after(IDLE_S):
            await trio.sleep_forever()
        assert_idle(calls)
