"""The log of events in MySQL, numbered by whoever reads it, and what running attempts say.

``AUTO_INCREMENT`` gives out ids in the order of the inserts, not of the commits, so a reader who followed them would
miss what is committed late. Instead the reader takes the lock on the feed's head, numbers what is committed and has no
number yet, and then reads by number. No leader, no gaps, and a crash at any point changes nothing: numbers and head are
written in one transaction. Two events of one job get theirs in the right order because the second transaction began
its write after the first had ended, and so has the higher id.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tickr import events
from tickr.jobs import Note
from tickr.store import changes, rows
from tickr.store.contract import FeedState
from tickr.store.event_log import MAX_PRUNED, fresh_history
from tickr.store.mysql_jobs import add_events, keys_of, parts, show_progress
from tickr.store.mysql_transactions import Transaction
from tickr.store.mysql_values import number, number_or_none, raw, text

NUMBERED_AT_ONCE = 5_000
"""How many rows one transaction numbers."""
INLINE_LENGTH = 4096
"""Bodies up to so many characters come along when their rows are found; who follows the log need not ask for them."""

LOOK = (
    "SELECT seq, EXISTS (SELECT 1 FROM events FORCE INDEX (events_seq) WHERE seq IS NULL) FROM feed_head WHERE id = 1"
)
LOCK_HEAD = "SELECT seq FROM feed_head WHERE id = 1 FOR UPDATE"
# Without being told MariaDB walks the primary key, for the order's sake, and with it the whole log.
UNNUMBERED = (
    "SELECT id, CHAR_LENGTH(body), IF(CHAR_LENGTH(body) <= %s, body, NULL) "
    "FROM events FORCE INDEX (events_seq) WHERE seq IS NULL ORDER BY id LIMIT %s"
)
NUMBER = (
    "UPDATE feed_head AS h STRAIGHT_JOIN "
    "JSON_TABLE(%s, '$[*]' COLUMNS (id BIGINT PATH '$[0]', seq BIGINT PATH '$[1]')) AS x "
    "STRAIGHT_JOIN events AS e FORCE INDEX (PRIMARY) ON e.id = x.id SET e.seq = x.seq, h.seq = %s WHERE h.id = 1"
)
LENGTHS = "SELECT CHAR_LENGTH(body) FROM events FORCE INDEX (events_seq) WHERE seq > %s ORDER BY seq LIMIT %s"
BODIES = "SELECT seq, body FROM events FORCE INDEX (events_seq) WHERE seq > %s ORDER BY seq LIMIT %s"
STATE = (
    "SELECT (SELECT value FROM meta WHERE name = 'history'), "
    "(SELECT seq FROM events FORCE INDEX (events_seq) WHERE seq > 0 ORDER BY seq LIMIT 1), seq "
    "FROM feed_head WHERE id = 1"
)
FRONT = "SELECT seq, created_at, count FROM events FORCE INDEX (events_seq) WHERE seq > 0 ORDER BY seq LIMIT %s"
PRUNE = "DELETE e FROM events AS e FORCE INDEX (events_seq) WHERE e.seq >= %s AND e.seq <= %s"
NEW_HISTORY = "UPDATE meta SET value = %s WHERE name = 'history' AND value = %s"
HISTORY = "SELECT value FROM meta WHERE name = 'history'"
LOCK_FENCES = "SELECT id, fence FROM jobs FORCE INDEX (PRIMARY) WHERE id IN %s AND state = 4 FOR UPDATE"


# -- what running attempts say ----------------------------------------------------------------------------------------


async def note(tx: Transaction, notes: Sequence[Note]) -> int:
    """See ``Store.note``. The locks keep every attempt from ending before its notes are in the log."""
    locked = (await tx.run(LOCK_FENCES, keys_of({one.job.id for one in notes}))).rows
    kept = changes.kept(notes, {rows.id_text(raw(key)): number(fence) for key, fence in locked})
    await show_progress(tx, changes.progress(kept))
    for part in parts(kept, _most_bytes, tx.max_document_bytes):
        await add_events(tx, len(part), events.encode(map(events.of_note, part)))
    return len(kept)


def _most_bytes(one: Note) -> int:
    """Return how long a note may become as JSON inside SQL."""
    return 4 * one.size_bytes()


# -- reading ----------------------------------------------------------------------------------------------------------


async def event_rows(tx: Transaction, after: int, limit: int, max_bytes: int) -> list[tuple[int, str]]:
    """See ``Store.event_rows``. How long the rows are is read before they are, so that no more is fetched than wanted.

    Of those just numbered it is known, and short ones are here: followers wait for four answers and a COMMIT.
    """
    numbering = await number_new(tx, inline_length=INLINE_LENGTH)
    if after >= numbering.head:
        return []
    is_next = after == numbering.head - len(numbering.lengths)
    lengths = numbering.lengths if is_next else await _lengths(tx, after, limit)
    count = _rows_in_page(lengths[:limit], max_bytes)
    if is_next and None not in (bodies := numbering.bodies[:count]):
        return list(enumerate(map(text, bodies), start=after + 1))
    return [(number(seq), text(body)) for seq, body in (await tx.run(BODIES, after, count)).rows]


async def _lengths(tx: Transaction, after: int, limit: int) -> list[int]:
    return [number(length) for (length,) in (await tx.run(LENGTHS, after, limit)).rows]


def _rows_in_page(lengths: Sequence[int], max_bytes: int) -> int:
    ends = itertools.accumulate(lengths)
    return min(len(lengths), sum(1 for _ in itertools.takewhile(lambda end: end < max_bytes, ends)) + 1)


class Numbering(NamedTuple):
    """What ``number_new`` did: the head after it, and each new row's length and, if short, its body."""

    head: int
    lengths: list[int]
    bodies: list[bytes | None]

    @property
    def more(self) -> bool:
        """Whether there may be more to number."""
        return len(self.lengths) == NUMBERED_AT_ONCE


async def number_new(tx: Transaction, *, inline_length: int = 0) -> Numbering:
    """Number what is committed; one question when there is nothing."""
    ((head, new),) = (await tx.run(LOOK)).rows
    if new == b"0":
        return Numbering(number(head), [], [])
    ((head,),) = (await tx.run(LOCK_HEAD)).rows
    # Not before the lock: another reader may have been first.
    found = (await tx.run(UNNUMBERED, inline_length, NUMBERED_AT_ONCE)).rows
    numbered = [(number(key), seq) for seq, (key, _, _) in enumerate(found, start=number(head) + 1)]
    if numbered:
        await tx.run(NUMBER, msgspec.json.encode(numbered).decode(), numbered[-1][1])
    lengths, bodies = [number(length) for _, length, _ in found], [body for _, _, body in found]
    return Numbering(number(head) + len(numbered), lengths, bodies)


async def state(tx: Transaction) -> FeedState:
    """See ``Store.feed_state``. One statement is one snapshot."""
    ((history, oldest, head),) = (await tx.run(STATE)).rows
    first = number_or_none(oldest)
    return FeedState(text(history), number(head) + 1 if first is None else first, number(head))


# -- keeping it short -------------------------------------------------------------------------------------------------


async def prune(tx: Transaction, before: int, limit: int) -> int:
    """See ``Store.prune_events``. Looks without locks; rows with a number are nobody else's but another pruner's."""
    old: list[int] = []
    told = 0
    for seq, created_at, count in (await tx.run(FRONT, limit)).rows:
        if number(created_at) >= before or told >= MAX_PRUNED:
            break
        old.append(number(seq))
        told += number(count)
    return (await tx.run(PRUNE, old[0], old[-1])).affected if old else 0


async def new_history(tx: Transaction, old: str) -> str:
    """See ``Store.new_history``."""
    await tx.run(NEW_HISTORY, fresh_history(), old)
    ((history,),) = (await tx.run(HISTORY)).rows
    return text(history)
