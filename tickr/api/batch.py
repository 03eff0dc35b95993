"""``POST /jobs/batch``: many jobs in one body, each answered by itself, or all stored as one whole.

In comes one body; ``parts.py`` takes it apart, and each job in it is read as ``POST /jobs`` reads its body. The good
ones go through the intake together; out goes a result for each job, in order. Reading yields to the other tasks again
and again, as a body of 16 MiB takes a good part of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, Raw, UnsetType

from tickr.api import incoming, keys, parts, strict, submission, wire
from tickr.api.call import Answer, Call
from tickr.api.context import Context
from tickr.api.jobs import ANSWERED_WITHIN_S
from tickr.api.parts import Pace
from tickr.api.problems import Fault, Problem, invalid
from tickr.api.results import Refusals, too_large
from tickr.errors import KeyReused
from tickr.intake import Stored
from tickr.jobs import NewJob
from tickr.scopes import Scope
from tickr.store.contract import Keyed
from tickr.traces import Trace

if TYPE_CHECKING:
    from tickr.api.app import Edge

PATH = "/jobs/batch"
MAX_BODY_BYTES = 16 * 1024 * 1024
"""How large a batch may be, in bytes; each job in it may be as large as alone (``Config.max_body``)."""


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one job: ``id`` if it is stored, ``error`` (a problem document) if not.

    ``held``: the id is that of another job, which holds the unique key.
    """

    index: int
    status: int
    id: str | UnsetType = UNSET
    held: bool = False
    error: Raw | UnsetType = UNSET


class _Results:
    """What became of all of them. ``headers``: whether some were stored when this request was made before."""

    def __init__(self, results: list[Result], answers: Sequence[Stored | Exception]) -> None:
        replayed = any(isinstance(answer, Keyed) and answer.replayed for answer in answers)
        self.results = results
        self.headers = {"idempotent-replayed": "true"} if replayed else {}


def add_routes(app: Edge, context: Context) -> None:
    batches = _Batches(context)
    most_bytes = max(MAX_BODY_BYTES, context.config.max_body)
    app.add_direct_call(PATH, "submit_batch", batches.submit, Scope.JOBS_WRITE, most_bytes=most_bytes)


class _Batches:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def submit(self, call: Call) -> Answer:
        request_ = keys.request_of(call, self._context.config.idempotency_keep)
        incoming.check_media(call)
        batch = await parts.read_batch(call.body)
        call.body = b""  # its parts are views of a copy
        read = await self._read(batch.jobs, incoming.trace(call.headers))
        if request_ is not None:
            read = [one if isinstance(one, Problem) else keys.under(request_, one, at) for at, one in enumerate(read)]
        stored = await (self._store_whole(read) if batch.atomic else self._store_each(read))
        return wire.answer(wire.encode({"results": stored.results}), headers=stored.headers)

    async def _read(self, jobs: Sequence[Raw], trace: Trace | None) -> list[NewJob | Problem]:
        """Return each job, or what is wrong with it. Raises: Problem (400): the body is no strict JSON."""
        now, defaults = self._context.store.now_us(), self._context.defaults
        most, pace = self._context.config.max_body, Pace()
        read: list[NewJob | Problem] = []
        for index, raw in enumerate(jobs):
            await pace.keep(len(raw))
            if len(raw) > most:
                read.append(too_large(most))
                continue
            body = bytes(raw)
            try:
                strict.check(body)
            except Problem as fault:
                raise _inside(index, fault) from None
            try:
                read.append(submission.read(body, now=now, defaults=defaults, trace=trace))
            except Problem as problem:
                read.append(problem)
        return read

    async def _store_each(self, read: Sequence[NewJob | Problem]) -> _Results:
        refusals = Refusals()
        results: list[Result | None] = [
            Result(index, one.status, error=refusals.document(one)) if isinstance(one, Problem) else None
            for index, one in enumerate(read)
        ]
        good = [(index, one) for index, one in enumerate(read) if not isinstance(one, Problem)]
        answers: Sequence[Stored | Exception] = ()
        if good:
            new = [one for _, one in good]
            try:
                answers = await self._context.intake.submit_many(new, within_s=ANSWERED_WITHIN_S)
            except Exception as error:  # of all of them
                answers = [error] * len(new)
            for (index, one), answer in zip(good, answers, strict=True):
                if isinstance(answer, KeyReused):
                    raise answer  # so are all of them, as the key is of the whole request
                if isinstance(answer, Exception):
                    status, document = refusals.of(answer, one)
                    results[index] = Result(index, status, error=document)
                else:
                    results[index] = _result(index, answer)
        return _Results([result for result in results if result is not None], answers)

    async def _store_whole(self, read: Sequence[NewJob | Problem]) -> _Results:
        new = [one for one in read if not isinstance(one, Problem)]
        if len(new) < len(read):
            raise _of_all(read)
        try:
            answers = await self._context.intake.submit_many(new, atomic=True, within_s=ANSWERED_WITHIN_S)
        except Exception as error:
            raise Refusals.of_whole(error, new) from error
        results = [_result(index, answer) for index, answer in enumerate(answers) if not isinstance(answer, Exception)]
        return _Results(results, answers)


def _result(index: int, answer: Stored) -> Result:
    if answer[1]:
        return Result(index, 201, answer[0].id)
    told = keys.outcome(answer)
    return Result(index, told.status, answer[0].id, held=told.held)


def _inside(index: int, problem: Problem) -> Problem:
    """Return ``problem`` of the job at ``index`` as one of the whole body."""
    faults = [Fault(f"/jobs/{index}{fault.pointer}", fault.detail) for fault in problem.faults]
    if not faults:
        faults = [Fault(f"/jobs/{index}", problem.detail)]
    detail = f"In job {index}: {problem.detail}"
    return Problem(problem.status, problem.code, detail, faults=faults)


def _of_all(read: Sequence[NewJob | Problem]) -> Problem:
    """Return why the whole of ``read`` is not taken: the faults of all, or what one of them is refused for."""
    faults: list[Fault] = []
    for index, one in enumerate(read):
        if isinstance(one, Problem):
            inner = _inside(index, one)
            if one.status != 422:
                return inner
            faults.extend(inner.faults)
    return invalid(faults[: submission.MAX_FAULTS])
