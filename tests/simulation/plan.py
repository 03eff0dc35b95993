"""What a seed means: which nodes there are, which jobs are submitted, and what is done to all of them, when.

Drawn before the run begins, so that it can be printed, and so that a change in how the product behaves changes nothing
here. Each family of faults is in about a third of the plans (swarm testing: Groce et al., ISSTA 2012), so that most
runs show what one fault does in peace, and some what they do together. Pure.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from tests.simulation import schedules
from tests.simulation.schedules import SchedulePlan
from tickr.failpoints import POINTS
from tickr.queues import JobOrder, Limits, Rate

LEASE_S = 3.0
"""Of every node, in seconds: a fifth of the default, as are the time-outs of ``faults.py``."""
TROUBLE_S = 4.0
"""How long jobs are submitted and faults strike, in virtual seconds. After that everything heals."""
LENGTHS_S = ((0.2, 1.0), (1.0, LEASE_S), (LEASE_S + 0.5, 2 * LEASE_S))
"""How long what lasts may last, in seconds: not worth a word, or felt, or past every lease."""
BUSIEST = -1
"""In place of a node's: the one where most attempts are at work at that moment."""
HOUR_S = 3600.0
TYPES = ("quick", "slow", "flaky", "broken", "later", "hopeless", "late", "stubborn", "talking", "poison")
WEIGHTS = (20, 20, 8, 4, 4, 3, 3, 3, 4)
"""How often each of ``TYPES`` is submitted; poison where the plan says so."""
SOON = {"kind": "constant", "base": 0.3, "jitter": 0.5}
OPTIONS: dict[str, dict[str, Any]] = {
    "flaky": {"max_attempts": 3, "backoff": SOON},
    "broken": {"max_attempts": 2, "backoff": SOON},
    "later": {"max_attempts": 2},
    "hopeless": {"max_attempts": 5},
    "late": {"max_attempts": 2, "timeout": 0.5, "backoff": SOON},
}
"""Said with each submission, as the node that takes it may have no handler to ask."""
LIMITS = (
    Limits(),
    Limits(max_running=1),
    Limits(max_running=2, max_running_per_key=1),
    Limits(max_running_per_key=1),
    Limits(rate=Rate(2, 1_000_000)),
    Limits(max_running=3, rate=Rate(4, 2_000_000)),
)
KEYS = (None, "a", "a", "b")
QUEUES = ("default", "default", "default", "mail", "night")
FAMILIES = ("kills", "stops", "freezes", "calls", "cuts", "outages", "index", "bell", "steps", "points")
REACHED = tuple(name for name in POINTS if not name.startswith(("api.", "store.")))
"""The failpoints of what runs here: no HTTP, no SQL."""


class NodePlan(NamedTuple):
    """One place for a node; whenever it is empty, a node is started there. ``lacks``: a type it has no handler for."""

    roles: tuple[str, ...]
    slots: int
    grace_s: float
    lacks: str | None


class JobPlan(NamedTuple):
    """One submission. ``cancel_s``, ``redrive_s``: so long after it was answered, or None.

    ``patience_s``: how long an answer is waited for; ``tries``: how often it is asked for.
    """

    number: int
    at: float
    type: str
    payload: dict[str, Any]
    options: dict[str, Any]
    patience_s: float
    tries: int
    cancel_s: float | None
    redrive_s: float | None


class Strike(NamedTuple):
    """One fault. ``who``: the place of the node, where it concerns one; ``lasts``: seconds, where it does."""

    at: float
    what: str
    who: int = 0
    lasts: float = 0.0


class PointPlan(NamedTuple):
    """A failpoint that does something to the node that reaches it, the first time after ``passes`` times."""

    name: str
    passes: int
    what: str
    lasts: float


class Pause(NamedTuple):
    """A queue is paused at an instant, for so many seconds."""

    at: float
    queue: str
    lasts: float


class Ordering(NamedTuple):
    """A queue is given an order at an instant."""

    at: float
    queue: str
    order: JobOrder


class Plan(NamedTuple):
    """``chances``: of each fault of single calls (``faults.py``), 0 to 1. ``families``: which of them are in it.

    ``limits``: what is set on queues from the beginning.
    """

    seed: int
    families: tuple[str, ...]
    nodes: tuple[NodePlan, ...]
    jobs: tuple[JobPlan, ...]
    strikes: tuple[Strike, ...]
    points: tuple[PointPlan, ...]
    chances: dict[str, float]
    listeners: int
    restart_s: float
    limits: dict[str, Limits]
    pauses: tuple[Pause, ...]
    schedules: tuple[SchedulePlan, ...]
    orders: tuple[Ordering, ...]

    @property
    def heals_at(self) -> float:
        ends = [one.at + one.lasts for one in (*self.strikes, *self.pauses)]
        return max([TROUBLE_S, *ends])


def draw(seed: int) -> Plan:
    """Return the plan of ``seed``."""
    dice = random.Random(seed)
    calm = dice.random() < 0.06
    families = tuple(name for name in FAMILIES if dice.random() < 0.3 and not calm)
    count = dice.choice((1, 2, 2, 2, 3, 3))
    nodes = tuple(_node(dice, first=i == 0, calm=not families) for i in range(count))
    late = random.Random(f"{seed} expires")  # apart, so that all else of a seed is as it would be without
    poison = "kills" in families and dice.random() < 0.15
    jobs = [_job(dice, number) for number in range(1, dice.randint(5, 12))]
    if poison:
        jobs[0] = jobs[0]._replace(type="poison", payload={"number": 1}, at=0.5, cancel_s=None, redrive_s=None)
    jobs = [_expiring(late, job) if late.random() < 0.15 and job.type != "poison" else job for job in jobs]
    strikes = [strike for name in families for strike in _strikes(dice, name, count)]
    plan = Plan(
        seed=seed,
        families=families,
        nodes=nodes,
        jobs=tuple(sorted(jobs, key=lambda job: job.at)),
        strikes=tuple(sorted(strikes)),
        points=_points(dice) if "points" in families else (),
        chances=_chances(dice, families),
        listeners=dice.choice((0, 0, 1, 1, 2)),
        restart_s=dice.choice((0.0, 0.3, 2.0)),
        limits={},
        pauses=(),
        schedules=schedules.draw(dice, families),
        orders=_orders(random.Random(f"{seed} orders")),
    )
    return _with_limits(plan, random.Random(~seed)) if families else plan


def _with_limits(plan: Plan, dice: random.Random) -> Plan:
    """Return ``plan``, of three in ten with limits and pauses; drawn apart, so that the rest is as it was."""
    if dice.random() >= 0.3:
        return plan
    limits = {queue: dice.choice(LIMITS) for queue in sorted(set(QUEUES))}
    jobs = [job._replace(options=job.options | _key(dice)) for job in plan.jobs]
    pauses = [
        Pause(round(dice.uniform(0.1, TROUBLE_S), 3), dice.choice(QUEUES), round(dice.uniform(0.1, 2.0), 3))
        for _ in range(dice.randint(0, 2))
    ]
    return plan._replace(limits=limits, jobs=tuple(jobs), pauses=tuple(sorted(pauses)))


def _orders(dice: random.Random) -> tuple[Ordering, ...]:
    """Return up to three changes of orders, in three plans of ten; drawn apart, too."""
    count = dice.randint(1, 3) if dice.random() < 0.3 else 0
    drawn = [
        Ordering(round(dice.uniform(0.0, TROUBLE_S), 3), dice.choice(QUEUES), dice.choice(("newest", "oldest")))
        for _ in range(count)
    ]
    return tuple(sorted(drawn))


def _key(dice: random.Random) -> dict[str, Any]:
    key = dice.choice(KEYS)
    return {} if key is None else {"limit_key": key}


def _node(dice: random.Random, *, first: bool, calm: bool) -> NodePlan:
    """The first has everything, so that whatever happens to the others all jobs can be run.

    In the calm there are slots for all: nothing may have to wait.
    """
    roles = ("scheduler", "worker")
    if not first:
        roles = dice.choice((("scheduler", "worker"), ("scheduler", "worker"), ("worker",), ("scheduler",)))
    lacks = dice.choice(TYPES) if not first and dice.random() < 0.2 else None
    return NodePlan(roles, 16 if calm else dice.choice((1, 2, 4)), dice.choice((0.0, 1.0, 5.0)), lacks)


def _job(dice: random.Random, number: int) -> JobPlan:
    (kind,) = dice.choices(TYPES[:-1], WEIGHTS)
    options: dict[str, Any] = {
        **OPTIONS.get(kind, {}),
        "queue": dice.choice(QUEUES),
        "priority": dice.choice((0, 5, 5, 9)),
    }
    payload: dict[str, Any] = {"number": number}
    if kind == "slow":
        payload["seconds"] = round(dice.uniform(0.3, 2 * LEASE_S), 3)
    if dice.random() < 0.3:
        options["delay"] = round(dice.uniform(0.05, 3.0), 3)
    return JobPlan(
        number=number,
        at=round(dice.uniform(0.0, TROUBLE_S * 0.8), 3),
        type=kind,
        payload=payload,
        options=options,
        patience_s=dice.choice((2.0, 10.0)),
        tries=dice.choice((1, 5, 20)),
        cancel_s=round(dice.uniform(0.0, 2.0), 3) if dice.random() < 0.12 else None,
        redrive_s=round(dice.uniform(0.5, 4.0), 3) if dice.random() < 0.1 else None,
    )


def _expiring(dice: random.Random, job: JobPlan) -> JobPlan:
    """The same job, not to be started from soon after its first chance on.

    If it fails, it may have to wait for its next one until long after everything must be done.
    """
    lives_s = round(job.options.get("delay", 0.0) + dice.uniform(0.02, 3.0), 3)
    options = {**job.options, "expires_in": lives_s}
    if "backoff" in options and job.redrive_s is None and dice.random() < 0.5:
        options["backoff"] = {"kind": "constant", "base": HOUR_S}
    return job._replace(options=options)


def _strikes(dice: random.Random, family: str, count: int) -> list[Strike]:
    def strike(*kinds: str, lasts: bool = False) -> Strike:
        at = dice.uniform(0.1, TROUBLE_S)
        seconds = dice.uniform(*dice.choice(LENGTHS_S)) if lasts else 0.0
        who = BUSIEST if dice.random() < 0.6 else dice.randrange(count)
        return Strike(round(at, 3), dice.choice(kinds), who, round(seconds, 3))

    match family:
        case "kills":
            return [strike("kill") for _ in range(dice.randint(1, 3))]
        case "stops":
            return [strike("stop") for _ in range(dice.randint(1, 4))]
        case "freezes":
            return [strike("freeze", lasts=True) for _ in range(dice.randint(1, 2))]
        case "cuts":
            kinds = ("cut_refused", "cut_silent", "cut_from_index")
            return [strike(*kinds, lasts=True) for _ in range(dice.randint(1, 2))]
        case "outages":
            kinds = ("store_refused", "store_silent", "index_refused", "index_silent")
            return [strike(*kinds, lasts=True) for _ in range(dice.randint(1, 2))]
        case "index":
            return [strike("flush", "lose", "snapshot", "roll_back", "stale") for _ in range(dice.randint(1, 4))]
        case "steps":
            return [strike("hour_on", "hour_back") for _ in range(dice.randint(1, 2))]
        case _:
            return []


def _points(dice: random.Random) -> tuple[PointPlan, ...]:
    return tuple(
        PointPlan(name, dice.choice((0, 0, 1, 3)), dice.choice(("kill", "kill", "nap", "freeze")), dice.uniform(0.1, 5))
        for name in dice.sample(REACHED, dice.randint(1, 3))
    )


def _chances(dice: random.Random, families: tuple[str, ...]) -> dict[str, float]:
    chances = {}
    if "calls" in families:
        for name in ("store_before", "store_after", "store_ghost", "store_slow", "index_before", "index_after"):
            chances[name] = dice.choice((0.0, 0.02, 0.1))
    if "bell" in families:
        for name in ("ring_lost", "ring_doubled", "ring_late"):
            chances[name] = dice.choice((0.0, 0.2, 0.7))
    return chances
