"""Whether the promises were kept: the checker of ``tests/faults``, and what only a simulation can know.

The checker gets a history as of a run in real time. Where the store's clock was stepped, instants are put on the true
one first, and what is due when is judged here alone, by the store's own clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tests.faults.checker import check
from tests.faults.history import Fault, History, StoredEvent, StoredJob, Submission, Tick
from tests.simulation import schedules
from tests.simulation.clients import Submitter, job_id
from tests.simulation.plan import LEASE_S, Plan
from tests.simulation.weather import SECOND_US
from tests.simulation.world import World
from tests.tallied import counted, replay
from tickr import events
from tickr.events import AnyEvent, Event, ThingEvent
from tickr.jobs import Job
from tickr.queues import NO_LIMITS
from tickr.scheduler.expire import NET_S
from tickr.store.sums import add_up, added
from tickr.tallies import Step

HARMLESS = frozenset({"stop", "flush", "lose", "snapshot", "roll_back", "stale", "hour_on", "hour_back"}) | {
    *("index_refused", "index_silent", "cut_from_index")
}
"""Faults that cost no node its lease and no job a crash."""
PROMPT_US = 50_000
"""Where nothing goes wrong and there are slots for all, a due job starts within so many microseconds."""
ATTEMPTS = {
    ("succeeded", "quick"): 1,
    ("succeeded", "slow"): 1,
    ("succeeded", "stubborn"): 1,
    ("succeeded", "talking"): 1,
    ("succeeded", "flaky"): 2,
    ("succeeded", "later"): 2,
    ("failed", "broken"): 2,
    ("failed", "late"): 2,
    ("failed", "hopeless"): 1,
}
"""The attempt that a job ends with, whatever else happened: lost nodes and hand-backs cost none."""


def judge(world: World) -> list[str]:
    """Return everything that is wrong with a run that has ended."""
    return [*world.wrong, *world.ledger.wrong, *_checked(world), *_own(world)]


def _checked(world: World) -> list[str]:
    verdict = check(history_of(world))
    limited = {job.id for job in world.weather.store._jobs.values() if job.queue in world.plan.limits}
    return [
        f"{one.invariant} {(one.job or '-')[-4:]}: {one.detail}"
        for one in verdict.violations
        if one.invariant != "I9" or one.job not in limited  # its bounds do not know how long a full queue makes wait
    ]


# -- what only a simulation knows -------------------------------------------------------------------------------------


def _own(world: World) -> Iterator[str]:
    everything = [event for row in _rows(world) for event in row]
    told = [event for event in everything if isinstance(event, Event)]
    yield from _due(told)
    yield from _limited(world, told)
    yield from _expired(world, told)
    yield from schedules.wrong(world.weather.store, told, stepped=world.stepped)
    yield from _counted(world, told)
    for job in world.weather.store._jobs.values():
        expected = ATTEMPTS.get((job.state, job.type), job.attempt)
        if job.crashes < 3 and job.attempt != expected:
            yield f"job {job.id[-4:]} ({job.type}) is {job.state} with attempt {job.attempt}, not {expected}"
    for listener in world.listeners:
        yield from _heard(listener.events, [event.id for event in everything])
    for process in world.last:
        if process.node_id in world.weather.store._nodes:
            yield f"{process} has stopped, and its row is still there"
    yield from _cancelled(world, told)
    if _is_harmless(world.plan):
        yield from _in_peace(world, told)
    if not world.plan.families:
        yield from _in_the_calm(told)
        yield from _ended_on_time(world, told)


def _counted(world: World, told: Sequence[Event]) -> Iterator[str]:
    """The statistics, with what the nodes did not get to, are what the feed says."""
    store = world.weather.store
    log = store._log.tallies(store._tallied.seq, store._log.state().head)
    sums = store._sums | added(add_up(log), store._sums)
    found = [(place.at, part) for place, part in sums.items() if place.step is Step.DAY]
    if counted(found, Step.DAY.length_us) != replay(told, Step.DAY.length_us):
        yield "the statistics are not what the feed says"


def _due(told: list[Event]) -> Iterator[str]:
    run_at: dict[str, int] = {}
    for event in told:
        if event.what == "started" and event.time < run_at[event.job]:
            yield f"I4 {event.job[-4:]}: claimed before its time, by the store's clock"
        run_at[event.job] = event.run_at


def _limited(world: World, told: list[Event]) -> Iterator[str]:
    """I10: at no instant did more of a queue or of a key run than may, nor start in a time; in no pause any.

    As the store has it: a job whose node was killed runs until it is taken back.
    """
    key_of = {job.id: job.limit_key for job in world.weather.store._jobs.values()}
    running: dict[str, Event] = {}
    starts: dict[str, list[int]] = {}
    for event in told:
        if event.what != "started":
            if not event.note:
                running.pop(event.job, None)
            continue
        running[event.job] = event
        limits = world.plan.limits.get(event.queue, NO_LIMITS)
        mine = [one for one in running.values() if one.queue == event.queue]
        alike = [one for one in mine if key_of[one.job] == key_of[event.job]]
        if limits.max_running is not None and len(mine) > limits.max_running:
            yield f"I10 {event.job[-4:]}: {len(mine)} of {event.queue} run, {limits.max_running} may"
        if limits.max_running_per_key is not None and key_of[event.job] and len(alike) > limits.max_running_per_key:
            yield f"I10 {event.job[-4:]}: {len(alike)} of the key {key_of[event.job]} run"
        if limits.rate is not None and "steps" not in world.plan.families:
            times = starts.setdefault(event.queue, [])
            times.append(event.time)
            if sum(one > event.time - limits.rate.period_us for one in times) > limits.rate.starts:
                yield f"I10 {event.job[-4:]}: too many starts of {event.queue} in its period"
    yield from _paused(world, told)


def _paused(world: World, told: list[Event]) -> Iterator[str]:
    if "steps" in world.plan.families:  # then its instants are on another clock
        return
    for event in told:
        if event.what == "started":
            mine = [(at, paused) for at, queue, paused in world.pauses if queue == event.queue]
            before = [paused for at, paused in mine if at < event.time or (at == event.time and not paused)]
            if before and before[-1]:
                yield f"I10 {event.job[-4:]}: started while {event.queue} was paused"


def _expired(world: World, told: list[Event]) -> Iterator[str]:
    """By the store's clock, nothing starts that has expired, and nothing is ended for that before its time."""
    lives = {job_id(one.number): one.lives_us for one in world.submitters if one.lives_us is not None}
    ends: dict[str, int] = {}
    for event in told:
        if event.what == "created" and event.job in lives:
            ends[event.job] = event.time + lives[event.job]
        at = ends.get(event.job)
        if at is not None and event.what == "started" and event.time >= at:
            yield f"job {event.job[-4:]} was started {event.time - at} us after it had expired"
        if at is not None and event.what == "redriven" and event.time >= at:
            del ends[event.job]
        if event.error is not None and event.error.kind == "expired" and (at is None or event.time < at):
            yield f"job {event.job[-4:]} was ended as expired, and had not"


def _ended_on_time(world: World, told: list[Event]) -> Iterator[str]:
    """Where nothing goes wrong, what expires while it waits is ended soon."""
    for event in told:
        if event.error is not None and event.error.kind == "expired" and event.previous_state != "running":
            at = world.weather.store._jobs[event.job].extras.expires_at
            if at is not None and event.time > at + int(NET_S * SECOND_US) + PROMPT_US:
                yield f"job {event.job[-4:]} was ended {event.time - at} us after it had expired"


def _cancelled(world: World, told: list[Event]) -> Iterator[str]:
    """A job whose cancellation was answered does not start again, unless somebody has it driven again."""
    versions = {job_id(one.number): one.cancelled_version for one in world.submitters if one.cancelled_version}
    for event in told:
        if event.what == "redriven":
            versions.pop(event.job, None)
        elif event.what == "started" and event.version > versions.get(event.job, event.version):
            yield f"job {event.job[-4:]} was started after it was cancelled"


def _heard(heard: list[str], told: list[str]) -> Iterator[str]:
    if heard != told:
        at = next((i for i, (one, other) in enumerate(zip(heard, told, strict=False)) if one != other), len(heard))
        yield f"a listener heard {len(heard)} events of {len(told)}; the first that differs is number {at}"


def _in_peace(world: World, told: list[Event]) -> Iterator[str]:
    for process in world.processes:
        if len(process.registered_at_us) > 1:
            yield f"{process} lost its lease {len(process.registered_at_us) - 1} times, and nothing was done to it"
    for event in told:
        if event.error is not None and event.error.kind in ("lease_lost", "crashed", "lost_claim"):
            yield f"job {event.job[-4:]}: {event.what} because of {event.error.kind}, and nothing was done to its node"
    if all(strike.what != "stop" for strike in world.plan.strikes):
        for submitter in world.submitters:
            if submitter.heard is None or submitter.heard.answer != "ok":
                yield f"job {submitter.number} was not taken, and nothing was done to the store or a node"


def _in_the_calm(told: list[Event]) -> Iterator[str]:
    due: dict[str, int] = {}
    for event in told:
        if event.what == "started" and event.time > due[event.job] + PROMPT_US:
            yield f"job {event.job[-4:]} waited {event.time - due[event.job]} us for nothing"
        due[event.job] = max(event.run_at, event.time)


def _is_harmless(plan: Plan) -> bool:
    """Whether nothing is done to the store, and nothing but a stop to a node."""
    calls = any(chance and name.startswith("store") for name, chance in plan.chances.items())
    return not calls and not plan.points and all(strike.what in HARMLESS for strike in plan.strikes)


# -- the history ------------------------------------------------------------------------------------------------------


def history_of(world: World) -> History:
    """Return the run as the checker takes it."""
    stepped, steps = world.stepped, world.weather.steps_us
    told: list[StoredEvent] = []
    for step_us, row in zip(steps, _without_repetitions(_rows(world)), strict=True):
        seq = told[-1].seq + 1 if told else 1
        told += [_event(seq, event, step_us, stepped=stepped) for event in row]
    created = {event.job: event.at for event in told if event.what == "created"}
    return History(
        submissions=[heard for one in world.submitters if (heard := _submission(one)) is not None],
        marks=world.ledger.marks,
        jobs=[_job(job, created[job.id]) for job in world.weather.store._jobs.values()],
        events=told,
        faults=_faults(world),
        lease_s=LEASE_S,
        workers=max(node.slots for node in world.plan.nodes),
        ended=world.ended_at_us,
    )


def _without_repetitions(rows: Iterable[Sequence[AnyEvent]]) -> Iterator[list[AnyEvent]]:
    """What an attempt says is told at least once, with the same id: whoever drops ids that it has seen has it once."""
    seen: set[str] = set()
    for row in rows:
        notes = {event.id for event in row if isinstance(event, Event) and event.note}
        yield [event for event in row if event.id not in notes & seen]
        seen |= notes


def _rows(world: World) -> Iterator[Sequence[AnyEvent]]:
    for row in world.weather.store._log._rows:
        yield events.decode(row.body)


def _submission(submitter: Submitter) -> Submission | None:
    heard = submitter.heard
    if heard is None or not submitter.cancelled:
        return heard
    return msgspec.structs.replace(heard, ends=(*heard.ends, "cancelled"))


def _job(job: Job, created_at: int) -> StoredJob:
    return StoredJob(
        id=job.id,
        number=msgspec.json.decode(job.payload)["number"],
        type=job.type,
        state=job.state,
        version=job.version,
        fence=job.fence,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        crashes=job.crashes,
        run_at=job.run_at,
        created_at=created_at,
        made_for=Tick(job.extras.schedule, job.extras.tick) if job.extras.schedule else None,
    )


def _event(seq: int, event: AnyEvent, step_us: int, *, stepped: bool) -> StoredEvent:
    if isinstance(event, ThingEvent):
        return StoredEvent(seq, event.name, event.what, None, None, "", 0, event.time - step_us)
    return StoredEvent(
        seq=seq,
        job=event.job,
        what=event.what,
        version=None if event.note else event.version,
        previous_state=event.previous_state,
        state=event.state,
        attempt=event.attempt,
        at=event.time - step_us,
        run_at=None if stepped else event.run_at,
        why=event.error.kind if event.error is not None else None,
        node=event.node,
        note=event.note,
    )


def _faults(world: World) -> list[Fault]:
    """Return what cost nodes their jobs. One that lost its lease, for whatever reason, counts as frozen."""
    faults = []
    for process in world.processes:
        if process.killed_at_us is not None:
            faults.append(Fault("kill", "node", process.killed_at_us, process.killed_at_us, process.number))
        for at in process.registered_at_us[1:]:
            faults.append(Fault("freeze", "node", at - int(LEASE_S * SECOND_US), at, process.number))
    return faults
