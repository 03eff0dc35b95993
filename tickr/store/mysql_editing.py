"""Jobs that somebody wants different, and queues that are to be gone, in MySQL: part of ``MysqlStore``.

The job is locked first: who claims at the same moment passes it over, or was first, and then it runs already.
"""

from __future__ import annotations

from collections.abc import Sequence

from tickr.edits import EDITABLE, Edit
from tickr.events import Change
from tickr.jobs import Job
from tickr.store import changes, deletions, mysql_links, mysql_queues, mysql_reads, mysql_retention, rows
from tickr.store.contract import Edited
from tickr.store.mysql_jobs import delete_checkpoints, documents, json_table, keys_of, tell, write
from tickr.store.mysql_transactions import Transaction, Transactions

EDIT_JOBS = (
    f"UPDATE {json_table(('id', *EDITABLE))} "  # noqa: S608
    "STRAIGHT_JOIN jobs AS j FORCE INDEX (PRIMARY) ON j.id = UNHEX(x.id) "
    f"SET {', '.join(f'j.{column} = x.{column}' for column in EDITABLE)}"
)


class MysqlEditing:
    """``Editing`` of the contract."""

    _transactions: Transactions
    _asked_s: float
    _queues: set[str]

    async def _register_queues(self, tx: Transaction, jobs: Sequence[Job]) -> None:
        raise NotImplementedError

    async def edit(self, job_id: str, edit: Edit, *, version: int | None = None) -> Edited:
        async def work(tx: Transaction) -> Edited:
            job = await mysql_reads.existing(tx, job_id, lock=True)
            change = changes.edit(job, version, tx.now, edit)
            if change is None:
                return Edited(job, None, tx.now)
            await self._apply(tx, [change])
            return Edited(change.after, change, tx.now)

        return await self._transactions.run(work, within_s=self._asked_s)

    async def delete(
        self, job_id: str, *, version: int | None = None, cancel: bool = False, reason: str | None = None
    ) -> Job:
        async def work(tx: Transaction) -> Job:
            job = await mysql_reads.existing(tx, job_id, lock=True)
            needed = await mysql_links.needed(tx, keys_of([job_id]))
            made = deletions.delete(job, version, needed, tx.now, cancel=cancel, reason=reason)
            await self._apply(tx, made)
            return job

        return await self._transactions.run(work, within_s=self._asked_s)

    async def drop_queue(self, queue: str, *, mark: str = "") -> None:
        await self._transactions.run(lambda tx: mysql_queues.drop(tx, queue, mark), within_s=self._asked_s)
        self._queues.discard(queue)

    async def queue_names(self) -> list[str]:
        """See the contract. What this node has registered and another has taken away is to be registered anew."""
        run = self._transactions.run
        named = await run(mysql_reads.queue_names, within_s=self._asked_s, exact_now=False, atomic=False)
        self._queues.intersection_update(named)
        used = await run(mysql_reads.used_queues, within_s=self._asked_s, exact_now=False, atomic=False)
        if unnamed := used.difference(named):
            await run(lambda tx: mysql_queues.register(tx, unnamed), within_s=self._asked_s, exact_now=False)
        return sorted(used.union(named))

    async def _apply(self, tx: Transaction, made: Sequence[Change]) -> None:
        """Write changes of jobs that are locked; what is deleted is gone."""
        if gone := deletions.deleted(made):
            await mysql_retention.erase(tx, keys_of(gone))
            await delete_checkpoints(tx, gone)
            await tell(tx, made)
        else:
            await write(tx, made)
            await self._edit(tx, made)

    async def _edit(self, tx: Transaction, made: Sequence[Change]) -> None:
        """Write what was changed about jobs beside what their moves did."""
        jobs = changes.edited(made)
        await self._register_queues(tx, jobs)
        values = [(rows.id_bytes(job.id).hex(), *rows.of_edit(job)) for job in jobs]
        for document in documents(values, tx.max_document_bytes):
            await tx.run(EDIT_JOBS, document)
