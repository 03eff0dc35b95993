"""What may be asked of a server beside submitting: each call as steps, with its tries and their pauses.

Reading may always be repeated, and so may ``cancel``, for a job is cancelled only once. ``retry`` may not: where its
answer is lost, the job may run again already, even be done, and a second one would run it once more. So it is repeated
only where it surely was not done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from tickr.client import answers
from tickr.client.errors import NotFinal, Unavailable
from tickr.client.pauses import Pauses, retry_after_s
from tickr.client.records import Job, JobPage, JobRef, id_of
from tickr.client.steps import Lost, Reply, Request, Steps, pause, send
from tickr.client.submission import ANSWER_S

Record = TypeVar("Record")

FIRST_LOOK_S = 0.05
"""Pause after the first look at a job that is waited for, in seconds; each after it is half as long again …"""
LOOK_S = 3.0
"""… up to this."""
PAGE = 200
"""Jobs on a page; the server takes no more."""


class Calls:
    """``url``, ``total_s`` and ``now`` as in ``Submission``."""

    def __init__(self, url: str, *, total_s: float, now: Callable[[], float]) -> None:
        self._url = url
        self._total_s = total_s
        self._now = now

    def get(self, job: JobRef) -> Steps[Job]:
        return self._asked(Request("GET", _path(job)), Job)

    def cancel(self, job: JobRef, version: int | None) -> Steps[Job]:
        return self._asked(Request("POST", _path(job, "/cancel"), headers=_if_match(version)), Job)

    def retry(self, job: JobRef, version: int | None) -> Steps[Job]:
        request = Request("POST", _path(job, "/retry"), headers=_if_match(version))
        return self._asked(request, Job, repeatable=False)

    def page(self, filters: Mapping[str, Any], limit: int | None, cursor: str | None) -> Steps[JobPage]:
        """Ask for one page of a list of which ``limit`` jobs are still wanted (None: all)."""
        wanted = {name: texts(value) for name, value in filters.items() if value is not None}
        query = {**wanted, "limit": str(PAGE if limit is None else min(limit, PAGE))}
        return self._asked(Request("GET", "/jobs", query=query | ({"cursor": cursor} if cursor else {})), JobPage)

    def wait(self, job: JobRef, timeout_s: float | None) -> Steps[Job]:
        """Look at the job, at first often and then more rarely, until it has ended. Raises: NotFinal, ClientError."""
        over = None if timeout_s is None else self._now() + timeout_s
        look_s = FIRST_LOOK_S
        while True:
            seen = yield from self.get(job)
            if seen.final:
                return seen
            left_s = look_s if over is None else min(look_s, over - self._now())
            if left_s <= 0:
                raise NotFinal(seen)
            yield from pause(left_s)
            look_s = min(1.5 * look_s, LOOK_S)

    def _asked(self, request: Request, kind: type[Record], *, repeatable: bool = True) -> Steps[Record]:
        """Ask until there is an answer that is not "later". Raises: Refused, Unexpected, Unavailable."""
        over, pauses = self._now() + self._total_s, Pauses()
        while True:
            reply = yield from send(request, min(ANSWER_S, max(0.0, over - self._now())))
            if isinstance(reply, Reply) and reply.status not in answers.AGAIN:
                return answers.read(reply, kind, self._url)
            refusal = None if isinstance(reply, Lost) else answers.refusal_of(reply)
            unsure = reply.sent if isinstance(reply, Lost) else refusal is None or answers.unsure(refusal)
            pauses.failed(self._now(), 0.0 if isinstance(reply, Lost) else retry_after_s(reply.headers))
            if pauses.not_before >= over or (unsure and not repeatable):
                raise self._no_answer(request, reply, unsure and request.method != "GET")
            yield from pause(max(0.0, pauses.not_before - self._now()))

    def _no_answer(self, request: Request, reply: Reply | Lost, unsure: bool) -> Unavailable:
        refusal = None if isinstance(reply, Lost) else answers.refusal_of(reply)
        told = f"{self._url} gave no answer to {request.method} {request.path}: "
        told += reply.reason if isinstance(reply, Lost) else refusal.problem.detail if refusal else str(reply.status)
        told += "; whether it was done is not known." if unsure else "."
        return Unavailable(told, refusal, may_be_stored=unsure)


def _path(job: JobRef, action: str = "") -> str:
    return f"/jobs/{quote(id_of(job), safe='')}{action}"


def _if_match(version: int | None) -> Mapping[str, str]:
    return {} if version is None else {"If-Match": f'"v{version}"'}


def texts(value: Any) -> str | list[str]:
    """Return one value of a filter, or several, as the query has them."""
    if isinstance(value, JobRef):
        return id_of(value)
    if isinstance(value, Mapping):
        return [f"{name}={text}" for name, text in value.items()]
    return [str(one) for one in value]
