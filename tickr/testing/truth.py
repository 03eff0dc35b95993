"""Truth: the memory store of a test, which outlives its nodes, and the fence between it and each of them.

Of a node that was killed nothing gets through the fence from that instant on, and nothing comes back to it: what waits
there waits until its tasks are done away with. A transaction that was under way may still take place, as with every
store, and nobody is told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from tickr.failpoints import reach
from tickr.jobs import Attempt, Job
from tickr.operations import Operation
from tickr.store.contract import Clock
from tickr.store.event_log import nobody_counts, nobody_listens
from tickr.store.memory import MemoryStore
from tickr.tallies import Tally
from tickr.testing.ledger import Ledger

TRANSACTIONS = frozenset(
    {"insert", "cancel", "edit", "delete", "redrive", "claim", "claim_due", "finish", "note", "epoch"}
    | {"register", "heartbeat", "deregister", "expire", "reap", "prune_events", "prune_jobs", "new_history"}
    | {"control", "end_expired", "prune_keys", "move_schedules", "order_node", "settle_links", "spawn", "reseal"}
    | {"drop_queue", "keep_checkpoints", "prune_checkpoints", "keep_log", "move_operation", "prune_operations"}
    | {"remove_due", "prune_beyond"}
    | {"add_tallies", "prune_sums", "make_mark", "drop_mark", "look_at_backlog", "prune_backlog"}
    | {"change_token", "use_tokens", "write_trail", "prune_trail"}
    | {"settle_inbox", "retry_inbox", "drop_inbox", "prune_inbox"}
)
"""The methods that write; the others only read."""


class WatchedStore(MemoryStore):
    """A memory store that tells ``ledger`` of each commit, and can be read without waiting."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._ledger = ledger

    def _tell(self, body: str, now: int, tally: Tally | None = None) -> None:
        super()._tell(body, now, tally)
        self._ledger.take(body)

    def find(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    @property
    def all_jobs(self) -> list[Job]:
        """All jobs that are kept, in the order in which they were created."""
        return list(self._jobs.values())

    def attempts_of(self, job: Job) -> list[Attempt]:
        return self._attempts_of(job)

    def operation_of(self, operation_id: str) -> Operation:
        return self._operations[operation_id]

    @property
    def node_ids(self) -> list[str]:
        return list(self._nodes)


class Fence:
    """The store as one node reaches it: a ``Store``."""

    def __init__(self, store: WatchedStore) -> None:
        self.name, self.writers, self.now_us, self.use = store.name, store.writers, store.now_us, store.use
        self.closed = False
        """Whether the node is dead."""
        self._store = store
        self._told: Callable[[], None] = nobody_listens
        self._counted: Callable[[Tally], None] = nobody_counts
        store.on_events(self._tell)
        store.on_tally(self._count)

    def on_events(self, call: Callable[[], None]) -> None:
        self._told = call

    def _tell(self) -> None:
        if not self.closed:
            self._told()

    def on_tally(self, call: Callable[[Tally], None]) -> None:
        self._counted = call

    def _count(self, tally: Tally) -> None:
        if not self.closed:
            self._counted(tally)

    def __getattr__(self, name: str) -> Any:
        call = self._write if name in TRANSACTIONS else self._pass
        method = getattr(self._store, name)

        async def fenced(*args: Any, **kwargs: Any) -> Any:
            return await call(method, *args, **kwargs)

        setattr(self, name, fenced)
        return fenced

    async def _write(self, method: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        await reach("store.before_commit")
        answer = await self._pass(method, *args, **kwargs)
        await reach("store.after_commit")
        return answer

    async def _pass(self, method: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        await self._lives()
        answer = await method(*args, **kwargs)
        await self._lives()
        return answer

    async def _lives(self) -> None:
        if self.closed:
            await trio.sleep_forever()
