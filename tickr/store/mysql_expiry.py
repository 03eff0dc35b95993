"""Jobs that expire, in MySQL: the table of when each that waits will end.

Rows come and go with the moves that make a job wait or end its waiting (``written``), in the same transaction.
To end what has expired, the first rows are looked at without locks, and their jobs locked as a claim does: by primary
key, with ``SKIP LOCKED``, so that nobody waits for whom.
"""

from __future__ import annotations

from collections.abc import Sequence

from tickr.events import Change
from tickr.jobs import EXPIRING, Job
from tickr.store import changes, rows
from tickr.store.contract import STATE_CODES, Expired
from tickr.store.mysql_jobs import BY_IDS, DELETE_EXPIRIES, keys_of, read, write, write_timed
from tickr.store.mysql_transactions import FOR_EVER_US, Transaction
from tickr.store.mysql_values import number, raw
from tickr.store.written import Expiry

_WAIT = f"state IN ({', '.join(str(STATE_CODES[state]) for state in sorted(EXPIRING, key=STATE_CODES.__getitem__))})"
FIRST = (
    "SELECT expires_at, job_id FROM expiries FORCE INDEX (PRIMARY) WHERE expires_at < %s "
    "ORDER BY expires_at, job_id LIMIT %s"
)
LOCK_WAITING = f"{BY_IDS} AND {_WAIT} FOR UPDATE SKIP LOCKED"
STILL_WAITING = f"SELECT id FROM jobs FORCE INDEX (PRIMARY) WHERE id IN %s AND {_WAIT}"  # noqa: S608 -- static text


async def first(tx: Transaction, limit: int) -> list[Expiry]:
    """Return the first rows, ``limit`` at most."""
    return [(number(at), rows.id_text(raw(key))) for at, key in (await tx.run(FIRST, FOR_EVER_US, limit)).rows]


async def end(tx: Transaction, limit: int) -> Expired:
    """See ``Store.end_expired``. A row without a job that waits is stale, and deleted."""
    due = [one for one in await first(tx, limit) if one[0] <= tx.now]
    made: list[Change] = []
    if due:
        locked = await read(tx, LOCK_WAITING, keys_of([job_id for _, job_id in due]))
        made = changes.end_expired(locked, tx.now)
        await write(tx, made)
        await _delete_stale(tx, due, locked)
    left = await first(tx, 1)
    return Expired([change.after for change in made], left[0][0] if left else None)


async def _delete_stale(tx: Transaction, due: Sequence[Expiry], locked: Sequence[Job]) -> None:
    """Delete those rows of ``due`` that belong to no job that waits; a job that somebody else holds keeps its own.

    What has expired never waits again with the same ``expires_at``, so a row that is stale once stays it.
    """
    expiries = {(job.extras.expires_at, job.id) for job in locked}
    others = [one for one in due if one not in expiries]
    if not others:
        return
    found = (await tx.run(STILL_WAITING, keys_of([job_id for _, job_id in others]))).rows
    held = {rows.id_text(raw(key)) for (key,) in found} - {job.id for job in locked}
    await write_timed(tx, DELETE_EXPIRIES, [one for one in others if one[1] not in held])
