"""Ended: ends of attempts that their handlers have written, each in a transaction of its own on the store's database.

The statement inserts a row only while that attempt runs, and fails otherwise, so that the handler's transaction fails
with it: ``running_since`` may not be NULL, and is found by the fence, and by when that attempt began. On MySQL it locks
the job's row till the COMMIT, as every end and every recovery does, so that one of them comes first and the other sees
it; SQLite has one writer.

Who ends such an attempt for another reason (its node was lost, it was stopped, its handler raised after the COMMIT)
takes the row and ends the job as succeeded. A row stands for nothing once its attempt is over. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tickr.jobs import Job, State
from tickr.reports import Outcome, Statement
from tickr.store import rows
from tickr.store.contract import STATE_CODES

_RUNNING = STATE_CODES[State.RUNNING]
_INSERT = (
    "INSERT INTO {schema}ended (job_id, fence, result, running_since) VALUES ({id}, {value}, {value}, "
    "(SELECT started_at FROM {schema}jobs "
    "WHERE id = {id} AND fence = {value} AND started_at = {value} AND state = {running}{lock}))"
)


class Ended(NamedTuple):
    """A row: which attempt has ended, and with which result (JSON text)."""

    fence: int
    running_since: int
    result: str | None

    def is_of(self, job: Job) -> bool:
        """Whether it is the attempt that ``job`` runs. A job under the same id that came later began later."""
        return (self.fence, self.running_since) == (job.fence, job.started_at)

    def settle(self, outcome: Outcome) -> Outcome:
        """Return ``outcome`` as it has to be now: a success; what its worker says of the result goes before."""
        result = self.result if outcome.result is None else outcome.result
        return msgspec.structs.replace(outcome, kind="succeeded", result=result, failure=None, cut_off=False)


NONE: Mapping[str, Ended] = {}


def statement(store: str, job: Job, result: str | None, schema: str | None = None) -> Statement:
    """Return what writes the end of the attempt that ``job`` is the claim of.

    Args:
      store: its ``Store.name``. schema: the database in which the tables are; None: the connection's own.
    Raises: RuntimeError: the store has no database that others could write to.
    """
    given = "" if schema is None else f"{schema}."
    key = rows.id_bytes(job.id)
    if store == "mysql":
        sql = _INSERT.format(schema=given, id="UNHEX(%s)", value="%s", running=_RUNNING, lock=" LOCK IN SHARE MODE")
        return Statement(sql, (key.hex(), job.fence, result, key.hex(), job.fence, job.started_at))
    if store == "sqlite":
        sql = _INSERT.format(schema=given, id="?", value="?", running=_RUNNING, lock="")
        return Statement(sql, (key, job.fence, result, key, job.fence, job.started_at))
    raise RuntimeError(f"a store in {store} has no database in which a handler could write the end of its job")


def asked(outcomes: Iterable[Outcome], stored: Mapping[str, Job]) -> list[Job]:
    """Return those of the ``stored`` jobs whose handler may have written the end of the attempt that still runs."""
    may_have = {one.job.id: one.job.fence for one in outcomes if one.may_have_ended}
    found = [stored[id_] for id_ in may_have if id_ in stored]
    return [job for job in found if job.state is State.RUNNING and job.fence == may_have[job.id]]


def of_jobs(found: Iterable[tuple[str, Ended]], jobs: Sequence[Job]) -> dict[str, Ended]:
    """Return the rows among ``found`` of the attempts that ``jobs`` run, by id."""
    running = {job.id: job for job in jobs}
    return {id_: row for id_, row in found if row.is_of(running[id_])}
