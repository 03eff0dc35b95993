"""The rows of events in MySQL, numbered by whoever reads them.

``AUTO_INCREMENT`` gives out ids in the order of the inserts, not of the commits, so a reader who followed them would
miss what is committed late. Instead the reader takes the lock on the feed's head, numbers what is committed and has no
number yet, and then reads by number. No leader, no gaps, and a crash at any point changes nothing: numbers and head are
written in one transaction. Two events of one job get theirs in the right order because the second transaction began
its write after the first had ended, and so has the higher id.
"""

from __future__ import annotations

from tickr.store.mysql_jobs import documents
from tickr.store.mysql_transactions import Transaction
from tickr.store.mysql_values import number, text

TOLD = "SELECT seq, body FROM events WHERE seq > %s ORDER BY seq LIMIT %s"
UNNUMBERED = "SELECT id FROM events WHERE seq IS NULL ORDER BY id LIMIT 5000"
LOCK_HEAD = "SELECT seq FROM feed_head WHERE id = 1 FOR UPDATE"
NUMBER = (
    "UPDATE JSON_TABLE(%s, '$[*]' COLUMNS (id BIGINT PATH '$[0]', seq BIGINT PATH '$[1]')) AS x "
    "STRAIGHT_JOIN events AS e FORCE INDEX (PRIMARY) ON e.id = x.id SET e.seq = x.seq"
)
MOVE_HEAD = "UPDATE feed_head SET seq = %s WHERE id = 1"


async def event_rows(tx: Transaction, after: int, limit: int) -> list[tuple[int, str]]:
    """See ``Store.event_rows``."""
    found = (await tx.run(TOLD, after, limit)).rows
    if len(found) < limit and await _number_new(tx):
        found = (await tx.run(TOLD, after, limit)).rows
    return [(number(seq), text(body)) for seq, body in found]


async def _number_new(tx: Transaction) -> bool:
    if not (await tx.run(UNNUMBERED)).rows:
        return False
    ((head,),) = (await tx.run(LOCK_HEAD)).rows
    new = (await tx.run(UNNUMBERED)).rows  # again: another reader may have been first
    numbered = [(number(key), seq) for seq, (key,) in enumerate(new, start=number(head) + 1)]
    for document in documents(numbered, tx.max_document_bytes):
        await tx.run(NUMBER, document)
    if numbered:
        await tx.run(MOVE_HEAD, numbered[-1][1])
    return True
