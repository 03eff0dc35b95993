"""What ran, as the ledger says, against what the store gave out; and how much of it ran at once.

A run is one ``start`` mark and the mark that ended it, if there is one. Violations: I2 (a number that is not the
job's), I3 (two starts of one claim, a success that nobody has brought about), I4 (before its time), I7 (a start that
the store did not give), I10 (more at once than a node has workers).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.faults.checker.lives import Claim, Life
from tests.faults.checker.verdict import Verdict
from tests.faults.history import Mark

GIVEN_UP_US = 2_000_000
"""A node that gives a handler up has its slot back first, and has that stored after: up to so much later."""


@dataclass(slots=True)
class Run:
    """``ended`` is None where no mark tells; ``done``: by the handler's return."""

    start: Mark
    ended: int | None = None
    done: bool = False


def runs_of(marks: Iterable[Mark]) -> dict[str, list[Run]]:
    """Return the runs by job, in the order of their starts. A mark that ends no run is left out."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for mark in sorted(marks, key=lambda mark: mark.at):
        if mark.what == "start":
            runs[mark.job].append(Run(mark))
            continue
        for run in reversed(runs.get(mark.job, ())):
            if run.ended is None and (run.start.fence, run.start.pid) == (mark.fence, mark.pid):
                run.ended, run.done = mark.at, mark.what == "done"
                break
    return dict(runs)


def judge(job: str, number: int, runs: list[Run], life: Life, verdict: Verdict) -> None:
    """Compare the runs of ``job`` with its claims. Not for a life with gaps: its fences are not known."""
    seen: set[int] = set()
    for run in runs:
        mark = run.start
        if mark.fence in seen:
            verdict.table.double_starts += 1
            verdict.add("I3", job, f"two starts with fence {mark.fence}")
        elif not 1 <= mark.fence <= len(life.claims):
            verdict.add("I7", job, f"a start with fence {mark.fence}; the store gave {len(life.claims)}")
        else:
            _judge_start(mark, life.claims[mark.fence - 1], verdict)
        if mark.number != number:
            verdict.add("I2", job, f"ran with number {mark.number}; submitted was {number}")
        seen.add(mark.fence)
    done = {run.start.fence for run in runs if run.done}
    for claim in life.claims:
        if claim.end is not None and claim.end.what == "succeeded" and claim.fence not in done:
            verdict.add("I3", job, f"succeeded with fence {claim.fence}, which was never done")


def _judge_start(mark: Mark, claim: Claim, verdict: Verdict) -> None:
    if mark.attempt != claim.attempt:
        verdict.add("I3", mark.job, f"fence {mark.fence} is attempt {claim.attempt}, its handler saw {mark.attempt}")
    if claim.due is not None and mark.at < claim.due:
        if claim.at >= claim.due:  # otherwise the claim has been told
            verdict.table.early += 1
            verdict.add("I4", mark.job, f"started {claim.due - mark.at} us before its time")
    elif mark.at < claim.at:
        verdict.add("I7", mark.job, f"started {claim.at - mark.at} us before it was claimed")


def judge_slots(
    runs: Mapping[str, list[Run]],
    lives: Mapping[str, Life],
    deaths: Mapping[int, list[int]],
    *,
    workers: int,
    ended: int,
    verdict: Verdict,
) -> None:
    """Sweep over the runs of each node.

    Args:
      deaths: instants at which each pid died, rising.
      ended: what has no other end ends here.
    """
    edges: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for job, of_job in runs.items():
        life = lives.get(job)
        claims = life.claims if life is not None and life.whole else []
        for i, run in enumerate(of_job):
            start = run.start
            following = of_job[i + 1].start.at if i + 1 < len(of_job) else None
            claim = claims[start.fence - 1] if 1 <= start.fence <= len(claims) else None
            end = _end(run, claim, following, deaths.get(start.pid, ()), ended)
            if end > start.at:
                edges[start.pid] += [(start.at, 1), (end, -1)]  # at one instant ends come first
    for pid, of_pid in edges.items():
        at_once, at = _most_at_once(of_pid)
        if at_once > workers:
            verdict.add("I10", None, f"{at_once} attempts at once in process {pid}, at {at}; it has {workers} workers")


def _end(run: Run, claim: Claim | None, following: int | None, deaths: list[int] | tuple[()], ended: int) -> int:
    """Return when a run was over for its node: one that was given up keeps no slot, whatever it still does."""
    ends = [ended if run.ended is None else run.ended]
    if claim is not None and claim.end is not None and claim.end.at < ends[0]:
        ends.append(claim.end.at - GIVEN_UP_US)
    if run.ended is None:
        if following is not None:
            ends.append(following)
        if (i := bisect_left(deaths, run.start.at)) < len(deaths):
            ends.append(deaths[i])
    return min(ends)


def _most_at_once(edges: list[tuple[int, int]]) -> tuple[int, int]:
    """Return how many there were at most, and when first."""
    most = at_once = at = 0
    for instant, step in sorted(edges):
        at_once += step
        if at_once > most:
            most, at = at_once, instant
    return most, at
