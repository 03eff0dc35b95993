"""Whether the promises were kept: the checker of ``tests/faults``, and what only a simulation can know.

The checker gets a history as of a run in real time. Where the store's clock was stepped, instants are put on the true
one first, and what is due when is judged here alone, by the store's own clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from tests.faults.checker import check
from tests.faults.history import Fault, History, StoredEvent, StoredJob, Submission
from tests.simulation.clients import Submitter, job_id
from tests.simulation.plan import LEASE_S, Plan
from tests.simulation.weather import SECOND_US
from tests.simulation.world import World
from tickr import events
from tickr.events import Event
from tickr.jobs import Job

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
    return [f"{one.invariant} {(one.job or '-')[-4:]}: {one.detail}" for one in verdict.violations]


# -- what only a simulation knows -------------------------------------------------------------------------------------


def _own(world: World) -> Iterator[str]:
    told = [event for row in _rows(world) for event in row]
    yield from _due(told)
    for job in world.weather.store._jobs.values():
        expected = ATTEMPTS.get((job.state, job.type), job.attempt)
        if job.crashes < 3 and job.attempt != expected:
            yield f"job {job.id[-4:]} ({job.type}) is {job.state} with attempt {job.attempt}, not {expected}"
    for listener in world.listeners:
        yield from _heard(listener.events, [event.id for event in told])
    for process in world.last:
        if process.node_id in world.weather.store._nodes:
            yield f"{process} has stopped, and its row is still there"
    yield from _cancelled(world, told)
    if _is_harmless(world.plan):
        yield from _in_peace(world, told)
    if not world.plan.families:
        yield from _in_the_calm(told)


def _due(told: list[Event]) -> Iterator[str]:
    run_at: dict[str, int] = {}
    for event in told:
        if event.what == "started" and event.time < run_at[event.job]:
            yield f"I4 {event.job[-4:]}: claimed before its time, by the store's clock"
        run_at[event.job] = event.run_at


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
    stepped, steps = "steps" in world.plan.families, world.weather.steps_us
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


def _without_repetitions(rows: Iterable[list[Event]]) -> Iterator[list[Event]]:
    """What an attempt says is told at least once, with the same id: whoever drops ids that it has seen has it once."""
    seen: set[str] = set()
    for row in rows:
        yield [event for event in row if not (event.note and event.id in seen)]
        seen.update(event.id for event in row if event.note)


def _rows(world: World) -> Iterator[list[Event]]:
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
    )


def _event(seq: int, event: Event, step_us: int, *, stepped: bool) -> StoredEvent:
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
