"""What the checker says: each violation by the invariant that it breaks, and one table of counts."""

from __future__ import annotations

from typing import Literal

import msgspec

Invariant = Literal["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10"]


class Violation(msgspec.Struct, frozen=True):
    """``job`` is None where it is not about one job."""

    invariant: Invariant
    job: str | None
    detail: str


class Table(msgspec.Struct):
    """Counts of a run.

    Attributes:
      submitted, acknowledged, unknown, refused: submissions, and how they were answered.
      stored, succeeded, failed, cancelled: jobs, and where they ended; ``quarantined`` are those of the failed whose
        node was lost three times.
      attempts: claims.
      kills: nodes that died of a fault; ``backend_faults``: faults of MySQL and Redis.
      lost: acknowledged and not stored.
      early: attempts begun before their time; ``stuck``: jobs not final; ``double_starts``: of one claim.
      longest_recovery_s: from a node's death to the next start of what it ran; see ``recovery.py``.
      longest_unwatched_s: the same where nobody lived to notice it in time, so that nothing is promised.
    """

    submitted: int = 0
    acknowledged: int = 0
    unknown: int = 0
    refused: int = 0
    stored: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    quarantined: int = 0
    attempts: int = 0
    kills: int = 0
    backend_faults: int = 0
    lost: int = 0
    duplicated_successes: int = 0
    early: int = 0
    stuck: int = 0
    longest_recovery_s: float = 0.0
    longest_unwatched_s: float = 0.0
    double_starts: int = 0


class Verdict(msgspec.Struct):
    """``violations`` is empty if every promise was kept."""

    violations: list[Violation]
    table: Table

    @property
    def broken(self) -> set[Invariant]:
        """Which invariants do not hold."""
        return {one.invariant for one in self.violations}

    def add(self, invariant: Invariant, job: str | None, detail: str) -> None:
        self.violations.append(Violation(invariant, job, detail))

    def told(self, most: int = 20) -> str:
        """Return the first ``most`` violations as lines, and the table: what an assertion should show."""
        lines = [f"{one.invariant} {one.job or '-'}: {one.detail}" for one in self.violations[:most]]
        more = len(self.violations) - len(lines)
        return "\n".join([*lines, *([f"and {more} more"] if more else []), str(self.table)])
