"""Children in MySQL: part of ``MysqlStore``.

The parent is locked first of all, with those of its children that are stored: so of what becomes of it and of what its
handler submits, one comes after the other. What children make of jobs is decided in ``children.py``. All SQL is static.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from trio_mysql import err

from tickr.errors import StoreError
from tickr.jobs import Job, NewJob
from tickr.links import MAX_CHILDREN
from tickr.store import changes, children, mysql_errors, mysql_jobs, mysql_keys, mysql_links, rows
from tickr.store.children import Spawned
from tickr.store.mysql_claims import LOCK_BY_IDS
from tickr.store.mysql_jobs import BY_IDS, documents, keys_of, read
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import number, raw

BORN = "SELECT IFNULL(MAX(place) + 1, 0) FROM children FORCE INDEX (PRIMARY) WHERE parent = %s"
BEAR = (
    "INSERT INTO children (parent, place, child) SELECT UNHEX(x.parent), x.place, UNHEX(x.child) FROM "
    "JSON_TABLE(%s, '$[*]' COLUMNS (parent CHAR(32) CHARACTER SET ascii PATH '$[0]', place INT PATH '$[1]', "
    "child CHAR(32) CHARACTER SET ascii PATH '$[2]')) AS x"
)
CHILDREN = "SELECT child FROM children FORCE INDEX (PRIMARY) WHERE parent IN %s ORDER BY parent, place LIMIT %s"


class MysqlChildren:
    """``spawn`` and ``children`` of the contract."""

    _transactions: Transactions
    _worked_s: float
    _queues: set[str]

    async def _register_queues(self, tx: Transaction, jobs: Sequence[Job]) -> None:
        raise NotImplementedError

    async def spawn(self, attempt: Job, new: Sequence[NewJob]) -> list[Job]:
        born = await self._transactions.run(lambda tx: self._spawn(tx, attempt, new), within_s=self._worked_s)
        self._queues.update(job.queue for job in born)
        return born

    async def _spawn(self, tx: Transaction, attempt: Job, new: Sequence[NewJob]) -> list[Job]:
        while True:
            made = await _made(tx, attempt, new)
            jobs, moves = changes.inserted(made.changes)
            await self._register_queues(tx, jobs)
            try:
                inserted = await mysql_jobs.insert(tx, jobs)
            except err.IntegrityError as error:
                if not mysql_errors.is_duplicate(error):
                    raise
                await tx.start_over()  # somebody has stored a job with such an id just now: it shows in the next look
                continue
            if inserted != len(jobs):
                raise StoreError(f"only {inserted} of {len(jobs)} children could be stored")
            await mysql_keys.write_with(tx, moves, (), made.links)
            await _bear(tx, made)
            await mysql_jobs.tell(tx, made.changes)
            return made.answers

    async def children(self, parents: Collection[str], limit: int = MAX_CHILDREN) -> list[Job]:
        return await self._transactions.run(
            lambda tx: _children(tx, parents, limit), within_s=self._worked_s, exact_now=False, atomic=False
        )


async def _made(tx: Transaction, attempt: Job, new: Sequence[NewJob]) -> Spawned:
    """Lock what is concerned, and return what is to be written."""
    parent = keys_of([attempt.id])
    stored = await read(tx, LOCK_BY_IDS, keys_of(children.needed(attempt.id, new)))
    held = await mysql_links.of(tx, parent)
    ((born,),) = (await tx.run(BORN, *parent)).rows
    return children.spawn(attempt, new, {job.id: job for job in stored}, held, number(born), tx.now)


async def _bear(tx: Transaction, made: Spawned) -> None:
    values = [(rows.id_bytes(parent).hex(), place, rows.id_bytes(child).hex()) for parent, place, child in made.places]
    for document in documents(values, tx.max_document_bytes):
        await tx.run(BEAR, document)


async def _children(tx: Transaction, parents: Collection[str], limit: int) -> list[Job]:
    keys = keys_of(parents)
    ids = [rows.id_text(raw(child)) for (child,) in (await tx.run(CHILDREN, keys, limit)).rows] if keys else []
    stored = {job.id: job for job in await read(tx, BY_IDS, keys_of(ids))} if ids else {}
    return [stored[id_] for id_ in ids if id_ in stored]
