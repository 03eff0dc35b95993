"""The log of events in MySQL, numbered by whoever reads it, and what running attempts say.

``AUTO_INCREMENT`` gives out ids in the order of the inserts, not of the commits, so a reader who followed them would
miss what is committed late. Instead the reader numbers what is committed and has no number yet, and then reads by
number. The head of the feed is moved on by compare-and-set in the same statement, so of several readers one wins and
the others look again. No leader, no gaps, and a crash at any point changes nothing. Two events of one job get their
numbers in the right order because the second transaction began its write after the first had ended, and so has the
higher id.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from tickr import events
from tickr.failpoints import reach
from tickr.reports import Note
from tickr.store import changes, rows
from tickr.store.contract import FeedState, StoreUse
from tickr.store.event_log import MAX_PRUNED, fresh_history
from tickr.store.mysql_jobs import add_events, keys_of, parts, show_progress
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import Row, number, number_or_none, raw, text
from tickr.tallies import Tally

NUMBERED_AT_ONCE = 5_000
"""How many rows one transaction numbers."""
NEXT_AT_ONCE = 32
INLINE_LENGTH = 16 * 1024
"""Of so few new rows the bodies up to so many characters come along: who follows the log need not ask for them."""
MEASURED_AT_ONCE = 16
"""How many rows are measured before it is known that they are short: to measure a body is to read it."""

# Without being told MariaDB walks the primary key, for the order's sake, and with it the whole log.
_NEW = (
    "FROM feed_head AS h LEFT JOIN events AS e FORCE INDEX (events_seq) ON e.seq IS NULL "
    "WHERE h.id = 1 ORDER BY e.id LIMIT %s"
)
UNNUMBERED = "SELECT h.seq, e.id " + _NEW
"""One row without an event where there is nothing to number. Looks at no body, however many there are."""
UNNUMBERED_BODIES = "SELECT h.seq, e.id, CHAR_LENGTH(e.body), IF(CHAR_LENGTH(e.body) <= %s, e.body, NULL) " + _NEW
NUMBER = (
    "UPDATE feed_head AS h STRAIGHT_JOIN "
    "JSON_TABLE(%s, '$[*]' COLUMNS (id BIGINT PATH '$[0]', seq BIGINT PATH '$[1]')) AS x "
    "STRAIGHT_JOIN events AS e FORCE INDEX (PRIMARY) ON e.id = x.id SET e.seq = x.seq, h.seq = %s "
    "WHERE h.id = 1 AND h.seq = %s"
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
LOCK_BEGUN = "SELECT id, fence, started_at FROM jobs FORCE INDEX (PRIMARY) WHERE id IN %s AND state = 4 FOR UPDATE"


# -- what running attempts say ----------------------------------------------------------------------------------------


async def note(tx: Transaction, notes: Sequence[Note]) -> int:
    """See ``Store.note``. The locks keep every attempt from ending before its notes are in the log."""
    locked = (await tx.run(LOCK_BEGUN, keys_of({one.job.id for one in notes}))).rows
    kept = changes.of_running(notes, {rows.id_text(raw(key)): (number(fence), number(at)) for key, fence, at in locked})
    await show_progress(tx, changes.progress(kept))
    for part in parts(kept, _most_bytes, tx.max_document_bytes):
        await add_events(tx, len(part), events.encode(map(events.of_note, part)))
    return len(kept)


def _most_bytes(one: Note) -> int:
    """Return how long a note may become as JSON inside SQL."""
    return 4 * one.size_bytes()


# -- reading ----------------------------------------------------------------------------------------------------------


async def event_rows(tx: Transaction, after: int, limit: int, max_bytes: int) -> list[tuple[int, str]]:
    """See ``Store.event_rows``. Who follows the log waits for two answers, unless much is new."""
    head, new = await _number(tx, UNNUMBERED_BODIES, INLINE_LENGTH, NEXT_AT_ONCE)
    if len(new) == NEXT_AT_ONCE:
        await number_new(tx)  # more than any page has, in a transaction of bearable length
    elif after >= head:
        return []
    elif after == head - len(new):
        lengths, bodies = [number(length) for _, _, length, _ in new], [body for *_, body in new]
        count = _rows_in_page(lengths[:limit], max_bytes)
        if None not in bodies[:count]:
            return list(enumerate(map(text, bodies[:count]), start=after + 1))
    count = await _page_length(tx, after, limit, max_bytes)
    return [(number(seq), text(body)) for seq, body in (await tx.run(BODIES, after, count)).rows]


async def _page_length(tx: Transaction, after: int, limit: int, max_bytes: int) -> int:
    """Return how many rows make a page. How long they are is read first, so that no more is fetched than wanted."""
    for most in (min(limit, MEASURED_AT_ONCE), limit):
        lengths = [number(length) for (length,) in (await tx.run(LENGTHS, after, most)).rows]
        if len(lengths) < most or sum(lengths) >= max_bytes:
            break
    return _rows_in_page(lengths, max_bytes)


def _rows_in_page(lengths: Sequence[int], max_bytes: int) -> int:
    ends = itertools.accumulate(lengths)
    return min(len(lengths), sum(1 for _ in itertools.takewhile(lambda end: end < max_bytes, ends)) + 1)


class Numbering(NamedTuple):
    """What ``number_new`` did: the head after it, and the ids of the rows that it gave numbers."""

    head: int
    ids: list[int]

    @property
    def more(self) -> bool:
        """Whether there may be more to number."""
        return len(self.ids) == NUMBERED_AT_ONCE


async def number_new(tx: Transaction) -> Numbering:
    """Number what is committed; one question when there is nothing."""
    head, new = await _number(tx, UNNUMBERED, NUMBERED_AT_ONCE)
    return Numbering(head, [number(row[1]) for row in new])


async def _number(tx: Transaction, unnumbered: str, *parameters: int) -> tuple[int, list[Row]]:
    """Number the rows that ``unnumbered`` finds. Returns the head after it, and these rows."""
    while True:
        found = (await tx.run(unnumbered, *parameters)).rows
        head = number(found[0][0])
        if found[0][1] is None:
            return head, []
        numbered = [(number(row[1]), seq) for seq, row in enumerate(found, start=head + 1)]
        new_head = head + len(numbered)
        await reach("feed.before_number")
        if (await tx.run(NUMBER, msgspec.json.encode(numbered).decode(), new_head, head)).affected:
            await reach("feed.after_number")
            return new_head, list(found)
        # Another reader was first and has moved the head on: what is left to number must be looked for again.


async def state(tx: Transaction) -> FeedState:
    """See ``Store.feed_state``. One statement is one snapshot."""
    ((history, oldest, head),) = (await tx.run(STATE)).rows
    first = number_or_none(oldest)
    return FeedState(text(history), number(head) + 1 if first is None else first, number(head))


# -- keeping it short -------------------------------------------------------------------------------------------------


async def prune(tx: Transaction, before: int, limit: int, upto: int | None = None) -> int:
    """See ``Store.prune_events``. Looks without locks; rows with a number are nobody else's but another pruner's."""
    old: list[int] = []
    told = 0
    for seq, created_at, count in (await tx.run(FRONT, limit)).rows:
        if number(created_at) >= before or told >= MAX_PRUNED or (upto is not None and number(seq) > upto):
            break
        old.append(number(seq))
        told += number(count)
    return (await tx.run(PRUNE, old[0], old[-1])).affected if old else 0


async def new_history(tx: Transaction, old: str) -> str:
    """See ``Store.new_history``."""
    await tx.run(NEW_HISTORY, fresh_history(), old)
    ((history,),) = (await tx.run(HISTORY)).rows
    return text(history)


class MysqlFeed:
    """The part of ``MysqlStore`` that has to do with the log."""

    _transactions: Transactions
    _all_transactions: tuple[Transactions, Transactions]
    _asked_s: float
    _worked_s: float

    def on_events(self, call: Callable[[], None]) -> None:
        self._transactions.on_events = call

    def use(self) -> StoreUse:
        jobs, nodes = self._all_transactions
        return StoreUse((jobs.lane("jobs"), nodes.lane("nodes")), jobs.repeated + nodes.repeated)

    def on_tally(self, call: Callable[[Tally], None]) -> None:
        self._transactions.on_tally = call

    async def event_rows(self, after: int, limit: int, max_bytes: int) -> list[tuple[int, str]]:
        return await self._transactions.run(
            lambda tx: event_rows(tx, after, limit, max_bytes),
            within_s=self._worked_s,
            exact_now=False,
            atomic=False,
        )

    async def number_events(self) -> int:
        while True:
            done = await self._transactions.run(number_new, within_s=self._worked_s, exact_now=False, atomic=False)
            if not done.more:
                return done.head

    async def feed_state(self) -> FeedState:
        return await self._transactions.run(state, within_s=self._asked_s, exact_now=False, atomic=False)

    async def prune_events(self, before: int, limit: int, *, upto: int | None = None) -> int:
        return await self._transactions.run(
            lambda tx: prune(tx, before, limit, upto), within_s=self._worked_s, exact_now=False
        )

    async def new_history(self, old: str) -> str:
        return await self._transactions.run(lambda tx: new_history(tx, old), within_s=self._worked_s, exact_now=False)
