"""What may be asked of a server beside submitting: each call as steps, with its tries and their pauses.

Reading may always be repeated, and so may ``cancel``, for a job is cancelled only once. ``retry`` may not: where its
answer is lost, the job may run again already, even be done, and a second one would run it once more. So it is repeated
only where it surely was not done; and so is what is said of one version, which its own first try has moved on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from threading import BoundedSemaphore
from types import NoneType
from typing import Any, TypeVar

from tickr.client import answers, bodies
from tickr.client.errors import NotFinal, Unavailable, found_here
from tickr.client.operation_records import Count, History
from tickr.client.paths import path
from tickr.client.pauses import LEAST_TRY_S, Pauses, retry_after_s
from tickr.client.records import Broadcast, Job, JobPage, JobRef, Log, LogLine, Tree, id_of
from tickr.client.steps import JSON, Lost, Reply, Request, Steps, pause, send
from tickr.client.submission import ANSWER_S

Record = TypeVar("Record")

WAIT_S = 20.0
"""How long one request has the server wait for a job, in seconds; what lies in between may end one that is longer."""
WAITS = 50
"""Requests that wait at once, of one client: half of its connections stay for everything else."""
FIRST_LOOK_S = 0.05
"""Beyond these a job is looked at: pause after the first look, in seconds; each after it is half as long again …"""
LOOK_S = 3.0
"""… up to this."""
LINES = 500
"""Lines of a log on a page; the server takes no more."""
PAGE = 200
"""Jobs on a page; the server takes no more."""


class Calls:
    """``url``, ``total_s`` and ``now`` as in ``Submission``."""

    def __init__(self, url: str, *, total_s: float, now: Callable[[], float]) -> None:
        self._url = url
        self._total_s = total_s
        self.now = now
        self._places = BoundedSemaphore(WAITS)

    def get(self, job: JobRef, decrypt: bool = False) -> Steps[Job]:
        return self.asked(_look(job, decrypt), Job)

    def log(self, job: JobRef, after: str | None, attempt: int | None, decrypt: bool) -> Steps[Log]:
        """Ask for all of it, page by page."""
        query = {"limit": str(LINES), **({"attempt": str(attempt)} if attempt else {})}
        query |= {"decrypt": "true"} if decrypt else {}
        found: list[LogLine] = []
        while True:
            asked = Request("GET", _path(job, "/log"), query=query | ({"after": after} if after else {}))
            page = yield from self.asked(asked, Log)
            found, after = [*found, *page.items], page.cursor
            if not page.more:
                return Log(found, page.cursor)

    def tree(self, job: JobRef) -> Steps[Tree]:
        return self.asked(Request("GET", _path(job, "/tree")), Tree)

    def broadcast(self, wish: Mapping[str, Any]) -> Steps[Broadcast]:
        """``wish``: what ``bodies.write`` takes; its id makes it safe to repeat."""
        return self.asked(Request("POST", "/broadcasts", bodies.write(wish).text, headers=JSON), Broadcast)

    def cancel(self, job: JobRef, version: int | None, reason: str | None) -> Steps[Job]:
        headers = if_match(version)
        body = None if reason is None else bodies.encoded({"reason": reason})
        if body is not None:
            headers = {**headers, **JSON}
        request = Request("POST", _path(job, "/cancel"), body, headers=headers)
        return self.asked(request, Job, repeatable=version is None)

    def edit(self, job: JobRef, version: int | None, changes: Mapping[str, Any]) -> Steps[Job]:
        body = bodies.encoded(bodies.changes(changes))
        return self.asked(
            Request("PATCH", _path(job), body, headers={**JSON, **if_match(version)}), Job, repeatable=version is None
        )

    def delete(self, job: JobRef, version: int | None, cancel: bool) -> Steps[None]:
        query = {"cancel": "true"} if cancel else {}
        request = Request("DELETE", _path(job), query=query, headers=if_match(version))
        return self.asked(request, NoneType, repeatable=False)

    def retry(self, job: JobRef, version: int | None, changes: Mapping[str, Any]) -> Steps[Job]:
        body = bodies.encoded(bodies.changes(changes)) if changes else None
        headers = if_match(version) if body is None else {**JSON, **if_match(version)}
        return self.asked(Request("POST", _path(job, "/retry"), body, headers=headers), Job, repeatable=False)

    def attempts(self, job: JobRef) -> Steps[History]:
        return self.asked(Request("GET", _path(job, "/attempts")), History)

    def dead_letters(self, filters: Mapping[str, Any]) -> Steps[Count]:
        return self.asked(Request("GET", "/dead-letters", query=searched(filters)), Count)

    def page(self, filters: Mapping[str, Any], limit: int | None, cursor: str | None) -> Steps[JobPage]:
        """Ask for one page of a list of which ``limit`` jobs are still wanted (None: all)."""
        query = {**searched(filters), "limit": str(PAGE if limit is None else min(limit, PAGE))}
        return self.asked(Request("GET", "/jobs", query=query | ({"cursor": cursor} if cursor else {})), JobPage)

    def wait(self, job: JobRef, timeout_s: float | None, decrypt: bool = False) -> Steps[Job]:
        """Have the server answer when the job has ended, again and again. Raises: NotFinal, ClientError.

        Where many wait already it is looked at from time to time instead, as every such request has a connection.
        """
        over = math.inf if timeout_s is None else self.now() + timeout_s
        look_s = FIRST_LOOK_S
        while True:
            asked_at, long = self.now(), self._places.acquire(blocking=False)
            try:
                seen = yield from self.asked(_look(job, decrypt), Job, until=over if long else None)
            finally:
                if long:
                    self._places.release()
            if seen.final:
                return seen
            if (now := self.now()) >= over:
                raise NotFinal(seen)
            if now - asked_at < min(WAIT_S, over - asked_at):  # it was not waited for: a look, or the server stops
                yield from pause(min(look_s, over - now))
                look_s = min(1.5 * look_s, LOOK_S)

    def asked(
        self, request: Request, kind: type[Record], *, repeatable: bool = True, until: float | None = None
    ) -> Steps[Record]:
        """Ask until there is an answer that is not "later".

        Args:
          until: have the server wait for the job, up to then and no longer than ``WAIT_S``; None: not at all. Where
            that is lost, the next try only looks: one that waits is lost with every end of a server.
        Raises: Refused, Unexpected, Unavailable; ``may_be_stored`` where any of the tries may have done it.
        """
        over, pauses, done = self.now() + self._total_s + self._wait_s(until), Pauses(), False
        while True:
            wait_s = self._wait_s(until)
            one = request._replace(query={**request.query, "wait": f"{wait_s:.3f}"}) if wait_s else request
            reply = yield from send(one, min(ANSWER_S + wait_s, max(0.0, over - self.now())))
            if isinstance(reply, Reply) and reply.status not in answers.AGAIN:
                return answers.read(reply, kind, self._url, done)
            if request.method != "GET":
                done = done or _unsure(reply)
            pauses.failed(self.now(), 0.0 if isinstance(reply, Lost) else retry_after_s(reply.headers))
            until = None
            if pauses.not_before > over - LEAST_TRY_S or (done and not repeatable):
                raise self._no_answer(request, reply, done)
            yield from pause(max(0.0, pauses.not_before - self.now()))

    def _wait_s(self, until: float | None) -> float:
        return 0.0 if until is None else min(WAIT_S, max(0.0, until - self.now()))

    def _no_answer(self, request: Request, reply: Reply | Lost, done: bool) -> Unavailable:
        """``done``: whether it may have been."""
        refusal = None if isinstance(reply, Lost) else answers.refusal_of(reply)
        told = f"{self._url} gave no answer to {request.method} {request.path}: "
        told += reply.reason if isinstance(reply, Lost) else refusal.problem.detail if refusal else str(reply.status)
        told += "; whether it was done is not known." if done else "."
        return Unavailable(told, refusal, may_be_stored=done)


def _unsure(reply: Reply | Lost) -> bool:
    """Whether what was asked for may have been done all the same."""
    if isinstance(reply, Lost):
        return reply.sent
    refusal = answers.refusal_of(reply)
    return refusal is None or answers.unsure(refusal)


def _path(job: JobRef, action: str = "") -> str:
    return path("jobs", id_of(job), action)


def _look(job: JobRef, decrypt: bool) -> Request:
    return Request("GET", _path(job), query={"decrypt": "true"} if decrypt else {})


def if_match(version: int | None) -> Mapping[str, str]:
    return {} if version is None else {"If-Match": f'"v{version}"'}


def searched(filters: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Return filters as the query has them."""
    found = in_words(filters)
    paths: Mapping[str, list[str]] = found.pop("payload", {})
    return found | {f"payload.{path}": values for path, values in paths.items()}


def in_words(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters as a body has them: values as texts."""
    found: dict[str, Any] = {}
    for name, value in filters.items():
        if name == "payload" and value is not None:
            found[name] = {path: [_word(one) for one in _listed(some)] for path, some in value.items()}
        elif value is not None:
            found["payload~" if name == "contains" else name] = texts(value)
    return found


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _word(value: Any) -> str:
    return value if isinstance(value, str) else bodies.encoded(value).decode()


def texts(value: Any) -> str | list[str]:
    """Return one value of a filter, or several, as the query has them."""
    if isinstance(value, JobRef):
        return id_of(value)
    if isinstance(value, Mapping):
        return [f"{name}={text}" for name, text in value.items()]
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise found_here(f"{value} has no time zone; take an aware datetime, like datetime.now(UTC).")
        return value.isoformat()
    if isinstance(value, str | bool):
        return _word(value)
    return [str(one) for one in value]
