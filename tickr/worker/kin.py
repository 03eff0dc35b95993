"""Kin: the jobs that a handler submits, its children, and those that its own job depends on.

Comes in: what a handler asks for through its ``tickr.Job``. Goes out: children, to the store (``family.py``), and how
the others have ended, from there. A child's id follows from its parent's and from its name, so a handler that is run
again submits the same jobs again, and that changes nothing.

A handler that waits for its children does not keep its slot: its attempt ends, the job is ``blocked``, and the handler
is run again from its beginning once they have ended; then ``children`` has the answer at once.

State: a ``Kin`` belongs to one attempt and its task: which children it has asked for, in order.
"""

from __future__ import annotations

import builtins
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec
import trio

from tickr.encoding import Kind, typed
from tickr.errors import SpecRejected
from tickr.jobs import FINAL, Job, NewJob, State
from tickr.links import Nursery
from tickr.reasons import Failure

_THEIRS = "is not for children: theirs follow from their names"
NOT_FOR_CHILDREN = {
    "id": _THEIRS,
    "unique": _THEIRS,
    "sequence": "is not for children: they would wait for jobs that may wait for their parent",
}

Describe = Callable[[Mapping[str, Any]], NewJob]
"""Returns the job that the fields of a submission describe. Raises: SpecRejected."""


class JobEnd(msgspec.Struct, frozen=True):
    """How another job has ended.

    Attributes:
      name: of a child: by which its parent has submitted it.
      state: ``succeeded``, ``failed`` or ``cancelled``.
      result: what its handler has returned, as Python values; None if it has not succeeded.
      error: why it has not succeeded.
      encrypted: whether it is stored encrypted; what is seen here is in the clear.
    """

    id: str
    type: str
    name: str | None
    state: str
    result: Any = None
    error: Failure | None = None
    encrypted: bool = False

    def result_as(self, kind: builtins.type[Kind]) -> Kind:
        """Return the result as a ``kind``, such as its handler has returned. Raises: ValueError: it is none."""
        return typed(self.result, kind, "result")


class ChildrenFailed(Exception):
    """Raised by ``Job.children``: some have not succeeded. Whoever lets it out fails, at once (kind ``child_failed``).

    Attributes:
      failed: the children that have not succeeded; others may not have ended.
    """

    def __init__(self, failed: Sequence[JobEnd]) -> None:
        first, more = failed[0], f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        # What is encrypted of a child shall not get about in the words of a parent, which need not be.
        why = "" if first.error is None or first.encrypted else f": {first.error.message}"
        super().__init__(f"The child {first.name} (job {first.id}){more} has {first.state}{why}"[:1_000])
        self.failed = tuple(failed)


class Family(Protocol):
    """Where children go; ``family.Family``."""

    @property
    def describe(self) -> Describe: ...

    async def spawn(self, attempt: Job, new: Sequence[NewJob]) -> list[Job]: ...

    async def children(self, parent: str) -> list[Job]: ...

    async def ended(self, ids: Sequence[str]) -> list[Job]: ...


class Attempt(Protocol):
    """Whose children they are; ``RunningJob``."""

    job: Job

    def await_children(self) -> None:
        """Have the attempt end, and another one begin when all children have ended."""
        ...


class Kin:
    """The children and the dependencies of one attempt's job."""

    def __init__(self, family: Family, attempt: Attempt) -> None:
        self._family = family
        self._attempt = attempt
        self._count = 0
        self._asked_for: dict[str, None] = {}

    async def submit(self, type: str, payload: Any, name: str | None, options: Mapping[str, Any]) -> str:
        """See ``view.Job.submit``."""
        if name is None:
            self._count += 1
            name = str(self._count)
        for field, why in NOT_FOR_CHILDREN.items():
            if field in options:
                raise SpecRejected(f"/{field}", why)
        said = self._family.describe({"type": type, "payload": {} if payload is None else payload, **options})
        parent = self._attempt.job
        # What its handler wishes it to be unique by is not for children either: each is one of a kind by its name.
        extras = msgspec.structs.replace(
            said.extras, parent=parent.id, name=name, generation=parent.extras.generation + 1, unique=None
        )
        new = msgspec.structs.replace(said, id=child_id(parent.id, name), extras=extras, wish=None)
        self._mark(lenient=False)
        (child,) = await self._family.spawn(parent, [new])
        self._asked_for[child.id] = None
        return child.id

    async def children(self, failed: Literal["raise", "return"]) -> list[JobEnd]:
        """See ``view.Job.children``."""
        if not self._asked_for:
            await trio.lowlevel.checkpoint()
            return []
        stored = {job.id: job for job in await self._family.children(self._attempt.job.id)}
        found = [stored[id_] for id_ in self._asked_for if id_ in stored]
        ends = [end_of(job) for job in found if job.state in FINAL]
        bad = [end for end in ends if end.state != State.SUCCEEDED]
        if failed == "raise":  # whoever failed under a former attempt would have this one woken again and again
            bad += [end_of(job) for job in stored.values() if job.id not in self._asked_for and self._has_failed(job)]
        if failed == "return" or bad:
            self._mark(lenient=True)  # it is told of them now
        if failed == "raise" and bad:
            raise ChildrenFailed(bad)
        if len(ends) < len(found):
            self._attempt.await_children()
            await trio.sleep_forever()
        return ends

    def _has_failed(self, child: Job) -> bool:
        """Whether ``child`` has ended without success since the job was last started over."""
        redrives = self._attempt.job.extras.redrives
        since = redrives[-1].at if redrives else 0
        return child.state in FINAL and child.state is not State.SUCCEEDED and (child.finished_at or 0) >= since

    async def dependencies(self) -> list[JobEnd]:
        """See ``view.Job.dependencies``."""
        after = self._attempt.job.extras.depends_on
        if after is None:
            await trio.lowlevel.checkpoint()
            return []
        return [end_of(job) for job in await self._family.ended(after.jobs)]

    def _mark(self, *, lenient: bool) -> None:
        """Note on the attempt's own record that its job has, or may have, a nursery. The stored one is the truth."""
        job = self._attempt.job
        nursery = job.extras.nursery or Nursery()
        nursery = msgspec.structs.replace(nursery, lenient=lenient or nursery.lenient)
        extras = msgspec.structs.replace(job.extras, nursery=nursery)
        self._attempt.job = msgspec.structs.replace(job, extras=extras)


def child_id(parent: str, name: str) -> str:
    """Return the id of the child ``name`` of a job: a UUID of version 5 in the namespace of its parent's."""
    return str(uuid.uuid5(uuid.UUID(parent), name))


def end_of(job: Job) -> JobEnd:
    """Return how ``job`` has ended."""
    result = msgspec.json.decode(job.result) if job.state is State.SUCCEEDED and job.result is not None else None
    encrypted = job.extras.sealed is not None
    return JobEnd(job.id, job.type, job.extras.name, job.state.value, result, job.error, encrypted)
