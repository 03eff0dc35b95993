"""Queues: what an operator sets on one, where it stands, and who may start in it. Pure: no trio, no I/O, no clock.

A queue that nobody has paused or limited is *plain*: nothing of this is looked at for its jobs. For the others the
store makes a ``Gate`` out of a ``Standing`` that it has read under the queue's lock, in the transaction of the claim:
what is running and what has been started is exact, whichever nodes claim and die meanwhile.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypeVar

import msgspec

from tickr import instants
from tickr.events import ThingEvent
from tickr.jobs import Job

MAX_LIMIT = 1_000_000
"""Largest number that a limit may be."""
MAX_PERIOD_S = 86_400.0
"""Longest period of a rate, in seconds."""
MAX_PAUSE_S = 31 * 86_400.0
"""Longest pause that ends by itself, in seconds."""
MAX_ORDER = 100
"""So many queues an ``Order`` may name."""
MAX_WEIGHT = 1_000
JobOrder = Literal["oldest", "newest"]
"""Which jobs of a queue start first among those of one priority: those due for longest, or those due last."""
Order = tuple[tuple[str, int | None], ...]
"""Which queues a node looks into before others: ranks (no weights), or weights for all that are named."""
BUCKETS = 60
"""The starts of a period are remembered in so many parts: so much of a period a start may count for too long."""


class Rate(msgspec.Struct, frozen=True):
    """At most ``starts`` starts in any ``period_us`` microseconds."""

    starts: int
    period_us: int

    @property
    def width_us(self) -> int:
        """How long one bucket of a ``Window`` for it is."""
        return max(1, -(-self.period_us // BUCKETS))


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What holds for a queue on all nodes together; None: no limit.

    Attributes:
      max_running: jobs of the queue that run at once.
      max_running_per_key: jobs with the same ``limit_key`` that run at once; jobs without a key do not count.
      rate: starts, the repeated ones too, in a time.
      shared_keys: with each key, the jobs of all queues that share theirs count together.
    """

    max_running: int | None = None
    max_running_per_key: int | None = None
    rate: Rate | None = None
    shared_keys: bool = False


NO_LIMITS = Limits()


class Controls(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has been set on a queue.

    Attributes:
      order: a preference, not a limit: who only has another order asks nobody before a job starts.
      paused_until: with ``paused``: the instant at which that is over by itself, microseconds UTC; None: it stays. What
        is over is not taken away at once: ``at`` has what holds.
    """

    paused: bool = False
    paused_until: int | None = None
    limits: Limits = NO_LIMITS
    order: JobOrder = "oldest"

    @property
    def plain(self) -> bool:
        return not self.gated and self.order == "oldest"

    @property
    def gated(self) -> bool:
        """Whether something of it can keep a job from starting."""
        return self.paused or self.limits != NO_LIMITS

    def at(self, now: int) -> Controls:
        """Return what of it holds at ``now``, microseconds UTC."""
        over = self.paused_until is not None and self.paused_until <= now
        return msgspec.structs.replace(self, paused=False, paused_until=None) if over else self

    def but(self, setting: Setting) -> Controls:
        """Return it with what is not None in ``setting`` set anew."""
        paused, until = self.paused, self.paused_until
        if setting.paused is not None:
            paused, until = setting.paused, setting.until if setting.paused else None
        limits = self.limits if setting.limits is None else setting.limits
        return Controls(
            paused=paused,
            paused_until=until,
            limits=NO_LIMITS if limits == NO_LIMITS else limits,  # itself, so that it is not written
            order=self.order if setting.order is None else setting.order,
        )

    def held(self, until: int) -> Controls:
        """Return it paused until then at least: a pause that is longer, or has no end, stays as it is."""
        if self.paused and (self.paused_until is None or self.paused_until >= until):
            return self
        return msgspec.structs.replace(self, paused=True, paused_until=until)


class Setting(NamedTuple):
    """What somebody sets on a queue; None leaves it as it is. ``until``: with ``paused``, see ``Controls``."""

    paused: bool | None = None
    until: int | None = None
    limits: Limits | None = None
    order: JobOrder | None = None


class _Rate(msgspec.Struct, frozen=True):
    starts: int
    period: float


class _Queue(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    paused: bool
    paused_until: str | None
    max_running: int | None
    max_running_per_key: int | None
    rate: _Rate | None
    shared_keys: bool = False
    order: JobOrder = "oldest"


class _Data(msgspec.Struct, frozen=True):
    queue: _Queue


def told(name: str, before: Controls, after: Controls, now: int, mark: str) -> tuple[ThingEvent, ...]:
    """Return the events of a change: paused or resumed, and changed where limits or order are others; none if none.

    That a pause has come to its end is no event: it was told with the pause, and no node has to be there for it.

    Args:
      before: what held at ``now``.
      mark: tells this change from others of the queue at the same instant.
    """
    was, is_now = (before.paused, before.paused_until), (after.paused, after.paused_until)
    whats = ["paused" if after.paused else "resumed"] if was != is_now else []
    whats += ["changed"] if (after.limits, after.order) != (before.limits, before.order) else []
    return tuple(_event(name, what, after, now, mark, at) for at, what in enumerate(whats, 1))


def deleted(name: str, before: Controls, now: int, mark: str) -> ThingEvent:
    """Return the event of a queue that is taken away, with what was set on it. ``mark``: as for ``told``."""
    return _event(name, "deleted", before, now, mark, 1)


def _event(name: str, what: str, controls: Controls, now: int, mark: str, at: int) -> ThingEvent:
    limits, rate = controls.limits, controls.limits.rate
    told = None if rate is None else _Rate(rate.starts, rate.period_us / 1_000_000)
    until = None if controls.paused_until is None else instants.rfc3339(controls.paused_until)
    most = limits.max_running, limits.max_running_per_key
    summary = _Queue(name, controls.paused, until, *most, told, limits.shared_keys, controls.order)
    data = msgspec.Raw(msgspec.json.encode(_Data(summary)))
    return ThingEvent(f"queue.{what}", now, name, f"{now}-{mark}.{at}" if mark else f"{now}.{at}", data)


class Hold(NamedTuple):
    """That a queue is to be held up for ``length_us`` microseconds from now; ``mark``: as for ``told``."""

    queue: str
    length_us: int
    mark: str


class Window(msgspec.Struct, frozen=True, array_like=True):
    """What has been started lately: ``(number of the bucket, starts in it)``, oldest first.

    A bucket counts until its end is a whole period ago, so that no period ever sees more than it should; a start may
    count for one bucket longer than it had to.
    """

    width_us: int = 1
    buckets: tuple[tuple[int, int], ...] = ()

    def at(self, rate: Rate, now: int) -> Window:
        """Return what of it counts for ``rate`` at ``now``, microseconds UTC.

        A clock that was set back finds starts that are still to come: they count as of now.
        """
        width, counts = rate.width_us, dict[int, int]()
        for number, count in self.buckets:
            bucket = min(((number + 1) * self.width_us - 1) // width, now // width)
            if (bucket + 1) * width + rate.period_us > now:
                counts[bucket] = counts.get(bucket, 0) + count
        return Window(width, tuple(sorted(counts.items())))

    @property
    def starts(self) -> int:
        return sum(count for _, count in self.buckets)

    def plus(self, count: int, now: int) -> Window:
        """Return it with ``count`` starts at ``now``; it is as ``at`` gives it."""
        counts = dict(self.buckets)
        counts[now // self.width_us] = counts.get(now // self.width_us, 0) + count
        return Window(self.width_us, tuple(sorted(counts.items())))

    def free_at(self, rate: Rate) -> int:
        """Return when the next start is free; it is as ``at`` gives it, and full."""
        left = self.starts - rate.starts
        for number, count in self.buckets:
            left -= count
            if left < 0:
                return (number + 1) * self.width_us + rate.period_us
        return 0


NO_STARTS = Window()


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a queue that is not plain stands.

    Attributes:
      running: how many of its jobs run, lost ones that nobody has taken back yet among them.
      keys: of these, how many there are of each ``limit_key``; with ``shared_keys`` in all queues that share them.
    """

    name: str
    controls: Controls
    running: int = 0
    keys: Mapping[str, int] = {}
    window: Window = NO_STARTS


class Held(NamedTuple):
    """What keeps a job from starting: what it is, and until when at least, if that is known (microseconds UTC)."""

    by: Literal["paused", "max_running", "max_running_per_key", "rate"]
    until: int | None = None


class Gate:
    """Who may start in a queue from now on: asked for one job after the other, and counts those that it lets in.

    Args:
      shared: the counts of the keys that several gates share; None: it counts for itself.
    """

    def __init__(self, standing: Standing, now: int, shared: dict[str, int] | None = None) -> None:
        self.name = standing.name
        self.limits = standing.controls.limits
        self.newest_first = standing.controls.order == "newest"
        self.admitted = 0
        self._paused = standing.controls.at(now).paused
        self._paused_until = standing.controls.paused_until
        self._running = standing.running
        self._keys = dict(standing.keys) if shared is None else shared  # which others count in as well
        self._now = now
        rate = self.limits.rate
        self._window = standing.window.at(rate, now) if rate else NO_STARTS
        self._starts_left = rate.starts - self._window.starts if rate else 0

    def held(self, limit_key: str | None = None) -> Held | None:
        """Return what keeps a job with that key from starting, or None."""
        limits, rate = self.limits, self.limits.rate
        if self._paused:
            return Held("paused", self._paused_until)
        if limits.max_running is not None and self._running >= limits.max_running:
            return Held("max_running")
        if rate is not None and self._starts_left <= self.admitted:
            return Held("rate", self.window.free_at(rate))
        if self.is_full(limit_key):
            return Held("max_running_per_key")
        return None

    def is_full(self, limit_key: str | None) -> bool:
        """Whether as many jobs with that key run as may."""
        most = self.limits.max_running_per_key
        return most is not None and limit_key is not None and self._keys.get(limit_key, 0) >= most

    @property
    def full_keys(self) -> list[str]:
        return [key for key in self._keys if self.is_full(key)]

    @property
    def room(self) -> int:
        """How many jobs may start, whatever their keys; ``MAX_LIMIT`` for any number."""
        rooms = [MAX_LIMIT]
        if self.limits.max_running is not None:
            rooms.append(self.limits.max_running - self._running)
        if self.limits.rate is not None:
            rooms.append(self._starts_left - self.admitted)
        return 0 if self._paused else max(0, min(rooms))

    def free(self, limit_key: str | None) -> None:
        """Count a job that has ended out."""
        self._running -= 1
        if limit_key in self._keys:
            self._keys[limit_key] -= 1

    def admit(self, job: Job) -> bool:
        """Let ``job`` in if it may start, and count it."""
        if self.held(job.limit_key) is not None:
            return False
        self.admitted += 1
        self._running += 1
        if job.limit_key is not None:
            self._keys[job.limit_key] = self._keys.get(job.limit_key, 0) + 1
        return True

    @property
    def window(self) -> Window:
        """What to keep of the starts, those just admitted among them."""
        return self._window.plus(self.admitted, self._now) if self.admitted else self._window


class Due(Protocol):
    """A job, or an entry of one, that waits to be started."""

    @property
    def id(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def run_at(self) -> int: ...


AnyDue = TypeVar("AnyDue", bound=Due)


def urgency(one: Due) -> tuple[int, int, str]:
    """Return what jobs are ordered by, those of a queue that goes newest first apart."""
    return one.priority, one.run_at, one.id


def freshness(one: Due) -> tuple[int, int, str]:
    """Return what jobs of a queue that goes newest first are ordered by."""
    return one.priority, -one.run_at, one.id


def in_order(due: Iterable[AnyDue], newest: Collection[str]) -> Iterator[AnyDue]:
    """Yield ``due``, each queue in its own order; of the first of all queues the most urgent one goes next.

    Args:
      newest: the queues that go newest first.
    """
    lines: defaultdict[str, list[AnyDue]] = defaultdict(list)
    for one in due:
        lines[one.queue if one.queue in newest else ""].append(one)
    return heapq.merge(*(sorted(line, key=freshness if name else urgency) for name, line in lines.items()), key=urgency)


def shares_keys(standing: Standing) -> bool:
    return standing.controls.limits.shared_keys


def counted_together(standings: Sequence[Standing]) -> list[Standing]:
    """Return ``standings``, of which each has counted for itself, with the keys that are shared counted together."""
    keys: Counter[str] = Counter()
    for standing in standings:
        if shares_keys(standing):
            keys.update(standing.keys)
    return [msgspec.structs.replace(one, keys=keys) if shares_keys(one) else one for one in standings]


def gates(standings: Sequence[Standing], now: int) -> dict[str, Gate]:
    """Return the gates of ``standings`` at ``now``, by the name of their queue: of those that have one."""
    shared = next((dict(standing.keys) for standing in standings if shares_keys(standing)), {})
    gated = (one for one in standings if one.controls.gated)
    return {one.name: Gate(one, now, shared if shares_keys(one) else None) for one in gated}
