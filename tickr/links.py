"""Links: which job waits for which others, and what it is to them. Pure: no trio, no I/O, no clock.

A job may *depend* on others: it is ``blocked`` until all of them have ended. And a job whose handler submits jobs is
their *parent*: it has a *nursery*, and has not ended before they have. What a job was submitted with stays on its
record (``Extras``); here is that, and the ``Link``: one wait, as the stores keep it in a table of its own. A job
without links has nothing to do with any of it.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import msgspec

MAX_DEPENDENCIES = 100
"""So many jobs one job may depend on."""
MAX_CHILDREN = 1_000
"""So many jobs the handler of one job may submit."""
MAX_GENERATIONS = 20
"""So many jobs may be above one another in a family: one that submits itself is to end some time."""


class OnFailure(enum.StrEnum):
    """What becomes of a job when one of those that it depends on ends without success."""

    FAIL = "fail"
    """It fails, without a start. Nobody asked for its end, and whoever watches for failures shall hear of it."""
    CANCEL = "cancel"
    """It is cancelled."""
    RUN = "run"
    """Nothing: it runs once all of them have ended, however they did."""


class Dependencies(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a job was submitted to wait for. ``jobs``: their ids, each once, in the order given."""

    jobs: tuple[str, ...]
    on_failure: OnFailure = OnFailure.FAIL


class Sequence(msgspec.Struct, frozen=True, omit_defaults=True):
    """The sequence that a job is in: its jobs run one after the other, in the order in which they were submitted.

    Attributes:
      after: the job that it was submitted to wait for, the last one then; None: it was the only one.
    """

    name: str
    after: str | None = None


class End(enum.StrEnum):
    """How a job ends; the final states by their names."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Nursery(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a job has that has submitted others, from the first of them until it is started over.

    Attributes:
      end: how it will have ended once all of its children have; None: its handler is not done.
      lenient: its handler knows of the failures of its children, and answers for them: they are not its own.
    """

    end: End | None = None
    lenient: bool = False


class Kind(enum.IntEnum):
    """What a link is; the SQL stores write the number. Those up to ``CHILD`` are waits that are not over."""

    SEQUENCE = -1
    """``waiter`` comes next after ``on`` in their sequence. Both may have ended: see ``store/sequences.py``."""
    NURSERY = 0
    """``on``, which is ``waiter`` itself, has a nursery, and has not ended."""
    DEPENDENCY = 1
    """``waiter`` is blocked until ``on`` has ended."""
    CHILD = 2
    """``on`` is a child of ``waiter``, and has not ended."""
    FAILED_CHILD = 3
    """``on`` is a child that ended without success, and ``waiter`` has not ended yet. Nobody waits for it any more."""
    SUCCEEDED_CHILD = 4
    """``on`` is a child that has succeeded, and ``waiter`` has not ended yet."""


WAITS = frozenset({Kind.SEQUENCE, Kind.DEPENDENCY, Kind.CHILD})
"""Those by which a job waits for another."""


class Link(NamedTuple):
    """One wait: the job ``waiter`` has not got what it needs of the job ``on``; or what has become of it."""

    on: str
    waiter: str
    kind: Kind
