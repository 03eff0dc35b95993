"""The checker: decides from a ``History`` whether a run with faults kept the invariants I1-I10.

It believes nobody alone: what clients heard, what jobs wrote and what the store says must fit together. It knows the
promises only, and nothing of Tickr's own code: its table of legal edges is written from the design.

    verdict.py    what comes out: violations, and one table of counts
    lives.py      a job's events, in order: edges, versions, attempts, fences (I3 I4 I5 I6)
    runs.py       what the ledger says, against these lives (I2 I3 I4 I7), and how much ran at once (I10)
    recovery.py   how long jobs of dead nodes waited (I9)
    decide.py     ``check``: submissions against what is stored (I1 I2 I8 I9), and all of the above
"""

from tests.faults.checker.decide import check
from tests.faults.checker.verdict import Table, Verdict, Violation

__all__ = ["Table", "Verdict", "Violation", "check"]
