"""Ends that handlers have written, in MySQL. Their jobs are locked first, as by whoever inserts one."""

from __future__ import annotations

from collections.abc import Sequence

from tickr.jobs import Job
from tickr.store import ended, rows
from tickr.store.ended import Ended
from tickr.store.mysql_jobs import keys_of
from tickr.store.mysql_transactions import Transaction
from tickr.store.mysql_values import number, raw, text

FIND = "SELECT job_id, fence, running_since, result FROM ended FORCE INDEX (PRIMARY) WHERE job_id IN %s"
FORGET = "DELETE FROM ended WHERE job_id IN %s"
OVER = (
    "SELECT ended.job_id, ended.fence FROM ended LEFT JOIN jobs AS j FORCE INDEX (PRIMARY) "
    "ON j.id = ended.job_id AND j.fence = ended.fence AND j.state = 4 WHERE j.id IS NULL LIMIT %s"
)
PRUNE = "DELETE FROM ended WHERE job_id = %s AND fence = %s"


async def take(tx: Transaction, jobs: Sequence[Job]) -> dict[str, Ended]:
    """Return what the attempts that ``jobs``, which are locked, run have written as their ends; and delete it."""
    found = (await tx.run(FIND, keys_of({job.id for job in jobs}))).rows if jobs else []
    if found:
        await tx.run(FORGET, tuple(raw(key) for key, *_ in found))
    each = (
        (rows.id_text(raw(key)), Ended(number(fence), number(since), None if result is None else text(result)))
        for key, fence, since, result in found
    )
    return ended.of_jobs(each, jobs)


async def prune(tx: Transaction, limit: int) -> None:
    """Delete rows of attempts that are over: fences only rise, so they never count again. Usually there are none.

    They are looked for without locks, so that nobody waits for a handler that has not committed.
    """
    for key, fence in (await tx.run(OVER, limit)).rows:
        await tx.run(PRUNE, raw(key), number(fence))
