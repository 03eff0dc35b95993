"""The store on MySQL (8.0.13 or later) or MariaDB (10.6 or later): for many nodes on many machines.

Each method is one transaction, run by ``mysql_transactions.py``; what it does inside is in ``mysql_claims.py`` (workers
and nodes) and ``mysql_reads.py`` (questions), with the statements that both share in ``mysql_jobs.py``. Here is what
belongs to the open store: its pools, its clock, how long each method may take, and which queues are registered already.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import trio
from trio_mysql import err

from tickr.jobs import Attempt, Entry, Job, NewJob
from tickr.keys import Unique
from tickr.names import node_of_queue
from tickr.reports import Note, Outcome
from tickr.store import (
    changes,
    keys,
    mysql_claims,
    mysql_errors,
    mysql_expiry,
    mysql_feed,
    mysql_health,
    mysql_jobs,
    mysql_keys,
    mysql_lists,
    mysql_nodes,
    mysql_reads,
    mysql_schema,
    mysql_waiting,
)
from tickr.store.claimant import Claimant
from tickr.store.contract import (
    COUNT_TO,
    Check,
    Clock,
    Expired,
    Filter,
    Node,
    Page,
    Place,
    QueueDepth,
    Running,
    ScanPosition,
    Start,
)
from tickr.store.mysql_access import MysqlAccess
from tickr.store.mysql_address import Address, parse
from tickr.store.mysql_backlog import MysqlBacklog
from tickr.store.mysql_children import MysqlChildren
from tickr.store.mysql_encrypted import MysqlEncrypted
from tickr.store.mysql_feed import MysqlFeed
from tickr.store.mysql_inbox import MysqlInbox
from tickr.store.mysql_links import MysqlLinks
from tickr.store.mysql_operations import MysqlOperations
from tickr.store.mysql_orders import MysqlNodes
from tickr.store.mysql_pool import DEFAULT_SIZE, Pool
from tickr.store.mysql_queues import MysqlQueues
from tickr.store.mysql_retention import MysqlRetention
from tickr.store.mysql_schedules import MysqlSchedules
from tickr.store.mysql_statistics import MysqlStatistics
from tickr.store.mysql_transactions import ServerClock, Transaction, Transactions
from tickr.store.mysql_values import text
from tickr.store.search import Searched

T = TypeVar("T")

ASKED_WITHIN_S = 1.8
"""For what an HTTP client waits on: a store that is down is a 503 within 2 s."""

WORKED_WITHIN_S = 8.0
"""For what only our own loops wait on; below the lease, so that a heartbeat fails while there is time left."""

DOCUMENT_BYTES = 8 * 1024 * 1024
PACKET_MARGIN_BYTES = 64 * 1024

NODE_CONNECTIONS = 2
"""Kept apart for leases and heartbeats: whatever clients ask for, no node loses its jobs because it had to wait."""

OTHERS_CONNECTIONS = 4
"""How many of the pool's connections long reads leave to everybody else."""

REGISTER_QUEUES = (
    "INSERT IGNORE INTO queues (name, created_at) SELECT x.name, %s FROM "
    "JSON_TABLE(%s, '$[*]' COLUMNS (name VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[0]')) AS x"
)
PROPOSE_EPOCH = "INSERT IGNORE INTO meta (name, value) VALUES ('epoch', %s)"
READ_EPOCH = "SELECT value FROM meta WHERE name = 'epoch'"
TRY_TO_WRITE = "REPLACE INTO meta (name, value) VALUES ('last_try', %s)"


@asynccontextmanager
async def open_mysql(
    url: str,
    *,
    clock: Clock | None = None,
    migrate: bool = False,
    connections: int = DEFAULT_SIZE,
    asked_within_s: float = ASKED_WITHIN_S,
    worked_within_s: float = WORKED_WITHIN_S,
) -> AsyncIterator[MysqlStore]:
    """Open the store at ``url`` (see ``mysql_address.py``).

    Args:
      clock: what the time is, in place of the server's.
      migrate: bring an older schema up to date; an empty database gets its tables without being asked.
      connections: how many the pool has at most; ``NODE_CONNECTIONS`` more are for leases alone.
      asked_within_s, worked_within_s: how long a method may take, for clients that wait and for our own loops.
    Raises: ConfigError: a faulty URL; StoreUnavailable, SchemaMismatch.
    """
    address = parse(url)
    tls = address.tls_context()
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        pool = Pool(address, tls, nursery, size=connections)
        pool_of_nodes = Pool(address, tls, nursery, size=NODE_CONNECTIONS)
        try:
            packet_bytes = await mysql_schema.bring_up(pool, asked=migrate)
            server_clock = ServerClock(clock)
            document_bytes = min(DOCUMENT_BYTES, packet_bytes - PACKET_MARGIN_BYTES)
            transactions = Transactions(pool, server_clock, document_bytes)
            of_nodes = Transactions(pool_of_nodes, server_clock, document_bytes)
            turns = trio.Semaphore(max(1, connections - OTHERS_CONNECTIONS))
            store = MysqlStore(address, transactions, of_nodes, turns, server_clock, asked_within_s, worked_within_s)
            await store.ping()
            yield store
        except Exception as error:
            failure = error  # the block's own, not the pool's: it leaves as it is, in no group
        finally:
            await pool.aclose()
            await pool_of_nodes.aclose()
    if failure is not None:
        raise failure


class MysqlStore(
    MysqlFeed,
    MysqlQueues,
    MysqlNodes,
    MysqlSchedules,
    MysqlRetention,
    MysqlOperations,
    MysqlInbox,
    MysqlLinks,
    MysqlChildren,
    MysqlEncrypted,
    MysqlStatistics,
    MysqlBacklog,
    MysqlAccess,
    Searched,
):
    """``Store`` on MySQL; see ``store/contract`` for what each method promises."""

    name = "mysql"
    writers = 2  # one waits for the disk while the other is on its way

    def __init__(
        self,
        address: Address,
        transactions: Transactions,
        of_nodes: Transactions,
        long_reads: trio.Semaphore,
        clock: ServerClock,
        asked_within_s: float,
        worked_within_s: float,
    ) -> None:
        self._address = address
        self._transactions = transactions
        self._run = transactions.run
        self._run_node = of_nodes.run
        self._all_transactions = (transactions, of_nodes)
        self._long_reads = long_reads
        self._clock = clock
        self._asked_s = asked_within_s
        self._worked_s = worked_within_s
        self._queues: set[str] = set()  # registered for certain; others may be as well
        self._turn = 0

    def now_us(self) -> int:
        return self._clock.now_us()

    async def ping(self) -> None:
        """See the contract. Reads; but once a change has failed it tries to write, until something could be."""
        failed = any(one.write_failed for one in self._all_transactions)
        await self._run(_try_to_write if failed else _nothing, within_s=self._asked_s, atomic=False)
        for one in self._all_transactions:
            one.write_failed = False

    # -- from outside ---------------------------------------------------------------------------------------------

    async def insert(
        self, new: Sequence[NewJob], *, whole: bool = False, start: Start | None = None
    ) -> list[tuple[Job, bool]]:
        answers = await self._run(
            lambda tx: self._insert(tx, new, whole, start), within_s=self._asked_s, exact_now=False
        )
        self._queues.update(job.queue for job, created in answers if created and node_of_queue(job.queue) is None)
        return answers

    async def _insert(
        self, tx: Transaction, new: Sequence[NewJob], whole: bool, start: Start | None
    ) -> list[tuple[Job, bool]]:
        """Suppose that all are new, our clock right and the node there; look only when the server says otherwise."""
        stored: dict[str, Job] = {}
        names, plain, admitted = keys.names(new), all(one.plain for one in new), None
        while True:
            if not plain:
                kept, held, waits = await mysql_keys.lock(tx, new, names)
                known = stored | {job.id: job for job in held}
                admitted = keys.insert(new, known, kept, tx.now, whole=whole, start=start, waits=waits)
                answers, made = admitted.answers, admitted.changes
            else:
                answers, made = changes.insert(new, stored, tx.now, whole=whole, start=start)
            jobs, moves = changes.inserted(made)
            await self._register_queues(tx, jobs)
            try:
                inserted = await mysql_jobs.insert(tx, jobs)
            except err.IntegrityError as error:
                if not mysql_errors.is_duplicate(error):
                    raise
                await tx.start_over()  # also what earlier statements of a long batch inserted
                stored = {job.id: job for job in await mysql_reads.by_ids(tx, [one.id for one in new])}
                continue
            if inserted == len(jobs):
                if admitted is not None:
                    await mysql_keys.write_with(tx, moves, admitted.keys, admitted.links, admitted.gone)
                await mysql_jobs.tell(tx, made)
                return answers
            await tx.start_over()
            start = await mysql_nodes.may_start(tx, start, new)

    async def _register_queues(self, tx: Transaction, jobs: Sequence[Job]) -> None:
        unknown = sorted({job.queue for job in jobs} - self._queues)
        for document in mysql_jobs.documents([(name,) for name in unknown], tx.max_document_bytes):
            await tx.run(REGISTER_QUEUES, tx.now, document)

    async def cancel(self, job_id: str, *, version: int | None = None, reason: str | None = None) -> Job:
        async def work(tx: Transaction) -> Job:
            job = await mysql_reads.existing(tx, job_id, lock=True)
            change = changes.cancel(job, version, tx.now, reason)
            if change is None:
                return job
            await mysql_jobs.write(tx, [change])
            return change.after

        return await self._run(work, within_s=self._asked_s)

    async def holder(self, unique: Unique) -> Job | None:
        return await self._run(lambda tx: mysql_keys.holder(tx, unique), within_s=self._asked_s, atomic=False)

    async def get(self, job_id: str) -> Job | None:
        return await self._run(
            lambda tx: mysql_reads.job(tx, job_id), within_s=self._asked_s, exact_now=False, atomic=False
        )

    async def get_many(self, ids: Collection[str]) -> list[Job]:
        return await self._run(
            lambda tx: mysql_reads.by_ids(tx, ids), within_s=self._asked_s, exact_now=False, atomic=False
        )

    async def attempts(self, job_id: str) -> list[Attempt]:
        return await self._read_long(lambda tx: mysql_reads.attempts(tx, job_id))

    async def _list_jobs(self, which: Filter, limit: int, before: Place | None, look_at: int) -> Page:
        return await self._read_long(lambda tx: mysql_lists.list_jobs(tx, which, limit, before, look_at))

    async def queues(self, *, count_to: int = COUNT_TO) -> list[QueueDepth]:
        return await self._read_long(lambda tx: mysql_reads.depths(tx, count_to))

    async def _read_long(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run what may look at very many rows: some at a time, so that there is always a connection for the others."""
        within_s, once_begun_s = self._asked_s, self._worked_s
        return await self._run(work, within_s=within_s, once_begun_s=once_begun_s, atomic=False, turns=self._long_reads)

    # -- for the index --------------------------------------------------------------------------------------------

    async def due(self, limit: int) -> list[Entry]:
        return await self._run(lambda tx: mysql_waiting.due(tx, limit), within_s=self._worked_s, atomic=False)

    async def waiting_after(self, position: ScanPosition | None, limit: int) -> tuple[list[Entry], ScanPosition | None]:
        return await self._run(
            lambda tx: mysql_waiting.waiting_after(tx, position, limit),
            within_s=self._worked_s,
            exact_now=False,
            atomic=False,
        )

    async def still_waiting(self, ids: Collection[str]) -> list[Job]:
        return await self._run(
            lambda tx: mysql_reads.waiting_by_ids(tx, ids), within_s=self._worked_s, exact_now=False, atomic=False
        )

    async def ahead(self, job: Job, *, count_to: int) -> int:
        return await self._read_long(lambda tx: mysql_reads.ahead(tx, job, count_to))

    async def epoch(self, proposal: str) -> str:
        async def work(tx: Transaction) -> str:
            await tx.run(PROPOSE_EPOCH, proposal)
            ((kept,),) = (await tx.run(READ_EPOCH)).rows
            return text(kept)

        return await self._run(work, within_s=self._worked_s)

    async def end_expired(self, limit: int) -> Expired:
        """See the contract. While nothing has expired, by our own clock, that is one look."""
        first = await self._run(
            lambda tx: mysql_expiry.first(tx, 1), within_s=self._worked_s, exact_now=False, atomic=False
        )
        if not first or first[0][0] > self.now_us():
            return Expired([], first[0][0] if first else None)
        return await self._run(lambda tx: mysql_expiry.end(tx, limit), within_s=self._worked_s)

    # -- for workers ----------------------------------------------------------------------------------------------

    async def claim(
        self,
        ids: Sequence[str],
        *,
        node: str,
        types: Collection[str],
        suspects: int | None = None,
        keys: Collection[str] = (),
    ) -> list[Job]:
        claimant = Claimant(node, types, suspects, keys)
        return await self._run(
            lambda tx: mysql_claims.claim(tx, ids, claimant), within_s=self._worked_s, exact_now=False
        )

    async def claim_due(
        self,
        limit: int,
        *,
        node: str,
        types: Collection[str],
        suspects: int | None = None,
        queues: Mapping[str, int] | None = None,
        keys: Collection[str] = (),
    ) -> list[Job]:
        self._turn += 1
        claimant, turn = Claimant(node, types, suspects, keys), self._turn
        return await self._run(
            lambda tx: mysql_claims.claim_due(tx, limit, claimant, turn, queues), within_s=self._worked_s
        )

    async def finish(self, outcomes: Sequence[Outcome]) -> list[Job | None]:
        return await self._run(lambda tx: mysql_claims.finish(tx, outcomes), within_s=self._worked_s, exact_now=False)

    async def note(self, notes: Sequence[Note]) -> int:
        return await self._run(lambda tx: mysql_feed.note(tx, notes), within_s=self._worked_s, exact_now=False)

    # -- nodes ----------------------------------------------------------------------------------------------------

    async def register(self, node: Node, *, lease_s: float) -> None:
        await self._run_node(lambda tx: mysql_nodes.register(tx, node, lease_s), within_s=self._worked_s)

    async def heartbeat(self, node_id: str, *, lease_s: float) -> list[Running] | None:
        return await self._run_node(lambda tx: mysql_nodes.heartbeat(tx, node_id, lease_s), within_s=self._worked_s)

    async def deregister(self, node_id: str) -> None:
        await self._run_node(lambda tx: mysql_nodes.deregister(tx, node_id), within_s=self._worked_s)

    async def expire(self, node_id: str, *, lease_until: int) -> bool:
        return await self._run_node(lambda tx: mysql_nodes.expire(tx, node_id, lease_until), within_s=self._worked_s)

    async def nodes(self) -> list[Node]:
        return await self._run_node(mysql_nodes.nodes, within_s=self._asked_s)

    async def reap(self, limit: int) -> list[Job]:
        return await self._run(lambda tx: mysql_nodes.reap(tx, limit), within_s=self._worked_s)

    # -- for the operator -----------------------------------------------------------------------------------------

    async def prune_keys(self, limit: int) -> int:
        return await self._run(lambda tx: mysql_keys.prune(tx, limit), within_s=self._worked_s)

    async def diagnose(self) -> list[Check]:
        return await self._run(lambda tx: mysql_health.findings(tx, self._address), within_s=self._worked_s)


async def _nothing(tx: Transaction) -> None:
    """For ``ping``: the transaction's first statement is the question."""


async def _try_to_write(tx: Transaction) -> None:
    await tx.run(TRY_TO_WRITE, str(tx.now))
