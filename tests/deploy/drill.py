"""Three nodes at work on the servers of ``site.py``, while a client submits all along and things are killed.

State: ``faults`` and ``gaps_s`` grow with each act. ``verdict`` comes last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from tests.deploy.site import Database, Member, Site
from tests.faults import collect, ledger
from tests.faults.checker import Verdict, check
from tests.faults.history import Fault, History
from tests.faults.ledger import now_us
from tests.faults.soak.load import KINDS, Kind, Load
from tests.faults.soak.nodes import Node
from tests.processes import TickrProcess
from tests.waiting import eventually, happens
from tickr.client import AsyncClient

Found = TypeVar("Found")

NODES = 3
LEASE_S = 5.0
WORKERS = 20
RATE = 40.0
"""Submissions a second."""
SOON = Kind(0.08, "quick", lambda _: {}, lambda chance: {"delay": round(chance.uniform(0.5, 3), 3)})
"""In place of those that come a quarter of a minute later."""
MANY = 100
"""Submissions by which it is seen that work goes on."""
UNFINISHED = "SELECT COUNT(*) FROM jobs WHERE state NOT IN (5, 6, 7)"


def in_a_thread(look: Callable[[], Found]) -> Callable[[], Awaitable[Found]]:
    """Return ``look``, which blocks, as something that ``eventually`` can ask."""
    return partial(trio.to_thread.run_sync, look)


class Drill:
    """Opened by ``drill``.

    Attributes:
      primary: the database that is written to.
      faults: what was done.
      gaps_s: for each act by its name, for how long no submission was answered with yes, at most.
      resumed_s: for each act, from its end to the next yes.
      refused: for each act, how many submissions were answered with 503.
      heard: by job, event and attempt, how often a subscriber was told.
    """

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.primary, self.replica = site.databases
        self._ledger = folder / "ledger"
        self.faults: list[Fault] = []
        self.gaps_s: dict[str, float] = {}
        self.resumed_s: dict[str, float] = {}
        self.refused: dict[str, int] = {}
        self.heard: Counter[tuple[str, str, int]] = Counter()
        self.nodes = [Node(self._process(), lambda: None, self.faults.append) for _ in range(NODES)]
        self.load = Load(self.nodes, RATE, seed=1, kinds=[KINDS[0], SOON, *KINDS[2:]])

    def _process(self) -> TickrProcess:
        return TickrProcess(
            store=self.site.store,
            index=self.site.index,
            workers=WORKERS,
            app="tests.faults.ledger:jobs",
            arguments=["--lease", f"{LEASE_S:g}", "--grace", "5"],
            variables={ledger.VARIABLE: str(self._ledger)},
        )

    # -- what a guide's administrator does --------------------------------------------------------------------------

    async def join(self, server: Database, *, by: str | None = None) -> None:
        """Have ``server`` follow the primary, at the address ``by`` if given, and wait until that waits for it."""
        await self._script("join.sh", by or self.primary.address, server.address)

        def is_waited_for() -> bool:
            return self.primary.says("Rpl_semi_sync_master_clients") == "1"

        await eventually(in_a_thread(is_waited_for), within_s=30)
        assert self.primary.says("Rpl_semi_sync_master_status") == "ON"

    async def fail_over(self) -> None:
        """Make the replica the primary, whether or not the old one lives, and lead everybody there."""
        self.primary, self.replica = self.replica, self.primary
        await self._script("promote.sh", self.primary.address, self.replica.address)
        await self._script("repoint.sh", self.primary.address)

    async def _script(self, name: str, *arguments: str) -> None:
        await trio.to_thread.run_sync(self.site.script, name, *arguments)

    async def master_of_redis(self) -> Member | None:
        """Return the master if it could be killed now: every sentinel knows the others, and who is to take over."""

        def look() -> Member | None:
            ready = all(one.is_ready() for one in self.site.sentinels if one.running)
            return self.site.named_master() if ready else None

        return await in_a_thread(look)()

    # -- faults -----------------------------------------------------------------------------------------------------

    @contextmanager
    def noted(self, kind: str, part: str) -> Iterator[None]:
        """Note a fault that lasts as long as the block."""
        began = now_us()
        yield
        self.faults.append(Fault(kind, part, began, now_us()))  # type: ignore[arg-type]

    @asynccontextmanager
    async def act(self, name: str) -> AsyncIterator[None]:
        """Do something to the servers or nodes, and measure what the client sees of it."""
        began, refusals = now_us(), self.load.refusals
        yield
        ended = now_us()
        await self.many_yes_after(ended)
        yes = sorted(one.answered_at for one in self.load.submissions if one.answer == "ok" and one.answered_at > began)
        gaps = [later - earlier for earlier, later in zip([began, *yes], yes, strict=False)]
        self.gaps_s[name] = round(max(gaps) / 1e6, 2)
        self.resumed_s[name] = round((next(at for at in yes if at > ended) - ended) / 1e6, 2)
        self.refused[name] = self.load.refusals - refusals

    async def many_yes_after(self, instant: int) -> None:
        """Return when ``MANY`` submissions that were asked for after ``instant`` have been answered with yes."""

        def are_answered() -> bool:
            asked = (one for one in self.load.submissions if one.answer == "ok" and one.asked_at > instant)
            return sum(1 for _ in asked) >= MANY

        await eventually(happens(are_answered), within_s=60)

    async def listen(self) -> None:
        """Note every event that the last node tells, from the first on, until cancelled."""
        async with AsyncClient(self.nodes[-1].process.url) as client, client.events(after="earliest") as events:
            async for event in events:
                if event.job is not None:
                    self.heard[event.job.id, event.what, event.job.attempt] += 1

    # -- the end ----------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        async def drained() -> bool:
            return await trio.to_thread.run_sync(self.primary.execute, UNFINISHED) == [["0"]]

        await eventually(drained, within_s=60)

    async def all_heard(self) -> None:
        """Return once the subscriber was told of each event that is stored, and of nothing else, once.

        Raises: TooSlowError.
        """
        _, events = await trio.to_thread.run_sync(collect.from_mysql, self.primary.url)
        stored = Counter((event.job, event.what, event.attempt) for event in events if "." not in event.what)
        await eventually(happens(lambda: self.heard == stored), within_s=30)

    async def verdict(self) -> Verdict:
        """Have the checker decide from what is stored at the primary of now."""
        jobs, events = await trio.to_thread.run_sync(collect.from_mysql, self.primary.url)
        marks = ledger.read(self._ledger)
        return check(
            History(self.load.submissions, marks, jobs, events, self.faults, LEASE_S, WORKERS, now_us()),
        )


@asynccontextmanager
async def drill(site: Site, folder: Path, *, by: str | None = None, listens: bool = True) -> AsyncIterator[Drill]:
    """Replicate, start the nodes, and submit as long as the block lasts; after it everything has come to its end.

    Args:
      by: what the replica takes for the primary's address.
      listens: whether somebody does, and has been told of each event once.
    """
    found, over = Drill(site, folder), trio.Event()
    await trio.to_thread.run_sync(found.primary.execute, "SET GLOBAL read_only = OFF")
    await found.join(found.replica, by=by)
    async with trio.open_nursery() as living:
        for node in found.nodes:
            living.start_soon(node.keep)
        await eventually(happens(lambda: all(node.up for node in found.nodes)), within_s=60)
        async with trio.open_nursery() as submitting:
            submitting.start_soon(found.load.run, over)
            if listens:
                living.start_soon(found.listen)
            await found.many_yes_after(0)
            yield found
            over.set()
        await found.drain()
        if listens:
            await found.all_heard()
        living.cancel_scope.cancel()
    for node in found.nodes:
        node.process.close()
