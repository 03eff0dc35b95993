"""One soak: servers, proxies, nodes and load put together, tormented for a while, drained and judged.

Comes in: ``Plan``. Goes out: ``Result``: the checker's verdict, what was seen on the way, and the history itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import trio

from tests.faults import collect, ledger
from tests.faults.checker import Verdict, check
from tests.faults.history import History
from tests.faults.proxy import proxy_before
from tests.faults.soak.load import Load
from tests.faults.soak.nodes import Node, random_failpoint, variables
from tests.faults.soak.pace import Pace
from tests.faults.soak.torment import Backends, Tormentor
from tests.processes import TickrProcess
from tests.servers import MariaDB, Redis
from tests.waiting import eventually

LEASE_S = 15.0
NODES = 3
WORKERS = 20
DRAIN_WITHIN_S = 120.0
"""How long the backlog may take to drain once the faults have stopped."""
CALM_S = 2.0
TELL_EVERY_S = 1.0
UNFINISHED = "SELECT COUNT(*) FROM jobs WHERE state NOT IN (5, 6, 7)"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a soak shall be.

    Attributes:
      seconds: how long nodes and servers are tormented while jobs come in.
      rate: submissions a second.
      kill_every_s, break_every_s: mean pauses between acts on nodes and on servers.
      failpoints: share of a node's lives that end at a failpoint, if they come to it.
    """

    seconds: float
    seed: int
    rate: float = 45.0
    kill_every_s: float = 1.2
    break_every_s: float = 3.0
    failpoints: float = 0.6


class Result(msgspec.Struct, frozen=True):
    """What came of it.

    Attributes:
      stretch: see ``Pace``.
      drained_s: how long the backlog took to drain; None if it did not.
      faults: how often each was done, by "part kind".
      late_refusals: refusals that took longer than they may.
      strange: answers that were neither yes nor an orderly refusal.
      odd_ends: how nodes ended that nobody had told to, and no failpoint had killed.
    """

    plan: Plan
    verdict: Verdict
    stretch: float
    drained_s: float | None
    took_s: float
    lives: int
    faults: dict[str, int]
    refusals: int
    late_refusals: list[str]
    strange: list[str]
    odd_ends: list[str]


Show = Callable[[str], None]


async def soak(plan: Plan, folder: Path, show: Show) -> Result:
    """Run ``plan``; logs, ledger and history are left in ``folder``."""
    with ExitStack() as servers:
        mysql, redis = servers.enter_context(MariaDB(tls=False)), servers.enter_context(Redis())
        async with proxy_before(mysql.ordinary_url) as mysql_proxy, proxy_before(redis.url) as redis_proxy:
            backends = Backends(mysql, redis, mysql_proxy, redis_proxy)
            return await _Soak(plan, folder, show, backends).run(servers)


class _Soak:
    def __init__(self, plan: Plan, folder: Path, show: Show, backends: Backends) -> None:
        self._plan, self._folder, self._show, self._on = plan, folder, show, backends
        self._ledger = folder / "ledger"
        self._chance = random.Random(plan.seed)
        self._calm = False
        self._began = time.monotonic()

    async def run(self, stack: ExitStack) -> Result:
        processes = [self._process() for _ in range(NODES)]
        for process in processes:
            stack.callback(process.close)
        nodes = [Node(process, self._failpoint, self._note) for process in processes]
        self._tormentor = Tormentor(
            nodes,
            self._on,
            kill_every_s=self._plan.kill_every_s,
            break_every_s=self._plan.break_every_s,
            seed=self._plan.seed + 1,
        )
        self._pace = Pace()
        load, over = Load(nodes, self._plan.rate, self._plan.seed + 2), trio.Event()
        async with trio.open_nursery() as living:
            living.start_soon(self._pace.watch)
            for node in nodes:
                living.start_soon(node.keep)
            await eventually(lambda: _all_up(nodes), within_s=60)
            async with trio.open_nursery() as watching:
                watching.start_soon(self._tell, load, nodes)
                async with trio.open_nursery() as working:
                    working.start_soon(load.run, over)
                    with trio.move_on_after(self._plan.seconds):
                        await self._tormentor.run()
                    await self._mend(nodes)
                    over.set()
                drained_s = await self._drain(nodes)
                watching.cancel_scope.cancel()
            history = await self._history(load)
            living.cancel_scope.cancel()
        (self._folder / "history.json").write_bytes(msgspec.json.encode(history))
        return self._result(history, load, nodes, drained_s)

    def _process(self) -> TickrProcess:
        return TickrProcess(
            store=self._on.mysql_proxy.url,
            index=self._on.redis_proxy.url,
            workers=WORKERS,
            app="tests.faults.ledger:jobs",
            arguments=["--grace", "5"],
            variables=variables(str(self._ledger)),
        )

    def _failpoint(self) -> str | None:
        return None if self._calm else random_failpoint(self._chance, self._plan.failpoints)

    def _note(self, fault: Any) -> None:
        self._tormentor.faults.append(fault)

    async def _mend(self, nodes: list[Node]) -> None:
        """No more faults: what lies or has a failpoint armed is started anew, without."""
        self._calm = True
        for node in nodes:
            node.rests_until = 0.0
            node.terminate()
        self._on.mysql_proxy.heal()
        self._on.redis_proxy.heal()

    async def _drain(self, nodes: list[Node]) -> float | None:
        """Wait until everything in the store is final. Returns how long that took, None if it did not happen."""
        began = trio.current_time()

        async def drained() -> bool:
            rows = await trio.to_thread.run_sync(self._on.mysql.execute, UNFINISHED)
            return rows == [["0"]]

        try:
            await eventually(lambda: _all_up(nodes), within_s=60)
            await eventually(drained, within_s=DRAIN_WITHIN_S)
        except trio.TooSlowError:
            return None
        took = trio.current_time() - began
        await trio.sleep(CALM_S)  # for writes that should not come any more
        return took

    async def _history(self, load: Load) -> History:
        jobs, events = await trio.to_thread.run_sync(collect.from_mysql, self._on.mysql.url)
        return History(
            submissions=load.submissions,
            marks=ledger.read(self._ledger),
            jobs=jobs,
            events=events,
            faults=self._tormentor.faults,
            lease_s=LEASE_S,
            workers=WORKERS,
            ended=ledger.now_us(),
            stretch=self._pace.stretch,
        )

    def _result(self, history: History, load: Load, nodes: list[Node], drained_s: float | None) -> Result:
        faults: dict[str, int] = {}
        for fault in history.faults:
            name = f"{fault.part} {fault.kind}"
            faults[name] = faults.get(name, 0) + 1
        return Result(
            plan=self._plan,
            verdict=check(history),
            stretch=history.stretch,
            drained_s=drained_s,
            took_s=round(time.monotonic() - self._began, 1),
            lives=sum(node.lives for node in nodes),
            faults=dict(sorted(faults.items())),
            refusals=load.refusals,
            late_refusals=load.late_refusals(history.stretch),
            strange=load.strange,
            odd_ends=[end for node in nodes for end in node.odd_ends],
        )

    async def _tell(self, load: Load, nodes: list[Node]) -> None:
        """Show how it goes, once a second."""
        while True:
            faults = self._tormentor.faults
            kills = sum(fault.part == "node" and fault.kind in ("kill", "failpoint") for fault in faults)
            broken = sum(fault.part != "node" for fault in faults)
            up = "".join("+" if node.up else "~" if node.frozen else "-" for node in nodes)
            self._show(
                f"{time.monotonic() - self._began:5.0f} s  {len(load.submissions):7,} jobs  {kills:5,} kills  "
                f"{broken:4,} faults  nodes {up}  {self._tormentor.doing:18}"
            )
            await trio.sleep(TELL_EVERY_S)


async def _all_up(nodes: list[Node]) -> bool:
    return all(node.up for node in nodes)
