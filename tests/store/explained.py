"""A store with a past, and every question that a store can be asked: what the tests of query plans share.

The rows are skewed as in real life: one queue with nearly everything, several with little, long histories. The
questions are asked with small limits, so that whatever reads many rows reads them in vain.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from bench.fill import Rows, add
from tests.store.backends import MANY_BYTES, OOPS, a_node, new_id, new_job, noted, put
from tickr.jobs import FINAL, Outcome, State
from tickr.store.contract import Filter, Start, Store

DAY_US = 86_400 * 1_000_000
LOOK_AT = 500
COUNT_TO = 300
LIMIT = 20


async def fill(url: str) -> int:
    """Add some 60,000 jobs. Returns the instant at which they are that old, microseconds."""
    now = time.time_ns() // 1000
    long_ago = now - 20 * DAY_US
    kinds = [
        Rows(count=15_000, type="other", first_us=long_ago, step_us=1_000_000),
        Rows(count=3_000, state=State.FAILED, first_us=long_ago, step_us=2_000_000),
        Rows(count=2_000, state=State.CANCELLED, first_us=long_ago, step_us=2_000_000, due_in_us=DAY_US),
        Rows(count=10_000, type="other", priority=3, first_us=now - 5 * DAY_US, step_us=1_000_000),
        Rows(count=15_000, type="other", state=State.READY, first_us=now - DAY_US),
        Rows(count=12_000, state=State.READY, first_us=now, due_in_us=DAY_US),
        Rows(count=1_000, state=State.RETRYING, first_us=now, due_in_us=DAY_US),
        *(Rows(count=30, state=State.READY, queue=f"q{n}", priority=n, first_us=now - DAY_US) for n in range(10)),
        *(Rows(count=30, queue=f"q{n}", priority=n, first_us=long_ago) for n in range(10)),
    ]
    await add(url, kinds)
    return now


class Asking:
    """Asks ``store`` everything. ``asked``: the names of the methods that were called so far."""

    def __init__(self, store: Store, now: int) -> None:
        self._store = store
        self._now = now
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        """Return the store's method, and note that it was called."""
        self.asked.add(name)
        method: Callable[..., Awaitable[object]] = getattr(self._store, name)
        return method

    async def everything(self) -> None:
        await self._work()
        await self._look()
        await self._keep()

    async def _work(self) -> None:
        store = self._store
        await self.register(a_node(id="n1"), lease_s=15)
        await self.register(a_node(id="n2"), lease_s=15)
        jobs = await put(store, *(new_job() for _ in range(60)))
        await self.insert([new_job(id=jobs[0].id), new_job()])
        started = new_job()
        await self.insert([started], start=Start("n1", frozenset([started.id])))
        claimed = await store.claim([job.id for job in jobs], node="n1", types={"mail"}, suspects=0)
        self.asked |= {"claim", "finish", "note"}
        await store.note([noted(claimed[0], 1, fraction=0.5), noted(claimed[1], 1)])
        kinds = ["succeeded"] * 20 + ["retried"] * 10 + ["failed"] * 5
        outcomes = [
            Outcome(job=job, kind=kind, failure=None if kind == "succeeded" else OOPS)  # type: ignore[arg-type]
            for job, kind in zip(claimed, kinds, strict=False)
        ]
        outcomes += [Outcome(job=job, kind="succeeded", result=f'"{job.id}"') for job in claimed[40:55]]
        await store.finish(outcomes)
        await store.finish([*outcomes[:1], Outcome(job=claimed[-1], kind="succeeded")])
        await self.claim_due(LIMIT, node="n2", types={"noop", "mail"}, suspects=0)
        await self.claim_due(LIMIT, node="n2", types={"none"})
        await self.heartbeat("n1", lease_s=15)
        await self.cancel((await put(store, new_job()))[0].id)
        await self.redrive(claimed[30].id)
        await self.deregister("n2")
        await self.reap(LIMIT)
        await self.expire("n1", lease_until=1)

    async def _look(self) -> None:
        store = self._store
        ids = [entry.id for entry in (await store.waiting_after(None, LIMIT))[0]]
        await self.get(ids[0])
        await self.attempts(ids[0])
        await self.still_waiting([*ids, new_id()])
        self.asked |= {"list_jobs", "waiting_after"}
        for which in FILTERS:
            page = await store.list_jobs(which, limit=LIMIT, look_at=LOOK_AT)
            if page.after is not None:
                await store.list_jobs(which, limit=LIMIT, look_at=LOOK_AT, before=page.after)
        await self.queues(count_to=COUNT_TO)
        await self.queue_names()
        await self.due(LIMIT)
        position = None
        for _ in range(3):
            _, position = await store.waiting_after(position, LIMIT)
        await store.waiting_after(position and position._replace(state=State.RETRYING), LIMIT)
        await self.epoch("mine")
        await self.nodes()
        await self.ping()

    async def _keep(self) -> None:
        head = (await self._store.feed_state()).head
        await self.feed_state()
        await self.number_events()
        await self.event_rows(0, LIMIT, MANY_BYTES)
        await self.event_rows(max(head - 5, 0), LIMIT, MANY_BYTES)
        await self.prune_events(self._now - DAY_US, LIMIT)
        self.asked.add("prune_jobs")
        for state in sorted(FINAL):
            for before in (1, self._now - 2 * DAY_US):
                _, position = await self._store.prune_jobs(state, before, LIMIT)
                if position is not None:
                    await self._store.prune_jobs(state, before, LIMIT, position)
        await self.new_history("another")
        await self.diagnose()


FILTERS = [
    Filter(),
    Filter(states=(State.READY,)),
    Filter(states=(State.SCHEDULED,)),
    Filter(states=(State.RUNNING,)),
    Filter(states=(State.FAILED, State.CANCELLED)),
    Filter(queues=("default",)),
    Filter(queues=("q1", "q2")),
    Filter(states=(State.SUCCEEDED,), queues=("q3",)),
    Filter(types=("none",)),
    Filter(types=("other",), states=(State.SUCCEEDED,)),
    Filter(labels=(("who", "me"), ("n", None))),
]


def unasked(asked: set[str]) -> set[str]:
    """Return the methods of a store that were not called."""
    return {name for name in vars(Store) if not name.startswith("_")} - {"name", "now_us", "on_events"} - asked
