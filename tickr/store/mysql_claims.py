"""Claims and outcomes, as transactions on MySQL.

Rows are locked by primary key, in order of id, and where a race is normal with ``SKIP LOCKED``: whoever comes second
gets other jobs and waits for nobody. ``finish`` first writes what the worker believes, by compare-and-set; only when a
row does not take is everything undone, locked, looked at and written again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tickr.errors import StoreError
from tickr.events import Change
from tickr.jobs import MAX_CRASHES, SUSPECT_CRASHES, Entry, Job, State
from tickr.names import may_run
from tickr.queues import MAX_LIMIT, in_order
from tickr.queues import gates as queue_gates
from tickr.reports import Outcome
from tickr.store import changes, ended, mysql_ended, mysql_queues
from tickr.store.claimant import Claimant
from tickr.store.mysql_jobs import AS_JSON, BY_IDS, jobs_of, keys_of, move, read, succeed, succeed_each, tell, write
from tickr.store.mysql_queues import Controlled
from tickr.store.mysql_transactions import NOW, Transaction
from tickr.store.mysql_waiting import Head, due_in, due_queues

OVERFETCH = 4
"""How many candidates ``claim_due`` looks at for each job wanted: others may have the best ones locked."""

SHARED_SUCCESS_MIN = 8
"""From how many alike successes on ``succeed`` is worth a statement of its own beside that for the others."""

CLAIMABLE = (
    f"SELECT {AS_JSON}, {mysql_queues.CONTROLLED}, {NOW} FROM jobs FORCE INDEX (PRIMARY) "  # noqa: S608
    f"WHERE id IN %s AND state IN (1, 2) AND run_at <= COALESCE(%s, {NOW}) AND type IN %s AND crashes < %s "
    "AND EXISTS (SELECT 1 FROM nodes AS n WHERE n.id = %s) FOR UPDATE SKIP LOCKED"
)
"""Tells the server's time along, which saves a round trip: a claim needs it, and has nothing to do before.

The node's own row is only looked at, not locked: a heartbeat on its way is in nobody's way.
"""
START = (
    "UPDATE jobs FORCE INDEX (PRIMARY) SET state = 4, version = version + 1, fence = fence + 1, attempt = attempt + 1, "
    "node = %s, started_at = %s, finished_at = 0, cancel_requested = 0, progress = NULL WHERE id IN %s"
)
LOCK_BY_IDS = BY_IDS + " FOR UPDATE"


# -- claim ----------------------------------------------------------------------------------------------------------


async def claim(tx: Transaction, ids: Collection[str], claimant: Claimant) -> list[Job]:
    """See ``Store.claim``. ``tx.now`` may be an estimate; it is exact afterwards."""
    found, controlled = await _lock_claimable(tx, ids, claimant)
    return await _start(tx, found, claimant, controlled)


async def _lock_claimable(tx: Transaction, ids: Collection[str], claimant: Claimant) -> tuple[list[Job], Controlled]:
    """Return those of ``ids`` that may be claimed, as far as nobody else is at them, and the queues with gates."""
    keys, types = keys_of(ids), tuple(claimant.types)
    if not keys or not types:
        return [], {}
    crashes_below = SUSPECT_CRASHES if claimant.suspects == 0 else MAX_CRASHES
    ((document, controlled, _),) = (
        await tx.run_telling_now(CLAIMABLE, keys, tx.replacement_us, types, crashes_below, claimant.node)
    ).rows
    return await jobs_of(tx, document), mysql_queues.names(controlled)


async def _start(tx: Transaction, found: Sequence[Job], claimant: Claimant, controlled: Controlled) -> list[Job]:
    gates = await mysql_queues.lock_gates(tx, found, controlled) if controlled else {}
    made = changes.claim(found, now=tx.now, gates=gates, **claimant._asdict())
    starts, others = changes.started(made)
    if starts:
        keys = keys_of([change.after.id for change in starts])
        # What ``jobs.started`` does to a record, as SQL: half the work of writing every field.
        started = await tx.run(START, claimant.node, tx.now, keys)
        if started.affected != len(starts):
            raise StoreError(f"only {started.affected} of {len(starts)} locked jobs could be started")
        await mysql_queues.keep_starts(tx, gates)
    if others and (taken := await move(tx, others)) != len(others):
        raise StoreError(f"only {taken} of {len(others)} locked jobs could be ended")
    await tell(tx, made)
    return [change.after for change in starts]


async def claim_due(
    tx: Transaction, limit: int, claimant: Claimant, turn: int, queues: Mapping[str, int] | None
) -> list[Job]:
    """See ``Store.claim_due``. ``turn``: raised by one at every call, so that each queue has its turn."""
    due = await due_queues(tx) if claimant.types and limit > 0 else []
    due = [queue for queue in due if may_run(claimant.node, queue)]
    controlled = await mysql_queues.controlled(tx)
    gates = queue_gates(await mysql_queues.standings(tx, controlled.keys() & set(due)), tx.now)
    newest = await mysql_queues.newest_first(tx)
    rooms = {queue: gates[queue].room if queue in gates else MAX_LIMIT for queue in due}
    if queues is not None:
        rooms = {queue: min(room, queues[queue]) for queue, room in rooms.items() if queue in queues}
    open_ = [queue for queue, room in rooms.items() if room > 0]
    each = max(limit, OVERFETCH * limit // max(len(open_), 1))

    async def lock_some(keys: Collection[str] | None) -> list[Job]:
        per_queue = []
        for queue in open_:
            full = gates[queue].full_keys if queue in gates else ()
            head = Head(queue, min(each, rooms[queue]), newest=queue in newest)
            per_queue.append(await due_in(tx, head, claimant.types, full, keys))
        candidates = _in_order(per_queue, limit, turn, newest)
        found: list[Job] = []
        while candidates and len(found) < limit:
            some = [entry.id for entry in candidates[: limit - len(found)]]
            del candidates[: len(some)]
            found += (await _lock_claimable(tx, some, claimant))[0]
        return found

    found = await lock_some(None)
    if not all(changes.readable(job, claimant.keys) for job in found):
        found = await lock_some(claimant.keys)  # or those that nobody here can read would hide the others
    return await _start(tx, found, claimant, controlled)


def _in_order(per_queue: Sequence[list[Entry]], limit: int, turn: int, newest: Collection[str]) -> list[Entry]:
    """Return candidates in the order in which to try them: see ``queues.in_order``.

    A quarter of ``limit`` is kept for the queues in turn, one job each, so that a queue full of urgent jobs starves
    no other.
    """
    heads = [entries[0] for entries in per_queue if entries]
    kept = min(limit // 4, len(heads))
    start = turn * kept % len(heads) if heads else 0
    first = (heads + heads)[start : start + kept]
    rest = set().union(*per_queue).difference(first)
    return [*first, *in_order(rest, newest)]


# -- finish ---------------------------------------------------------------------------------------------------------


async def finish(tx: Transaction, outcomes: Sequence[Outcome]) -> list[Job | None]:
    """See ``Store.finish``. ``tx.now`` may be an estimate: nobody ends before it began all the same."""
    if tx.replacement_us is None:
        tx.now = max(tx.now, *(outcome.job.started_at or 0 for outcome in outcomes))
    believed = {outcome.job.id: outcome.job for outcome in outcomes}
    # What the worker's record does not tell: the children of parents, and what handlers have written.
    unsure = any(outcome.of_parent or outcome.may_have_ended for outcome in outcomes)
    made = changes.finish(outcomes, believed, tx.now)
    wanted = [change for change in made if change is not None]
    if not unsure and await _take(tx, wanted) == len(wanted):
        await tell(tx, wanted)
    else:
        if not unsure:
            await tx.start_over()
        stored = {job.id: job for job in await read(tx, LOCK_BY_IDS, keys_of(believed))}
        written = await mysql_ended.take(tx, ended.asked(outcomes, stored))
        made = changes.finish(outcomes, stored, tx.now, written)
        await write(tx, [change for change in made if change is not None])
    await mysql_queues.register(tx, changes.relocated(outcomes, made))
    await mysql_queues.hold(tx, changes.holds(outcomes, made))
    return [None if change is None else change.after for change in made]


async def _take(tx: Transaction, wanted: Sequence[Change]) -> int:
    """Write ``wanted`` without having locked anything, the cheap way where there is one. Return how many took."""
    alike: dict[tuple[str | None, int, int, str | None], list[Change]] = {}
    others: list[Change] = []
    for change in wanted:
        after = change.after
        if after.state is State.SUCCEEDED:
            alike.setdefault((after.result, after.version, after.fence, after.node), []).append(change)
        else:
            others.append(change)
    taken = 0
    each: list[Change] = []
    for group in alike.values():
        if len(group) >= SHARED_SUCCESS_MIN or len(alike) == 1:
            taken += await succeed(tx, group)
        else:
            each += group
    return taken + await succeed_each(tx, each) + await move(tx, others)
