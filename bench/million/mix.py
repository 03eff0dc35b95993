"""The jobs of the million: of all states, types and queues, as six days of use leave them. Pure, and always the same.

Old jobs have mostly ended; of the newest most wait. What has ended has its attempts, some of it a log, a progress, a
schedule that made it, children; of what waits, some depends on others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from tickr.events import Change, Event
from tickr.job_log import LogPart
from tickr.jobs import Attempt, Extras, Failure, Job, Progress, State
from tickr.links import Dependencies, Kind, Link, Nursery

CHUNK = 2_000
"""Jobs that are made, and written, together."""
SPAN_US = 6 * 86_400 * 1_000_000
"""How long ago the first was made."""
TOLD_US = 20 * 3_600 * 1_000_000
"""For how long there are events."""
NEW_SHARE = 0.45
"""So many of the jobs are of the newest kind, a backlog."""
DELAYED_SHARE = 0.19
"""At least so many wait and are not due."""
MINUTE_US, DAY_US = 60_000_000, 86_400_000_000

WORK = {
    "mail.welcome": "mail", "mail.digest": "mail", "invoice.charge": "billing", "invoice.refund": "billing",
    "report.export": "reports", "search.index": "search", "image.resize": "media", "video.cut": "media",
    "cache.warm": "cache", "webhook.send": "webhooks", "customer.sync": "sync", "ledger.close": "ledger",
}  # fmt: skip
"""By type, the queue. No node of the bench has handlers for them, and all these queues are paused."""
QUEUES = sorted(set(WORK.values()))
_OLD = {State.SUCCEEDED: 600, State.FAILED: 121, State.SCHEDULED: 254, State.CANCELLED: 15, State.RETRYING: 10}
_NEW = {State.READY: 667, State.SCHEDULED: 133, State.SUCCEEDED: 156, State.FAILED: 30, State.BLOCKED: 5}
_NEW |= {State.RETRYING: 6, State.CANCELLED: 3}
ERRORS = {"exception": 70, "timeout": 15, "give_up": 10, "bad_payload": 5}
REGIONS = ("eu", "us", "asia")
NODE = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"
WORDS = "the order was sent to the customer who had asked for it in the shop of the town by the river " * 40
TRACEBACK = 'Traceback (most recent call last):\n  File "handlers.py", line {line}, in handle\n' + (
    '    File "library/module.py", line 210, in call\n      return self.connection.request(body, headers)\n' * 14
)


@dataclass
class Chunk:
    """Some jobs, in order of their creation, and what belongs to them."""

    jobs: list[Job] = field(default_factory=list)
    attempts: list[tuple[str, Attempt]] = field(default_factory=list)
    logs: list[tuple[str, LogPart]] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    children: list[tuple[str, list[str]]] = field(default_factory=list)
    events: list[list[Event]] = field(default_factory=list)


def chunks(count: int, now: int) -> Iterator[Chunk]:
    """Yield ``count`` jobs, the last of them made at ``now`` (microseconds UTC)."""
    chance = random.Random(8)
    step_us = SPAN_US // count
    for first in range(0, count, CHUNK):
        made = Chunk()
        for number in range(first, min(first + CHUNK, count)):
            shares = _NEW if number >= count * (1 - NEW_SHARE) else _OLD
            made.jobs.append(_job(number, now - (count - number) * step_us, now, shares, chance))
        _relate(made, first)
        for job in made.jobs:
            made.attempts += [(job.id, one) for one in _attempts(job)]
            made.logs += [(job.id, _log(job, 20)) for _ in range(job.attempt > 0 and chance.random() < 0.02)]
        told = [job for job in made.jobs if job.created_at > now - TOLD_US]
        made.events = [list(_events(told[at : at + 50])) for at in range(0, len(told), 50)]
        yield made


def _job(number: int, at: int, now: int, shares: dict[State, int], chance: random.Random) -> Job:
    (state,) = chance.choices([*shares], [*shares.values()])
    (type_,) = chance.choices([*WORK], range(len(WORK), 0, -1))
    plain = Job(
        id=_id(number, at),
        type=type_,
        queue=WORK[type_],
        priority=chance.choice((5, 5, 5, 3, 7)),
        state=State.READY if state is State.SCHEDULED else state,
        created_at=at,
        run_at=at,
        payload=_payload(number, chance),
        labels=_labels(number, chance),
        extras=Extras(schedule=f"schedule-{number % 100}", tick=at) if chance.random() < 0.05 else Extras(),
    )
    return msgspec.structs.replace(plain, **_state(plain, state, now, chance))


def _state(job: Job, state: State, now: int, chance: random.Random) -> dict[str, object]:
    if state is State.SCHEDULED:
        return {"run_at": now + 3_600_000_000 + chance.randrange(30 * DAY_US)}
    if state in (State.READY, State.BLOCKED):
        return {}
    began = job.run_at + chance.randrange(MINUTE_US)
    ran = {"attempt": 1, "fence": 1, "version": 3, "node": NODE, "started_at": began}
    if state is State.SUCCEEDED:
        done = Progress(1.0, "done") if chance.random() < 0.1 else None
        return {**ran, "finished_at": began + chance.randrange(MINUTE_US), "result": '{"ok":true}', "progress": done}
    if state is State.CANCELLED:
        return {"version": 2, "finished_at": began, "error": Failure("cancelled", "Cancelled on request.")}
    (kind,) = chance.choices([*ERRORS], [*ERRORS.values()])
    error = Failure(kind, f"order {job.created_at % 9973} was refused", TRACEBACK.format(line=chance.randrange(400)))
    if state is State.RETRYING:
        return {**ran, "error": error, "run_at": now + DAY_US + chance.randrange(DAY_US)}
    tried = {"attempt": 3, "fence": 3, "version": 7}
    return {**ran, **tried, "error": error, "finished_at": began + chance.randrange(MINUTE_US)}


def _payload(number: int, chance: random.Random) -> str:
    """Return JSON of 200 to 2,000 bytes, most of it short."""
    size = int(200 + 1_800 * chance.random() ** 2)
    said = {"order": {"id": number, "cents": chance.randrange(99, 99_999)}, "to": f"user{number % 50_000}@example.com"}
    start = chance.randrange(len(WORDS) - size)
    return msgspec.json.encode({**said, "text": WORDS[start : start + max(1, size - 100)]}).decode()


def _labels(number: int, chance: random.Random) -> str | None:
    if chance.random() > 1 / 3:
        return None
    labels = {"customer": str(number % 5_000), "region": chance.choice(REGIONS)}
    return msgspec.json.encode(labels).decode()


def _relate(made: Chunk, first: int) -> None:
    """Give some jobs children, in the first chunk one as many as it may have; and let blocked jobs wait for one."""
    done = [at for at, job in enumerate(made.jobs) if job.state is State.SUCCEEDED]
    if len(done) > 20:
        parent, *born = done[: 1_001 if first == 0 else 21]
        family = made.jobs[parent]
        made.jobs[parent] = msgspec.structs.replace(
            family, extras=msgspec.structs.replace(family.extras, nursery=Nursery())
        )
        for at in born:
            extras = msgspec.structs.replace(made.jobs[at].extras, parent=family.id, generation=1)
            made.jobs[at] = msgspec.structs.replace(made.jobs[at], extras=extras)
        made.children.append((family.id, [made.jobs[at].id for at in born]))
    waited_for = next((job for job in made.jobs if job.state is State.READY), None)
    for at, job in enumerate(made.jobs):
        if job.state is State.BLOCKED and waited_for is not None:
            made.jobs[at] = msgspec.structs.replace(job, extras=Extras(depends_on=Dependencies((waited_for.id,))))
            made.links.append(Link(waited_for.id, job.id, Kind.DEPENDENCY))


def _attempts(job: Job) -> Iterator[Attempt]:
    """Yield those that are rows of their own: all that did not succeed."""
    if job.error is None or not job.attempt:
        return
    for number in range(1, job.attempt + 1):
        outcome = "failed" if number == job.attempt and job.state is State.FAILED else "retrying"
        times = {"started_at": job.started_at, "finished_at": (job.started_at or 0) + 50_000}
        yield Attempt(fence=number, number=number, node=NODE, outcome=outcome, error=job.error, **times)


def _log(job: Job, lines: int) -> LogPart:
    messages = [f"line {number} of the attempt, with a few words on what it does" for number in range(lines)]
    marks = [[(job.started_at or 0) + number * 1_000, 0] for number in range(lines)]
    texts = msgspec.json.encode(marks).decode(), msgspec.json.encode(messages).decode()
    size = sum(map(len, messages))
    return LogPart(
        fence=job.fence, attempt=job.attempt, last=lines, count=lines, size=size, marks=texts[0], messages=texts[1]
    )


def _events(jobs: list[Job]) -> Iterator[Event]:
    for job in jobs:
        first = msgspec.structs.replace(job, state=State.READY, version=1, attempt=0, error=None, result=None)
        yield Change(None, first).event(job.created_at)
        if job.finished_at is not None:
            running = msgspec.structs.replace(first, state=State.RUNNING, version=job.version - 1)
            yield Change(running, job).event(job.finished_at)


def _id(number: int, at: int) -> str:
    """Return a time-ordered UUID."""
    raw = (at // 1000 << 80 | 7 << 76 | at % 1000 << 64 | 8 << 60 | number).to_bytes(16, "big").hex()
    return f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"
