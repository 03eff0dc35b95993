"""How long jobs wait when the node that runs them is killed or freezes (I9).

An attempt counts if its node was struck while it ran, the store took it back for that, and the job was claimed again:
not one that was stored as ended after all, whose retry was scheduled or whose crashes were too many. The wait lasts
until the next ``start`` mark, or the next claim if that came to nothing too (which is then measured itself). A job that
was lost twice is a suspect and may wait for another one, so for it the wait ends when it is taken back.

While MySQL is away nobody can take anything back, and after that every node has a whole lease to tell that it lives. So
an outage of MySQL in between starts the count anew at its end; a cut or a slow line is none.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise

from tests.faults.checker.lives import Claim, Life
from tests.faults.checker.runs import Run
from tests.faults.checker.verdict import Verdict
from tests.faults.history import Fault

RECOVERY_S = 17.0
"""Promised with a lease of 15 s: so long at most from a node's death to the next start."""
BESIDE_LEASE_S = 2.0
"""What a longer lease adds to."""
SLACK_US = 1_000_000
"""A fault may have been written down so much before it took place."""
SUSPECT_LOSSES = 2
"""Nodes lost under a job, from which on the next start is no longer promised within so many seconds."""
DEADLY = ("kill", "failpoint")
PASSING = ("cut", "delay")
"""Faults of the line to MySQL that a node must get over by itself at once."""


def deaths_of(faults: Iterable[Fault], suicides: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """Return when each pid died, rising. ``suicides``: (pid, instant) of handlers that killed their node."""
    deaths: dict[int, list[int]] = defaultdict(list)
    for pid, at in suicides:
        deaths[pid].append(at)
    for fault in faults:
        if fault.pid is not None and fault.part == "node" and fault.kind in DEADLY:
            deaths[fault.pid].append(fault.began)
    return {pid: sorted(found) for pid, found in deaths.items()}


class Recovery:
    """Measures. ``lease_s``: of the nodes; ``stretch``: see ``History``."""

    def __init__(
        self, faults: Iterable[Fault], deaths: Mapping[int, list[int]], lease_s: float, stretch: float
    ) -> None:
        faults = list(faults)
        self.bound_s = max(RECOVERY_S, lease_s + BESIDE_LEASE_S) * stretch
        self._lease_us = int(lease_s * 1_000_000)
        self._deaths = deaths
        self._freezes: dict[int, list[Fault]] = defaultdict(list)
        for fault in faults:
            if fault.pid is not None and fault.kind == "freeze":
                self._freezes[fault.pid].append(fault)
        outages = sorted(
            (fault.began, fault.ended) for fault in faults if fault.part == "mysql" and fault.kind not in PASSING
        )
        self._outages_began = [began for began, _ in outages]
        self._outages_over = list(accumulate((ended for _, ended in outages), max))
        self._pids: dict[str, int] = {}
        self._lived: dict[int, tuple[int, int]] = {}

    def learn_pids(self, life: Life, runs: Iterable[Run]) -> None:
        """Note which node is which process, for claims that came to no start."""
        for run in runs:
            if 1 <= run.start.fence <= len(life.claims) and (node := life.claims[run.start.fence - 1].node):
                self._pids[node] = run.start.pid
            first, last = self._lived.get(run.start.pid, (run.start.at, run.start.at))
            self._lived[run.start.pid] = min(first, run.start.at), max(last, run.start.at)

    def judge(self, job: str, life: Life, runs: Iterable[Run], verdict: Verdict) -> None:
        """Measure every recovery of ``job``, whose life has no gap."""
        starts = {run.start.fence: run.start for run in runs}
        losses = 0
        for claim, following in pairwise(life.claims):
            if not _taken_back(claim, following):
                continue
            losses += 1
            pid = starts[claim.fence].pid if claim.fence in starts else self._pids.get(claim.node or "")
            struck_at = None if pid is None else self._struck(pid, claim)
            if struck_at is None:
                continue
            assert claim.end is not None
            again = starts[following.fence].at if following.fence in starts else following.at
            if losses >= SUSPECT_LOSSES:
                again = claim.end.at
            waited_s = (again - max(struck_at, min(self._mysql_back(again), again))) / 1_000_000
            if not self._promised(pid, struck_at):
                verdict.table.longest_unwatched_s = max(verdict.table.longest_unwatched_s, waited_s)
                continue
            verdict.table.longest_recovery_s = max(verdict.table.longest_recovery_s, waited_s)
            if waited_s > self.bound_s:
                verdict.add("I9", job, f"started again {waited_s:.1f} s after process {pid} was struck")

    def _struck(self, pid: int, claim: Claim) -> int | None:
        """Return when the process was struck that made the store take the attempt back."""
        assert claim.end is not None
        deaths, taken_back = self._deaths.get(pid, ()), claim.end.at
        i = bisect_right(deaths, taken_back) - 1
        died = deaths[i] if i >= 0 and deaths[i] >= claim.at - SLACK_US else None
        for freeze in self._freezes.get(pid, ()):
            if claim.at - SLACK_US <= freeze.began <= taken_back:
                lasted = freeze.ended + self._lease_us >= taken_back if died is None else freeze.ended >= died
                if lasted:
                    return freeze.began
        return died

    def _promised(self, pid: int, struck_at: int) -> bool:
        """Whether somebody was there to notice in time.

        That a process is dead, any start on its machine sees. That one is frozen, only a node notices that has lived
        beside it for a whole lease.
        """
        if struck_at not in [freeze.began for freeze in self._freezes.get(pid, ())]:
            return True
        until = struck_at + int(self.bound_s * 1_000_000)
        return any(
            first <= struck_at and last >= until
            for other, (first, last) in self._lived.items()
            # One that died has a later namesake: a pid is given out again.
            if other != pid and other not in self._freezes and other not in self._deaths
        )

    def _mysql_back(self, before: int) -> int:
        """Return the end of the last fault of MySQL that began before ``before``; 0 if there is none."""
        i = bisect_left(self._outages_began, before)
        return self._outages_over[i - 1] if i else 0


def _taken_back(claim: Claim, following: Claim) -> bool:
    """Whether the claim ended because its node was lost, and the next one came straight after that."""
    end = claim.end
    if end is None or end.what != "released" or end.version is None or end.version + 1 != following.version:
        return False
    return end.why in (None, "lease_lost")
