"""Row 4, event-driven: nothing polls faster than once a second. Counted at the ports during five idle seconds."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.features.conftest import StartNode
from tests.features.test_03_delayed_jobs import noop
from tests.ports import Observed, observing
from tickr import service
from tickr.handle import Handle
from tickr.service import serve

IDLE_S = 5
AT_MOST = IDLE_S + 1
"""Calls of one method in that time: one a second, and one for the edges."""


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> list[Observed]:
    """The store and the index of each node that the test starts."""
    opened: list[Observed] = []
    monkeypatch.setattr(service, "open_store", observing(service.open_store, opened))
    monkeypatch.setattr(service, "open_index", observing(service.open_index, opened))
    return opened


def assert_idle(ports: list[Observed]) -> None:
    for port in ports:
        assert port.calls, f"nothing was counted at {port.name}"
        assert {name: count for name, count in port.calls.items() if count > AT_MOST} == {}


def start_counting(ports: list[Observed]) -> None:
    for port in ports:
        port.calls.clear()


async def test_event_driven_idle_in_virtual_time(ports: list[Observed], autojump_clock: trio.testing.MockClock) -> None:
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
        start_counting(ports)
        await trio.sleep(IDLE_S)  # virtual
        assert_idle(ports)
        handle.stop()


async def test_event_driven_idle_in_real_time(ports: list[Observed], start_node: StartNode) -> None:
    async with start_node(noop()) as client:
        done = await client.post(type="noop")
        await client.post(type="noop", delay=3600)
        await client.until_final(done["id"])
        start_counting(ports)
        with trio.move_on_after(IDLE_S):
            await trio.sleep_forever()
        assert_idle(ports)
