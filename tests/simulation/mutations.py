"""The product broken on purpose, one promise at a time: what a simulation that is worth its time must find.

Each takes pytest's ``monkeypatch`` and changes the product in this process; what it breaks is in its first line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import pytest
import trio

from tests.simulation.plan import Plan
from tickr import events, jobs, lease, missed
from tickr.announce import Announcer
from tickr.errors import StoreUnavailable
from tickr.feed.subscription import Reader, Subscription
from tickr.index.contract import Hint
from tickr.index.heap import HeapIndex
from tickr.intake import Intake
from tickr.jobs import Job, NewJob, State
from tickr.reports import Outcome
from tickr.schedule_moves import Fire, Moved, Seen
from tickr.scheduler import schedules as ticking
from tickr.scheduler.audit import Audit
from tickr.scheduler.reap import Reaper
from tickr.schedules import Schedule
from tickr.store import changes
from tickr.store.contract import Expired
from tickr.store.memory import MemoryStore
from tickr.store.memory_queues import QueueControls
from tickr.worker.gates import Gates
from tickr.worker.outcomes import Outcomes
from tickr.worker.reconcile import Reconciler
from tickr.worker.worker import Worker

Change = Callable[[pytest.MonkeyPatch], None]


class Mutation(NamedTuple):
    """``among``: the families of faults that it takes to be seen; none: it is seen in the calm; None: anywhere."""

    change: Change
    among: frozenset[str] | None

    def may_show(self, plan: Plan) -> bool:
        """Whether a run of ``plan`` is worth a look."""
        return self.among is None or (self.among <= set(plan.families) if self.among else not plan.families)


MUTATIONS: dict[str, Mutation] = {}


def mutation(among: str | None = None) -> Callable[[Change], Change]:
    def register(change: Change) -> Change:
        MUTATIONS[change.__name__] = Mutation(change, None if among is None else frozenset(among.split()))
        return change

    return register


async def nothing(*_args: object, **_options: object) -> None:
    await trio.lowlevel.checkpoint()


# -- the store --------------------------------------------------------------------------------------------------------


@mutation("freezes")
def finish_ignores_the_fence(patch: pytest.MonkeyPatch) -> None:
    """I3: an attempt whose job was taken from it still writes its outcome."""

    def finish(outcomes: Sequence[Outcome], stored: Any, now: int) -> list[events.Change | None]:
        made: list[events.Change | None] = []
        for outcome in outcomes:
            job = stored.get(outcome.job.id)
            running = job is not None and job.state is State.RUNNING
            made.append(events.Change(job, outcome.apply(job, now)) if running else None)
        return made

    patch.setattr(changes, "finish", finish)


@mutation()
def claim_ignores_run_at(patch: pytest.MonkeyPatch) -> None:
    """I4: whatever the index gives is due."""
    claim = changes.claim
    patch.setattr(changes, "claim", lambda found, *, now, **rest: claim(found, now=now + 10_000_000, **rest))


@mutation()
def claims_pass_no_gate(patch: pytest.MonkeyPatch) -> None:
    """I10: what is set on queues is only looked at by who pops."""
    claim = changes.claim
    patch.setattr(changes, "claim", lambda found, *, gates=(), **rest: claim(found, **rest))


@mutation()
def direct_starts_pass_no_gate(patch: pytest.MonkeyPatch) -> None:
    """I10: a node that does not know of a limit yet starts what comes in."""
    patch.setattr(changes, "past_gates", lambda start, new, controlled: start)
    patch.setattr(Gates, "plain", lambda gates, queues: frozenset(queues))


@mutation()
def rates_forget_what_was_started(patch: pytest.MonkeyPatch) -> None:
    """I10: each claim has the whole rate to itself."""
    patch.setattr(QueueControls, "keep_starts", lambda controls, passed: None)


@mutation()
def freed_places_are_not_told(patch: pytest.MonkeyPatch) -> None:
    """I9: nobody looks again where a queue was full."""
    patch.setattr(Gates, "ended", nothing)
    patch.setattr(Gates, "follow", nothing)


@mutation()
def claim_ignores_expiry(patch: pytest.MonkeyPatch) -> None:
    """What has expired is started all the same."""
    patch.setattr(Job, "expired_at", lambda _job, _now: False)


@mutation()
def nobody_ends_what_expires(patch: pytest.MonkeyPatch) -> None:
    """What waits and has expired waits on, until somebody would have started it."""
    patch.setattr(MemoryStore, "end_expired", lambda _store, _limit: _none_expired())


async def _none_expired() -> Expired:
    await trio.lowlevel.checkpoint()
    return Expired([], None)


# -- what a job goes through ------------------------------------------------------------------------------------------


@mutation("stops")
def hand_back_spends_an_attempt(patch: pytest.MonkeyPatch) -> None:
    """I3: a stop costs the jobs that it hands back."""
    released = jobs.released
    patch.setattr(
        jobs, "released", lambda job, *args: msgspec.structs.replace(released(job, *args), attempt=job.attempt)
    )


@mutation()
def a_lost_node_spends_an_attempt(patch: pytest.MonkeyPatch) -> None:
    """I3: crashes count as attempts."""
    crashed = jobs.crashed
    patch.setattr(jobs, "crashed", lambda job, now: msgspec.structs.replace(crashed(job, now), attempt=job.attempt))


@mutation()
def crashes_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    """A poison job eats the fleet."""
    crashed = jobs.crashed
    patch.setattr(jobs, "crashed", lambda job, now: crashed(msgspec.structs.replace(job, crashes=0), now))


@mutation()
def a_cancelled_job_runs_again(patch: pytest.MonkeyPatch) -> None:
    """A cancellation that was asked for is forgotten when the attempt is handed back, or its node lost."""
    apply, crashed = Outcome.apply, jobs.crashed
    forgetting: Any = lambda job: msgspec.structs.replace(job, cancel_requested=False)  # noqa: E731
    patch.setattr(Outcome, "apply", lambda outcome, job, now: apply(outcome, forgetting(job), now))
    patch.setattr(jobs, "crashed", lambda job, now: crashed(forgetting(job), now))


# -- intake and index -------------------------------------------------------------------------------------------------


@mutation("")
def announced_before_it_is_stored(patch: pytest.MonkeyPatch) -> None:
    """Truth first, then tell, the other way round."""

    async def store_and_tell(intake: Intake, new: Sequence[NewJob]) -> list[tuple[Job, bool]]:
        now = intake._store.now_us()
        await intake._announcer.announce([jobs.created(one, now).entry() for one in new], at=now)
        return await intake._store.insert(new)

    patch.setattr(Intake, "_store_and_tell", store_and_tell)


@mutation("calls")
def acknowledged_without_the_store(patch: pytest.MonkeyPatch) -> None:
    """I1: 201 although nothing was stored."""
    store_and_tell = Intake._store_and_tell

    async def always(intake: Intake, new: Sequence[NewJob]) -> list[tuple[Job, bool]]:
        try:
            return await store_and_tell(intake, new)
        except StoreUnavailable:
            return [(jobs.created(one, intake._store.now_us()), True) for one in new]

    patch.setattr(Intake, "_store_and_tell", always)


@mutation()
def no_look_for_what_is_missing(patch: pytest.MonkeyPatch) -> None:
    """I9: what the index has lost stays lost."""
    patch.setattr(Audit, "_check_presence", nothing)


@mutation()
def epoch_set_before_the_rebuild(patch: pytest.MonkeyPatch) -> None:
    """I9: an index counts as whole while it is being filled, and nobody looks any more."""

    async def rebuild(audit: Audit, found: str | None, epoch: str) -> None:
        await audit._index.set_epoch(epoch)

    patch.setattr(Audit, "_rebuild", rebuild)
    patch.setattr(Audit, "_check_presence", nothing)


@mutation()
def pop_drops_what_it_took(patch: pytest.MonkeyPatch) -> None:
    """I9, with nobody to look: a cancelled pop has taken something."""
    pop = HeapIndex.pop

    async def drop(index: HeapIndex, queues: Sequence[str], limit: int, **bounds: Any) -> list[Hint]:
        hints = await pop(index, queues, limit, **bounds)
        await trio.lowlevel.checkpoint()
        return hints

    patch.setattr(HeapIndex, "pop", drop)
    patch.setattr(Audit, "_check_presence", nothing)


@mutation("")
def retries_are_not_announced(patch: pytest.MonkeyPatch) -> None:
    """A retry waits for the audit instead of its time."""
    announce = Announcer.announce

    async def some(announcer: Announcer, entries: Any, *, at: int) -> None:
        stored = announcer._store._weather.store._jobs  # type: ignore[attr-defined]
        await announce(announcer, [one for one in entries if stored[one.id].attempt == 0], at=at)

    patch.setattr(Announcer, "announce", some)


@mutation("outages")
def no_index_no_submission(patch: pytest.MonkeyPatch) -> None:
    """An index that is away is a reason to refuse what is stored."""

    async def announce(announcer: Announcer, entries: Any, *, at: int) -> None:
        await announcer._index.push(entries, now=at)  # type: ignore[union-attr]

    patch.setattr(Announcer, "announce", announce)


# -- lease and worker -------------------------------------------------------------------------------------------------


@mutation("cuts")
def no_self_fence(patch: pytest.MonkeyPatch) -> None:
    """A node that cannot renew goes on with jobs that others have."""
    patch.setattr(lease, "SELF_FENCE", 1e6)


@mutation("cuts")
def a_lost_lease_stops_nothing(patch: pytest.MonkeyPatch) -> None:
    """A node that has lost its lease goes on with jobs that others have."""
    patch.setattr(Worker, "lose_lease", lambda _worker: None)


@mutation("steps")
def wall_clock_leases(patch: pytest.MonkeyPatch) -> None:
    """A step of the store's clock steals leases."""

    async def expire_silent_nodes(reaper: Reaper) -> None:
        for node in await reaper._store.nodes():
            if node.lease_until is not None and node.lease_until < reaper._store.now_us():
                await reaper._store.expire(node.id, lease_until=node.lease_until)

    patch.setattr(Reaper, "_expire_silent_nodes", expire_silent_nodes)


@mutation("calls")
def outcomes_are_told_once(patch: pytest.MonkeyPatch) -> None:
    """An outcome that could not be stored is dropped: the job runs on for ever, as far as the store knows."""

    async def finish(outcomes: Outcomes, some: Sequence[Outcome]) -> list[Job | None]:
        try:
            return await outcomes._store.finish(some)
        except StoreUnavailable:
            return [None] * len(some)

    patch.setattr(Outcomes, "_finish", finish)
    patch.setattr(Reconciler, "_hand_back_unknown", nothing)


@mutation("calls")
def lost_claims_are_kept(patch: pytest.MonkeyPatch) -> None:
    """I9: what was claimed without an answer runs on for ever, as far as the store knows."""
    patch.setattr(Reconciler, "_hand_back_unknown", nothing)


@mutation("kills")
def nobody_reaps(patch: pytest.MonkeyPatch) -> None:
    """I9: jobs of dead nodes stay theirs."""
    patch.setattr(MemoryStore, "reap", lambda _store, _limit: _empty())


async def _empty() -> list[Job]:
    await trio.lowlevel.checkpoint()
    return []


# -- the feed ---------------------------------------------------------------------------------------------------------


@mutation()
def live_before_the_replay_has_got_there(patch: pytest.MonkeyPatch) -> None:
    """I6, for who listens: what is between the replay's end and the tail is skipped."""

    async def replay(subscription: Subscription, reader: Reader) -> Any:
        found = []
        if reader.place.seq < await reader.head():
            found = await reader.read(subscription.selection)
        subscription._tail.join(subscription)
        subscription._reader = None
        from tickr.feed.delivery import Delivery

        return Delivery("events" if found else "caught_up", subscription._tail.cursor, tuple(found))

    patch.setattr(Subscription, "_replay", replay)


# -- schedules --------------------------------------------------------------------------------------------------------


@mutation()
def whoever_has_planned_a_tick_fires_it(patch: pytest.MonkeyPatch) -> None:
    """I8: nobody looks whether somebody else was first."""
    fire = Fire.apply

    def apply(wish: Fire, seen: Seen) -> Moved:
        if seen.schedule is not None and not seen.schedule.paused:
            found = msgspec.structs.replace(seen.schedule, version=wish.version, next_at=wish.due)
            seen = seen._replace(schedule=found)
        return fire(wish, seen)

    patch.setattr(Fire, "apply", apply)


@mutation()
def a_tick_that_could_not_be_fired_is_passed_over(patch: pytest.MonkeyPatch) -> None:
    """Each tick once: after an outage it goes on from now."""

    def plan(schedule: Schedule, now: int, new_id: Callable[[], str]) -> Fire:
        fire = missed.due(schedule, now, new_id)
        late = now - schedule.next_at > 500_000 if schedule.next_at is not None else False
        return msgspec.structs.replace(fire, fired=fire.fired[-1:]) if late else fire

    patch.setattr(ticking, "due", plan)
