"""``GET /jobs/<id>/explain``: why a job is not running, and when it may.

Everything is asked anew: the job, its queue, the nodes, and the pace of the last starts, which the feed tells. A job
that waits has at least one reason; the first is the one to look at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
from quart import Response, request

from tickr import events
from tickr.api import incoming, wire
from tickr.api.context import Context
from tickr.envelopes import told
from tickr.errors import JobNotFound
from tickr.jobs import FINAL, WAITING, Job, State
from tickr.links import Kind
from tickr.names import node_of_queue
from tickr.near import did_you_mean
from tickr.queues import Gate, Held, Standing
from tickr.scopes import Scope
from tickr.store.contract import Node, Store, keys_for

if TYPE_CHECKING:
    from tickr.api.app import Edge

COUNT_TO = 10_000
"""How far the jobs ahead are counted."""
PACE_ROWS, PACE_BYTES = 500, 1024 * 1024
"""From so many of the last rows of events the pace is taken, in rows and in characters."""
SOME = 3
"""So many nodes are named in a sentence."""
CAME = WAITING | {State.SCHEDULED}
"""The states of what has come to wait for a start."""
LATE = 0.5
"""A node that was not heard of for this share of its lease is called silent: it renews three times in one."""
PACE_S = 300.0
"""Starts longer ago say nothing of the pace any more, in seconds."""


class Awaited(msgspec.Struct, frozen=True):
    """A job that another waits for."""

    id: str
    type: str
    state: str


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that keeps a job from running: a stable ``code``, a sentence, and until when, if that is known.

    ``jobs``: those that it waits for, with ``blocked``.
    """

    code: str
    detail: str
    until: wire.Instant | None = None
    jobs: list[Awaited] | None = None


class Explanation(msgspec.Struct, frozen=True):
    """``ahead`` is at least so many once it is ``COUNT_TO``; null where nothing is ahead of the job."""

    id: str
    state: str
    reasons: list[Reason]
    ahead: int | None
    estimated_start: wire.Instant | None


class Surroundings(msgspec.Struct, frozen=True):
    """What a job waits in: ``standing`` is None for a plain queue, ``pace`` in starts a second if there were some.

    Where the newest goes first, ``pace`` is without those that were needed for what came meanwhile.
    """

    now: int
    nodes: list[Node]
    standing: Standing | None
    ahead: int
    pace: float | None

    @property
    def newest_first(self) -> bool:
        return self.standing is not None and self.standing.controls.order == "newest"


def add_routes(app: Edge, context: Context) -> None:
    async def explain(job_id: str) -> Response:
        incoming.known_query(request)
        job = await context.store.get(incoming.job_id(job_id))
        if job is None:
            raise JobNotFound(job_id.lower())
        return wire.json_response(wire.encode(await _explained(context.store, job)))

    app.add_call("GET", "/jobs/<job_id>/explain", "explain", explain, Scope.JOBS_READ)


async def _explained(store: Store, job: Job) -> Explanation:
    now = store.now_us()
    if job.state is State.BLOCKED:
        return Explanation(job.id, job.state, [await _blocked(store, job, now)], None, None)
    if job.state is State.RUNNING:
        return Explanation(job.id, job.state, [*_running(job, await store.nodes(), store.now_us())], None, None)
    if job.state not in WAITING:
        return Explanation(job.id, job.state_at(now), [_ended(job)], None, None)
    found = await _look(store, job)
    reasons = [*_reasons(job, found)]
    stuck = {reason.code for reason in reasons} & STUCK
    if not stuck:
        reasons += _backlog(job, found)
    start = _estimate(job, found) if stuck <= {"not_due"} else None
    return Explanation(job.id, job.state_at(found.now), reasons, found.ahead, wire.instant(start))


STUCK = frozenset(
    {"paused", "no_node_for_type", "no_node_for_key", "no_node_for_queue", "node_gone", "nodes_quiet"} | {"not_due"}
)
"""While one of these holds, what is ahead is not what the job waits for."""


async def _look(store: Store, job: Job) -> Surroundings:
    standings = await store.standings([job.queue])
    ahead = await store.ahead(job, count_to=COUNT_TO)
    found = Surroundings(store.now_us(), await store.nodes(), standings[0] if standings else None, ahead, None)
    return msgspec.structs.replace(found, pace=await _pace(store, job.queue, newest_first=found.newest_first))


async def _pace(store: Store, queue: str, *, newest_first: bool) -> float | None:
    """Return how many jobs of a queue have been started in a second lately; None if hardly any were.

    Args:
      newest_first: less what came to wait there meanwhile, as that goes before what waits.
    """
    head = (await store.feed_state()).head
    rows = await store.event_rows(max(0, head - PACE_ROWS), PACE_ROWS, PACE_BYTES)
    since = store.now_us() - int(PACE_S * 1e6)
    told = [event for _, body in rows for event in events.decode(body)]
    of_jobs = (event for event in told if isinstance(event, events.Event))
    mine = [event for event in of_jobs if event.queue == queue and event.time > since]
    starts = [event.time for event in mine if event.what == "started"]
    if len(starts) < 2:
        return None
    came = sum(event.state in CAME and event.time >= min(starts) for event in mine) if newest_first else 0
    return (len(starts) - came) / max(1.0, (store.now_us() - min(starts)) / 1e6)


def _running(job: Job, nodes: Sequence[Node], now: int) -> Iterator[Reason]:
    """Tell of the node that has ``job``: first that it is silent, if so, as nobody may be running the job any more."""
    node = next((node for node in nodes if node.id == job.node), None)
    stopping = " It has been asked to stop." if job.cancel_requested else ""
    runs = Reason("running", f"Attempt {job.attempt} runs on node {job.node}.{stopping}")
    if node is None:
        yield Reason("node_silent", f"Node {job.node}, which ran it, is gone: it is taken back in a moment.")
    elif (silent := node.silent_s(now)) > node.lease_s * LATE:
        heard = f"Node {job.node}, which runs it, was last heard of {silent:.0f} s ago"
        until = wire.instant(node.lease_until)
        yield Reason("node_silent", f"{heard}; if it stays silent, the job is taken back after {until}.", until)
    yield runs


def _ended(job: Job) -> Reason:
    return Reason("final", f"The job has ended: {job.state}. POST /jobs/{job.id}/retry runs it again.")


async def _blocked(store: Store, job: Job, now: int) -> Reason:
    """Return which jobs a blocked one waits for. What has ended meanwhile is dealt with in a moment."""
    if job.extras.nursery is not None:
        found, why = await store.children([job.id]), "it has submitted" + _until(job)
    else:
        waits = await store.waits_of(job.id)
        found = await store.get_many([link.on for link in waits]) if waits else []
        why = _why(job, {link.kind for link in waits})
    waits_for = [Awaited(one.id, one.type, one.state_at(now)) for one in found if one.state not in FINAL]
    many = "1 job" if len(waits_for) == 1 else f"{len(waits_for)} jobs"
    return Reason("blocked", f"It waits for {many} that {why}.", jobs=waits_for)


def _why(job: Job, kinds: Collection[Kind]) -> str:
    if Kind.SEQUENCE not in kinds or job.extras.sequence is None:
        return "it depends on"
    turn = f'before it in the sequence "{job.extras.sequence.name}"'
    return f"it depends on, or that came {turn}" if Kind.DEPENDENCY in kinds else f"came {turn}"


def _until(job: Job) -> str:
    """Return what becomes of a job with children when these have ended."""
    return ", and is run again then" if job.closing is None else f", and is {job.closing} then"


def _reasons(job: Job, found: Surroundings) -> Iterator[Reason]:
    if job.run_at > found.now:
        why = "It is tried again" if job.state is State.RETRYING else "It is not due"
        at = wire.instant(job.run_at)
        yield Reason("not_due", f"{why} {'at' if job.state is State.RETRYING else 'before'} {at}.", at)
    if reason := no_node(job, found.nodes):
        yield reason
    if found.standing is not None and (held := _limit(job, found)):
        yield _held(job, found.standing, held)
    if (only := node_of_queue(job.queue)) is not None:
        yield Reason("one_node", f"Node {only} alone is to run it.")
    if job.suspect:
        yield Reason("suspect", f"Nodes were lost {job.crashes} times while it ran: it is started alone.")


def no_node(job: Job, nodes: Sequence[Node]) -> Reason | None:
    """Return that no live node would run ``job``, if so."""
    only = node_of_queue(job.queue)
    able = [node for node in nodes if job.type in node.types and only in (None, node.id)]
    if not able and only is not None:
        return Reason(
            "node_gone", f"Node {only}, which alone was to run it, is gone: it will be cancelled in a moment."
        )
    if not able:
        types = {name for node in nodes for name in node.types}
        hint = did_you_mean(job.type, types)
        detail = f'No live node handles the type "{job.type}"; the job waits until one does.{hint}'
        return Reason("no_node_for_type", detail)
    sealed = job.extras.sealed
    if sealed is not None:
        able = [node for node in able if sealed in keys_for(node, nodes)]
        if not able:
            lacking = f"It is encrypted with {told(sealed)}, which no live node that handles its type has"
            detail = f"{lacking}; the job waits until one has it among its TICKR_ENCRYPTION_KEYS."
            return Reason("no_node_for_key", detail)
    taken = {queue for node in able for queue in node.queues}
    able = [node for node in able if not node.queues or job.queue in node.queues or only is not None]
    if not able:
        detail = f'No live node that handles its type takes jobs of the queue "{job.queue}"; it waits until one does.'
        return Reason("no_node_for_queue", detail + did_you_mean(job.queue, taken))
    if not any(node.takes_jobs for node in able):
        return Reason("nodes_quiet", _quiet(able))
    return None


def _quiet(able: Sequence[Node]) -> str:
    """Return what to say when none of the nodes that are ``able`` to run a job takes any."""
    some = ", ".join(f"{node.id} ({node.state})" for node in able[:SOME])
    many = f" and {len(able) - SOME} more" if len(able) > SOME else ""
    return f"No node that would run it takes jobs: {some}{many}; POST /nodes/<id>/resume lets a quiet one go on."


def _limit(job: Job, found: Surroundings) -> Held | None:
    """Return what is set on its queue that keeps ``job`` from starting just now, if anything."""
    return None if found.standing is None else Gate(found.standing, found.now).held(job.limit_key)


def _held(job: Job, standing: Standing, held: Held) -> Reason:
    limits, rate = standing.controls.limits, standing.controls.limits.rate
    until = wire.instant(held.until)
    if held.by == "paused":
        how_long = "" if until is None else f" until {until}"
        detail = f'The queue "{job.queue}" is paused{how_long}; POST /queues/{job.queue}/resume lets it go on.'
        return Reason("paused", detail, until)
    if held.by == "max_running":
        running = _run(standing.running, f'of the queue "{job.queue}"')
        detail = f"{running}, and {limits.max_running} may."
    elif held.by == "max_running_per_key":
        running = _run(standing.keys.get(job.limit_key or "", 0), f'with the key "{job.limit_key}"')
        where = " in the queues that share their keys" if limits.shared_keys else ""
        detail = f"{running}{where}, and {limits.max_running_per_key} may."
    else:
        assert rate is not None
        starts = "1 start" if rate.starts == 1 else f"{rate.starts} starts"
        detail = f'The queue "{job.queue}" has had its {starts} in {rate.period_us / 1e6:g} s.'
    return Reason(held.by, detail, until)


def _run(count: int, which: str) -> str:
    return f"1 job {which} runs" if count == 1 else f"{count} jobs {which} run"


def _backlog(job: Job, found: Surroundings) -> Iterator[Reason]:
    many = f"at least {found.ahead}" if found.ahead >= COUNT_TO else str(found.ahead)
    slots = sum(node.slots for node in found.nodes if node.takes_jobs)
    if found.ahead:
        newer = ", and so will newer ones" if found.newest_first else ""
        jobs, come = ("job", "comes") if found.ahead == 1 else ("jobs", "come")
        detail = f'{many} due {jobs} of the queue "{job.queue}" {come} before it{newer}; the nodes have {slots} slots.'
        yield Reason("backlog", detail)
    else:
        yield Reason("next", f'It is the next of the queue "{job.queue}", as soon as one of {slots} slots is free.')


def _estimate(job: Job, found: Surroundings) -> int | None:
    """Return when it will start if all goes on as it did, microseconds UTC; None if nothing can be said."""
    held = _limit(job, found)
    is_full = held is not None and held.until is None  # then one that runs has to end before
    due = max(job.run_at, found.now, held.until or 0 if held else 0)
    if not (before := found.ahead + is_full):
        return due
    if found.pace is None or found.pace <= 0:
        return None
    return max(due, found.now + int(before / found.pace * 1e6))
