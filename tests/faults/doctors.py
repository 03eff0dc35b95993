"""Ways to break a history: a good one comes in, one in which a single thing is not as it should be comes out.

For the tests of the checker. Jobs are named by their place in ``good``.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from tests.faults.history import Fault, History, StoredEvent, Tick
from tests.faults.invented import MS, Plan, S, history

PLAIN, FLAKY, KILLED, DELAYED, CANCELLED, TWICE, QUARANTINED, POISON, UNKNOWN, REFUSED, STOPPED, DEAD = range(12)


def good() -> History:
    plans = {
        PLAIN: Plan(),
        FLAKY: Plan(("error", "success")),
        KILLED: Plan(("kill", "success"), noisy=True),
        DELAYED: Plan(delay_s=3),
        CANCELLED: Plan(("cancel",), delay_s=5),
        TWICE: Plan(("success", "redrive", "success")),
        QUARANTINED: Plan(("kill", "freeze", "kill")),
        POISON: Plan(("kill", "kill", "kill"), poison=True),
        UNKNOWN: Plan(answer="unknown"),
        REFUSED: Plan(answer="refused"),
        STOPPED: Plan(("hand back", "success")),
        DEAD: Plan(("error", "error", "error")),
    }
    return history([plans[number] for number in range(12)])


def id_of(index: int) -> str:
    return str(uuid.UUID(int=index + 1))


STRANGER = str(uuid.UUID(int=999))

# -- ways to change a history ---------------------------------------------------------------------------------------

Doctor = Callable[[History], History]


def job(index: int, **changes: Any) -> Doctor:
    """Change the stored row of a job."""
    id_ = id_of(index)
    return lambda h: replace(h, jobs=[replace(one, **changes) if one.id == id_ else one for one in h.jobs])


def no_job(index: int) -> Doctor:
    return lambda h: replace(h, jobs=[one for one in h.jobs if one.id != id_of(index)])


def asked(index: int, **changes: Any) -> Doctor:
    """Change the submission of a job."""
    id_ = id_of(index)
    return lambda h: replace(h, submissions=[replace(o, **changes) if o.id == id_ else o for o in h.submissions])


def nobody_asked(index: int) -> Doctor:
    return lambda h: replace(h, submissions=[one for one in h.submissions if one.id != id_of(index)])


def made_by_a_schedule(index: int, tick: int | None) -> Doctor:
    """Have a job be made by a schedule, for that tick or at somebody's wish, rather than submitted."""
    return both(nobody_asked(index), job(index, made_for=Tick("s", tick)))


def mark(index: int, place: int, **changes: Any) -> Doctor:
    """Change one mark of a job; ``at`` is added to."""

    def doctor(h: History) -> History:
        ours = [one for one in h.marks if one.job == id_of(index)]
        was = ours[place]
        now = replace(was, **changes | ({"at": was.at + changes["at"]} if "at" in changes else {}))
        return replace(h, marks=[now if one is was else one for one in h.marks])

    return doctor


def no_mark(index: int, place: int) -> Doctor:
    def doctor(h: History) -> History:
        was = [one for one in h.marks if one.job == id_of(index)][place]
        return replace(h, marks=[one for one in h.marks if one is not was])

    return doctor


def mark_again(index: int, place: int, **changes: Any) -> Doctor:
    def doctor(h: History) -> History:
        was = [one for one in h.marks if one.job == id_of(index)][place]
        return replace(h, marks=[*h.marks, replace(was, **changes)])

    return doctor


def event(index: int, version: int, **changes: Any) -> Doctor:
    """Change one event of a job; ``at`` is added to."""

    def changed(one: StoredEvent) -> StoredEvent:
        if (one.job, one.version) != (id_of(index), version):
            return one
        return replace(one, **changes | ({"at": one.at + changes["at"]} if "at" in changes else {}))

    return lambda h: replace(h, events=[changed(one) for one in h.events])


def no_event(index: int, *versions: int | None) -> Doctor:
    def kept(one: StoredEvent) -> bool:
        return one.job != id_of(index) or (bool(versions) and one.version not in versions)

    return lambda h: renumbered(replace(h, events=[one for one in h.events if kept(one)]))


def more_events(index: int, *changes: dict[str, Any]) -> Doctor:
    """Tell more of a job at the end of the log, each like its last event but for the changes."""

    def doctor(h: History) -> History:
        last = [one for one in h.events if one.job == id_of(index)][-1]
        seq = itertools.count(h.events[-1].seq + 1)
        more = [replace(last, **{"at": last.at + MS, "seq": next(seq)} | change) for change in changes]
        return replace(h, events=[*h.events, *more])

    return doctor


def late_note(index: int) -> Doctor:
    return more_events(index, {"what": "log", "version": None, "note": 7, "previous_state": "running"})


def told_twice(index: int) -> Doctor:
    """Tell the last event of a job in a row more."""

    def doctor(h: History) -> History:
        last = [one for one in h.events if one.job == id_of(index)][-1]
        return replace(h, events=[*h.events, replace(last, seq=h.events[-1].seq + 1)])

    return doctor


def note_twice(h: History) -> History:
    events = []
    for one in h.events:
        events += [one, one] if one.note == 1 else [one]
    return replace(h, events=events)


def renumbered(h: History) -> History:
    """Close the gaps that events taken out leave between rows."""
    rows = {seq: number for number, seq in enumerate(sorted({one.seq for one in h.events}), 1)}
    return replace(h, events=[replace(one, seq=rows[one.seq]) for one in h.events])


def swapped(index: int, one: int, other: int) -> Doctor:
    """Have two events of a job change places in the log."""

    def doctor(h: History) -> History:
        events = list(h.events)
        a, b = (next(i for i, e in enumerate(events) if (e.job, e.version) == (id_of(index), v)) for v in (one, other))
        events[a], events[b] = replace(events[b], seq=events[a].seq), replace(events[a], seq=events[b].seq)
        return replace(h, events=events)

    return doctor


def rows_from(number: int) -> Doctor:
    return lambda h: replace(
        h, events=[replace(one, seq=one.seq + 1) if one.seq >= number else one for one in h.events]
    )


def faults(change: Callable[[Fault], Fault | None]) -> Doctor:
    return lambda h: replace(h, faults=[new for one in h.faults if (new := change(one)) is not None])


def later_by(index: int, version: int, us: int) -> Doctor:
    """Have everything of a job from ``version`` on take place later."""

    def doctor(h: History) -> History:
        from_ = next(one.at for one in h.events if (one.job, one.version) == (id_of(index), version))

        def moved(one: Any) -> Any:
            return replace(one, at=one.at + us) if one.job == id_of(index) and one.at >= from_ else one

        events = [moved(one) for one in h.events]
        return replace(h, events=events, marks=[moved(one) for one in h.marks], ended=h.ended + us)

    return doctor


def crowd(pid: int, indexes: tuple[int, ...]) -> Doctor:
    """Have the first attempts of some jobs run in one process, all at the same time."""

    def doctor(h: History) -> History:
        ids = {id_of(index) for index in indexes}
        ends = max(one.at for one in h.marks if one.job in ids and one.fence == 1)
        marks = []
        for one in h.marks:
            ours = one.job in ids and one.fence == 1
            at = ends if ours and one.what != "start" else one.at
            marks.append(replace(one, pid=pid, at=at) if ours else one)
        events = [replace(one, at=max(one.at, ends)) if one.job in ids and (one.version or 0) > 2 else one
                  for one in h.events]  # fmt: skip
        return replace(h, marks=marks, events=events)

    return doctor


def both(*doctors: Doctor) -> Doctor:
    def doctor(h: History) -> History:
        for one in doctors:
            h = one(h)
        return h

    return doctor


def mysql_away(from_s: float, to_s: float, *, kind: str = "kill") -> Doctor:
    """MySQL has a fault for a time, in seconds after the first fault on a node."""

    def doctor(h: History) -> History:
        began = h.faults[0].began
        away = Fault(kind, "mysql", began + round(from_s * S), began + round(to_s * S))
        return replace(h, faults=[*h.faults, away])

    return doctor
