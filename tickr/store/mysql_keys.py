"""The keys in MySQL: rows of ``unique_keys``, and who waits for whom over them.

A transaction that has to do with keys first locks all their rows, in order of their names, those that are not there
yet included: it puts in empty ones, which stand for nothing. Then it reads jobs, and locks those that it may cancel. So
there is one order, keys before jobs; a plain job has nothing to do with any of it. What the rows mean is decided in
``keys.py``. All SQL is static.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tickr.edits import Edit
from tickr.errors import StoreError
from tickr.events import Change
from tickr.jobs import FINAL, Job, NewJob
from tickr.keys import Unique
from tickr.links import Link
from tickr.store import keys, links, mysql_links, mysql_reads, rows, sequences
from tickr.store.contract import STATE_CODES
from tickr.store.keys import Key
from tickr.store.mysql_claims import LOCK_BY_IDS
from tickr.store.mysql_jobs import BY_IDS, documents, keys_of, move, read, write
from tickr.store.mysql_transactions import NOW, Transaction
from tickr.store.mysql_values import Row, number, number_or_none, raw

READ_AT_ONCE = 500
"""How many rows are asked for by one statement: their names may be long."""

_NAME = "name VARCHAR(510) CHARACTER SET ascii PATH '$[0]'"  # in hexadecimal digits
_COLUMNS = "name, job_id, created_at, expires_at, digest, made"
_FINAL = ", ".join(str(STATE_CODES[state]) for state in sorted(FINAL))


def _rows_of(columns: str, head: str = "UPDATE") -> str:
    """Return the beginning of a statement about the rows of a JSON array, by their names."""
    return (
        f"{head} JSON_TABLE(%s, '$[*]' COLUMNS ({_NAME}{columns})) AS x "
        "STRAIGHT_JOIN unique_keys AS k FORCE INDEX (PRIMARY) ON k.name = UNHEX(x.name) "
    )


LOCK = (
    "INSERT INTO unique_keys (name, job_id, digest, created_at, expires_at, made, look_at) "  # noqa: S608
    "SELECT UNHEX(x.name), REPEAT('\\0', 16), NULL, 0, 0, 0, 0 "
    f"FROM JSON_TABLE(%s, '$[*]' COLUMNS ({_NAME})) AS x ON DUPLICATE KEY UPDATE made = made"
)
"""Locks each row for this transaction alone, as INSERT IGNORE would not: of two that wait for a third, both would get a
share of the lock, and neither the whole."""
BY_NAMES = f"SELECT {_COLUMNS}, {NOW} FROM unique_keys FORCE INDEX (PRIMARY) WHERE name IN %s"  # noqa: S608
WRITE = (
    _rows_of(
        ", job_id CHAR(32) CHARACTER SET ascii PATH '$[1]', created_at BIGINT PATH '$[2]', expires_at BIGINT "
        "PATH '$[3]', digest VARCHAR(128) CHARACTER SET ascii PATH '$[4]', made TINYINT PATH '$[5]', "
        "look_at BIGINT PATH '$[6]'"
    )
    + "SET k.job_id = UNHEX(x.job_id), k.created_at = x.created_at, k.expires_at = x.expires_at, "
    "k.digest = UNHEX(x.digest), k.made = x.made, k.look_at = x.look_at"
)
DUE = (
    f"SELECT {_COLUMNS} FROM unique_keys FORCE INDEX (unique_keys_look) "  # noqa: S608
    "WHERE look_at <= %s ORDER BY look_at LIMIT %s FOR UPDATE SKIP LOCKED"
)
ALIVE = f"SELECT id FROM jobs FORCE INDEX (PRIMARY) WHERE id IN %s AND state NOT IN ({_FINAL})"  # noqa: S608
DELETE = _rows_of("", "DELETE k FROM")
LOOK_LATER = _rows_of(", look_at BIGINT PATH '$[1]'") + "SET k.look_at = x.look_at"


class Locked(NamedTuple):
    """The rows of some keys, by name, and what was read of jobs: those of these rows and of ``new``.

    ``waits``: the links of those that are the last of a sequence.
    """

    kept: dict[str, Key]
    jobs: list[Job]
    waits: list[Link]


async def lock(tx: Transaction, new: Sequence[NewJob], names: Sequence[str]) -> Locked:
    """Lock the rows of ``names``, sorted; return them by name, and of their jobs and of ``new`` those that are stored.

    So are those that ``new`` depend on. Jobs are locked, too, if one of ``new`` may cancel them, or waits for others.
    ``tx.now`` may be an estimate; it is exact afterwards if there are ``names``.
    """
    kept = await _lock_rows(tx, names)
    last = sequences.last_of(kept)
    # A new one that is stored already is that job, whoever has its key: no INSERT would tell.
    ids = keys_of({key.job_id for key in kept.values()} | {one.id for one in new} | links.needed(new))
    jobs = await read(tx, LOCK_BY_IDS if last or keys.locks(new) else BY_IDS, ids) if ids else []
    return Locked(kept, jobs, await mysql_links.of(tx, keys_of(last)))


async def _lock_rows(tx: Transaction, names: Sequence[str]) -> dict[str, Key]:
    for document in documents([(_hex(name),) for name in names], tx.max_document_bytes):
        await tx.run(LOCK, document)
    kept: dict[str, Key] = {}
    for start in range(0, len(names), READ_AT_ONCE):
        some = tuple(name.encode() for name in names[start : start + READ_AT_ONCE])
        for key in map(_key, (await tx.run_telling_now(BY_NAMES, some)).rows):
            if key.expires_at != 0:
                kept[key.name] = key
    return kept


async def write_with(
    tx: Transaction,
    moves: Sequence[Change],
    written: Iterable[Key],
    opened: Iterable[Link] = (),
    gone: Iterable[Link] = (),
) -> None:
    """Write rows that are locked, and ``moves`` and links of jobs that are locked, too, or new. Raises: StoreError."""
    if moves and (taken := await move(tx, moves)) != len(moves):
        raise StoreError(f"only {taken} of {len(moves)} locked jobs were still as they had been read")
    values = [
        (_hex(key.name), rows.id_bytes(key.job_id).hex(), key.created_at, key.expires_at,
         None if key.digest is None else key.digest.hex(), int(key.made), key.look_at)
        for key in written
    ]  # fmt: skip
    for document in documents(values, tx.max_document_bytes):
        await tx.run(WRITE, document)
    await mysql_links.put(tx, opened)
    await mysql_links.remove(tx, gone)


async def redrive(tx: Transaction, job_id: str, version: int | None, edit: Edit) -> Change:
    """See ``Store.redrive``, of any job."""
    job = await mysql_reads.existing(tx, job_id, lock=True)
    kept, stored = dict[str, Key](), list[Job]()
    if names := keys.wanted_again(job):
        await tx.start_over()  # keys before jobs
        kept, stored, _ = await lock(tx, (), sorted(names))
        job = await mysql_reads.existing(tx, job_id, lock=True)
    unique = keys.needs_key(job)
    key = kept.get(unique.name) if unique else None
    change, taken = keys.redrive(job, version, key, {one.id: one for one in stored}, tx.now, edit)
    (change,), turns = await mysql_links.redrive(tx, [change], kept, stored)
    await write_with(tx, [], [taken, *turns] if taken else turns)
    await write(tx, [change])
    return change


async def holder(tx: Transaction, unique: Unique) -> Job | None:
    """See ``Store.holder``. Locks nothing."""
    found = {key.name: key for key in map(_key, (await tx.run(BY_NAMES, (unique.name.encode(),))).rows)}
    key = found.get(unique.name)
    stored = [] if key is None else await mysql_reads.by_ids(tx, [key.job_id])
    return keys.holder(unique, key, {job.id: job for job in stored}, tx.now)


async def prune(tx: Transaction, limit: int) -> int:
    """See ``Store.prune_keys``."""
    looked_at = [_key(row) for row in (await tx.run(DUE, tx.now, limit)).rows]
    ids = keys_of({key.job_id for key in looked_at if key.expires_at is None})
    alive = {rows.id_text(raw(found)) for (found,) in (await tx.run(ALIVE, ids)).rows} if ids else set()
    alive |= {link.waiter for link in await mysql_links.of(tx, ids)}
    gone, later = keys.sweep(looked_at, alive, tx.now)
    for document in documents([(_hex(name),) for name in gone], tx.max_document_bytes):
        await tx.run(DELETE, document)
    for document in documents([(_hex(name), at) for name, at in later], tx.max_document_bytes):
        await tx.run(LOOK_LATER, document)
    return len(looked_at)


def _key(row: Row) -> Key:
    name, job_id, created_at, expires_at, digest, made = row[:6]
    return Key(
        raw(name).decode(), rows.id_text(raw(job_id)), number(created_at), number_or_none(expires_at), digest,
        made == b"1",
    )  # fmt: skip


def _hex(name: str) -> str:
    return name.encode().hex()
