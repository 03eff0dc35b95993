"""Life: the nodes of a test one after the other, the store that outlives them, and the time that passes for all.

State: ``_node`` is the one that lives; ``keep_up`` alone replaces it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import trio

from tickr.config import Config
from tickr.handle import Handle
from tickr.sealing import vault_of
from tickr.surroundings import Surroundings
from tickr.testing.crashes import Crashes
from tickr.testing.ledger import Ledger
from tickr.testing.node import Node
from tickr.testing.truth import WatchedStore
from tickr.testing.unfinished import Unfinished
from tickr.testing.virtual_time import VirtualTime
from tickr.worker.handlers import Jobs

Answer = TypeVar("Answer")

RESTART_S = 1.0
"""A node that has ended is replaced after so many virtual seconds, as by a supervisor."""
LONGEST_S = 10 * 365 * 86_400.0
"""No test takes longer, in virtual seconds: what it waits for will never come."""


class Life:
    """Attributes:
    node: the one that lives, or is about to; None before the first.
    left: tells of what has not ended, for errors; set by who knows the jobs.
    """

    def __init__(
        self, config: Config, surroundings: Surroundings, start: datetime, real_s: float, alone: Callable[[], bool]
    ) -> None:
        self._config = config
        self._surroundings = surroundings
        self._real_s = real_s
        self.time = VirtualTime(start, stuck_s=real_s, at_work=self._at_work_elsewhere, alone=alone)
        self.vault = vault_of(config)
        self.ledger = Ledger(self.time.start_us, self.vault)
        self.store = WatchedStore(self.ledger, self.time.now_us)
        self.crashes = Crashes()
        self.left: Callable[[], str] = str
        self.node: Node | None = None

    async def keep_up(self, jobs: Jobs) -> None:
        """Have a node that lives, until cancelled."""
        while True:
            node = self.node = Node(self._config, jobs, self._surroundings, self.store)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.run)
                await node.serves_or_has_ended()
                self.ledger.look()
            if node.dead and not node.elsewhere:
                await self._find_dead()
            await trio.sleep(RESTART_S)

    async def _find_dead(self) -> None:
        """Take away the rows of what died on this machine, as the next node there does: ``forget_dead_neighbours``."""
        for node_id in self.store.node_ids:
            await self.store.deregister(node_id)

    async def guard(self) -> None:
        """Raises: Unfinished: the test hangs, whatever it waits for."""
        with trio.move_on_after(LONGEST_S):
            await self.time.stuck.wait()
            raise Unfinished(
                f"The test has come to a standstill: for {self._real_s:g} s of real time, virtual time did not get any "
                f"further, because something runs on and on, or a thread does not end.\n{self.left()}"
            )
        raise Unfinished(f"Ten years have passed, and the test still waits.\n{self.left()}")

    def cannot_end(self) -> Unfinished:
        """Return the error for a node that cannot be taken down."""
        zombies = self.node.zombies if self.node else []
        told = "\n".join([self.left(), *(f"the handler of {one} is at\n{self.stack(one)}" for one in zombies)])
        return Unfinished(f"The test is over, and a handler that it has started ignores that it is cancelled.\n{told}")

    # -- the node that lives ------------------------------------------------------------------------------------------

    @property
    def serves(self) -> bool:
        return self.node is not None and self.node.serves

    async def serving(self) -> Node:
        """Return the node that serves, as soon as one does."""
        await self.ledger.wait(lambda: self.serves)
        assert self.node is not None
        return self.node

    async def settled(self) -> None:
        """Return when a node serves, and has done what nodes do at their beginning."""
        await self.serving()
        await self.time.settle()

    async def ask(self, call: Callable[[Handle], Awaitable[Answer]]) -> Answer:
        """Have the node do what a client asks; should it die meanwhile, the next one. Raises: what ``call`` does."""
        while True:
            answer = await (await self.serving()).ask(call)
            if answer is not None:
                return answer.unwrap()

    async def kill(self, *, elsewhere: bool) -> None:
        """Kill the node, and return when the next one serves."""
        (await self.serving()).kill(elsewhere=elsewhere)
        await self.settled()

    async def restart(self) -> None:
        """Have the node stop gracefully, and return when the next one serves."""
        node = await self.serving()
        node.stop()
        await node.ended.wait()
        await self.settled()

    def stack(self, job_id: str) -> str:
        return self.node.stack(job_id) if self.node else ""

    def _at_work_elsewhere(self) -> int:
        return self.node.at_work_elsewhere if self.node else 0
