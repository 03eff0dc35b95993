"""A node on a stage: a real lease, worker and ear for orders; what it runs waits for the test."""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from tests.stages.conftest import Stage
from tickr.lease import Lease
from tickr.orders import Orders
from tickr.own_node import OwnNode
from tickr.store.contract import Node
from tickr.store.orders import Order
from tickr.worker.handlers import Jobs
from tickr.worker.worker import Worker

SOON_S = 0.001
"""A ring takes no virtual time, but claims step back for some."""


class Living:
    """A node of ``stage`` with a real lease, worker and ear. Its jobs run until ``gate`` opens."""

    def __init__(self, stage: Stage, slots: int = 2) -> None:
        self.stage, self.started, self.gate, self.stopped = stage, list[str](), trio.Event(), trio.Event()
        jobs = Jobs()

        @jobs.handler("noop")
        async def noop(job: Any) -> None:
            self.started.append(job.id)
            await self.gate.wait()

        about = Node(id="", host="h", pid=1, version="0", types=tuple(jobs.types), slots=slots)
        self.lease = Lease(stage.store, about, lease_s=15)
        self.worker = Worker(
            jobs,
            stage.store,
            stage.index,
            stage.bell,
            stage.announcer,
            slots=slots,
            max_result_bytes=100,
            lease_s=15,
            holds_lease=lambda: self.lease.holds,
            describe=stage.describe,
        )
        self.own = OwnNode(self.lease, self.worker, self.stopped.set)
        self.orders = Orders(stage.store, stage.bell)

    async def live(self, nursery: trio.Nursery) -> None:
        await self.lease.register()
        nursery.start_soon(self.worker.run, nursery)
        nursery.start_soon(self.worker.claim, self.lease.node_id)
        nursery.start_soon(self.orders.obey, self.own)
        await wait_all_tasks_blocked()

    async def give(self, **order: Any) -> Node:
        node = await self.orders.give(self.lease.node_id, Order(**order))
        await self.pass_by()
        return node

    async def row(self) -> Node:
        found = await self.stage.store.node(self.lease.node_id)
        assert isinstance(found, Node)
        return found

    async def pass_by(self, seconds: float = SOON_S) -> None:
        """Let so much time go by, and all that comes of it."""
        await trio.sleep(seconds)
        await wait_all_tasks_blocked()
