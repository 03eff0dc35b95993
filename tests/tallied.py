"""What the feed says was done, counted by other means than ``tickr/tallies.py``: what tallies have to come to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from tickr.events import AnyEvent, Event
from tickr.tallies import COUNTED, Part, bucket

Count = tuple[Counter[str], Counter[int], Counter[int], int, int]
"""How often each event happened, how many waits and runs are in each bucket, and the sums of these."""


def replay(told: Iterable[AnyEvent], unit_us: int = 1) -> dict[tuple[int, str, str], Count]:
    """Count ``told``, a whole log in its order, by (unit of time, queue, type); one unit is 1 µs unless said."""
    names: defaultdict[tuple[int, str, str], Counter[str]] = defaultdict(Counter)
    waits: defaultdict[tuple[int, str, str], list[int]] = defaultdict(list)
    runs: defaultdict[tuple[int, str, str], list[int]] = defaultdict(list)
    began: dict[str, int] = {}
    born: dict[str, int] = {}
    for event in told:
        if not isinstance(event, Event) or event.what not in COUNTED:
            continue
        key = event.time // unit_us * unit_us, event.queue, event.type
        names[key][event.what] += 1
        if event.what == "created":
            born[event.job] = event.time
        elif event.what == "started":
            began[event.job] = event.time
            waits[key].append(max(event.time - max(event.run_at, born.get(event.job, 0)), 0))
        elif event.previous_state == "running":
            runs[key].append(max(event.time - began.pop(event.job), 0))
    return {
        key: (count, Counter(map(bucket, waits[key])), Counter(map(bucket, runs[key])), sum(waits[key]), sum(runs[key]))
        for key, count in names.items()
    }


def counted(parts: Iterable[tuple[int, Part]], unit_us: int = 1) -> dict[tuple[int, str, str], Count]:
    """Return the same of parts and their instants."""
    sums: dict[tuple[int, str, str], Part] = {}
    for at, part in parts:
        key = at // unit_us * unit_us, part.queue, part.type
        sums.setdefault(key, Part(part.queue, part.type)).merge(part)
    return {
        key: (
            Counter({what: part[what] for what in COUNTED if part[what]}),
            Counter(part.wait.buckets),
            Counter(part.run.buckets),
            part.wait.total_us,
            part.run.total_us,
        )
        for key, part in sums.items()
    }
