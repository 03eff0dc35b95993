"""``check``: submissions against what is stored (I1 I2 I8 I9), and each job's events and runs against each other."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection

from tests.faults.checker import runs as ledger
from tests.faults.checker.lives import FINAL, MAX_CRASHES, Life, live
from tests.faults.checker.recovery import DEADLY, SLACK_US, Recovery, deaths_of
from tests.faults.checker.verdict import Table, Verdict
from tests.faults.history import Fault, History, StoredEvent, StoredJob, Submission, Tick


def check(history: History) -> Verdict:
    """Decide whether the run that ``history`` tells of kept I1-I10.

    Every job must be one whose handler keeps the ledger. Takes about 15 µs an event.
    """
    return _Check(history).verdict


class _Check:
    """The four logs, by job."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.verdict = Verdict([], Table())
        self.asked = {one.id: one for one in history.submissions}
        self.jobs = {job.id: job for job in history.jobs}
        self.runs = ledger.runs_of(history.marks)
        poison = {one.id for one in history.submissions if one.crashes_it}
        suicides = [(run.start.pid, run.start.at) for job in poison for run in self.runs.get(job, ())]
        self.deaths = deaths_of(history.faults, suicides)
        self.struck = sorted(
            [fault.began for fault in history.faults if _strikes_node(fault)] + [t for _, t in suicides]
        )
        self._submissions()
        self._stored()
        self._rows()
        self.lives = self._lives()
        self._ends()
        self._ran()

    # -- what was asked for, and what there is ------------------------------------------------------------------------

    def _submissions(self) -> None:
        """I1: what was acknowledged is there, what was refused is not."""
        for one in self.history.submissions:
            stored = one.id in self.jobs
            if one.answer == "ok" and not stored:
                self.verdict.table.lost += 1
                self.verdict.add("I1", one.id, "acknowledged, and not stored")
            elif one.answer == "refused" and stored:
                self.verdict.add("I1", one.id, "refused, and stored all the same")

    def _stored(self) -> None:
        """I2 and I8: what is there was asked for, once; and a tick of a schedule asks for one job."""
        numbers: dict[int, str] = {one.number: one.id for one in self.history.submissions}
        ticks: dict[Tick, str] = {}
        for job in self.history.jobs:
            if job.made_for is not None:
                first = ticks.setdefault(job.made_for, job.id)
                if first != job.id and job.made_for.tick is not None:
                    self.verdict.add("I8", job.id, f"{job.made_for} has made a second job, beside {first}")
                continue
            one = self.asked.get(job.id)
            first = numbers.setdefault(job.number, job.id)
            if first in self.jobs and first != job.id:
                self.verdict.add("I8", job.id, f"number {job.number} is stored a second time, beside {first}")
            elif one is None:
                self.verdict.add("I2", job.id, "stored, and never submitted")
            elif (one.number, one.type) != (job.number, job.type):
                self.verdict.add("I2", job.id, f"submitted {one.type} {one.number}, stored {job.type} {job.number}")
        if len(self.jobs) < len(self.history.jobs):
            for id_, times in Counter(job.id for job in self.history.jobs).items():
                if times > 1:
                    self.verdict.add("I8", id_, f"stored {times} times")

    def _rows(self) -> None:
        """I6: the rows of the log are numbered 1, 2, 3 … in the order of the log."""
        expected = 1
        for event in self.history.events:
            if event.seq not in (expected - 1, expected):
                told = f"row {event.seq} comes after row {expected - 1}"
                self.verdict.add("I6", None, f"the log has a gap or is not in order: {told}")
            expected = event.seq + 1

    # -- lives ----------------------------------------------------------------------------------------------------

    def _lives(self) -> dict[str, Life]:
        events: dict[str, list[StoredEvent]] = defaultdict(list)
        for event in self.history.events:
            if "." not in event.what:  # of a job
                events[event.job].append(event)
        lives = {}
        for job in self.jobs.values():
            one = self.asked.get(job.id)
            lives[job.id] = live(job, events.pop(job.id, []), one, self.verdict)
        self.ghosts = events.keys()
        for id_, told in events.items():
            if not self._is_lost(id_):
                self.verdict.add("I6", id_, f"{len(told)} events of a job that is not stored")
        return lives

    def _is_lost(self, id_: str) -> bool:
        one = self.asked.get(id_)
        return one is not None and one.answer == "ok" and id_ not in self.jobs

    def _ends(self) -> None:
        """I1 and I9: each job is final, in a state that its handler leads to."""
        for job in self.jobs.values():
            one, life = self.asked.get(job.id), self.lives[job.id]
            if job.state not in FINAL:
                self.verdict.table.stuck += 1
                self.verdict.add("I9", job.id, f"still {job.state}, attempt {job.attempt}, fence {job.fence}")
                continue
            quarantined = _is_quarantined(job, life)
            self.verdict.table.quarantined += quarantined
            if one is None:
                continue
            if quarantined:
                if not one.crashes_it and (strikes := self._strikes(job, life)) < MAX_CRASHES:
                    self.verdict.add("I1", job.id, f"quarantined, and only {strikes} nodes were struck in its time")
            elif one.crashes_it or job.state not in one.ends:
                legal = "quarantine" if one.crashes_it else " or ".join(one.ends)
                self.verdict.add("I1", job.id, f"ended {job.state} with {job.crashes} crashes, not in {legal}")

    def _strikes(self, job: StoredJob, life: Life) -> int:
        """Return how many nodes were struck while ``job`` was on its way."""
        over = life.last.at if life.last is not None else self.history.ended
        return bisect_right(self.struck, over) - bisect_left(self.struck, job.created_at - SLACK_US)

    # -- what ran --------------------------------------------------------------------------------------------------

    def _ran(self) -> None:
        verdict, history = self.verdict, self.history
        for id_, runs in self.runs.items():
            if not (id_ in self.jobs or id_ in self.ghosts or self._is_lost(id_)):
                asked = id_ in self.asked
                what = "which the store never had" if asked else "which nobody submitted"
                verdict.add("I7" if asked else "I2", id_, f"{len(runs)} starts of a job {what}")
        recovery = Recovery(history.faults, self.deaths, history.lease_s, history.stretch)
        whole = {id_: life for id_, life in self.lives.items() if life.whole}
        for id_, life in whole.items():
            recovery.learn_pids(life, self.runs.get(id_, ()))
        for id_, life in whole.items():
            runs = self.runs.get(id_, [])
            ledger.judge(id_, self._number(self.jobs[id_]), runs, life, verdict)
            if len(life.claims) > 1:
                recovery.judge(id_, life, runs, verdict)
        ledger.judge_slots(
            self.runs, self.lives, self.deaths, workers=history.workers, ended=history.ended, verdict=verdict
        )
        _fill(verdict.table, history.submissions, self.jobs.values(), history.faults)

    def _number(self, job: StoredJob) -> int:
        one = self.asked.get(job.id)
        return one.number if one else job.number


def _is_quarantined(job: StoredJob, life: Life) -> bool:
    """Whether the job was ended because its node was lost so often: its row and its events say so."""
    why = life.last.why if life.last is not None else None
    return (
        job.state == "failed"
        and job.crashes >= MAX_CRASHES
        and why in (None, "crashed")
        and (life.losses >= MAX_CRASHES or not life.whole)
    )


def _strikes_node(fault: Fault) -> bool:
    return fault.part == "node" and fault.kind in (*DEADLY, "freeze")


def _fill(
    table: Table, submissions: Collection[Submission], jobs: Collection[StoredJob], faults: Collection[Fault]
) -> None:
    answers = Counter(one.answer for one in submissions)
    states = Counter(job.state for job in jobs)
    table.submitted, table.stored = len(submissions), len(jobs)
    table.acknowledged, table.unknown, table.refused = answers["ok"], answers["unknown"], answers["refused"]
    table.succeeded, table.failed, table.cancelled = states["succeeded"], states["failed"], states["cancelled"]
    table.attempts = sum(job.fence for job in jobs)
    table.kills = sum(fault.part == "node" and fault.kind in DEADLY for fault in faults)
    table.backend_faults = sum(fault.part != "node" for fault in faults)
