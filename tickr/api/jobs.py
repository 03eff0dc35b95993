"""The calls about jobs: submit, look, list, change, delete, cancel, retry.

Changes go through the intake and are answered only once they are durable; reads go straight to the store. The job
document, its ETag and its state are shown as they are at the store's own clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
import structlog
import trio
from msgspec import Meta
from quart import Response, request

from tickr.api import edit_request, incoming, keys, listing, lives, submission, waits, wire
from tickr.api.call import Answer, Call
from tickr.api.context import Context
from tickr.api.explain import no_node
from tickr.api.parameters import DECRYPT, flag
from tickr.api.problems import Fault, invalid, store_unavailable
from tickr.api.waits import WAIT, Look, Wish
from tickr.edits import NO_EDIT
from tickr.envelopes import name_of
from tickr.errors import JobNotFound, StoreUnavailable
from tickr.intake import Stored
from tickr.jobs import FINAL, WAITING, Job, NewJob, State
from tickr.packing import full_size
from tickr.scopes import Scope
from tickr.store.contract import Node

if TYPE_CHECKING:
    from tickr.api.app import Edge

Value = TypeVar("Value")

log = structlog.get_logger("tickr.api")

PAGE_BYTES = 8 * 1024 * 1024
"""A page of jobs ends early once its payloads and results are this large together, in bytes of text."""

ANSWERED_WITHIN_S = 1.85
"""From a change's arrival to its answer, in seconds: time in the line and for the store together. Then it is a 503."""


UNKEPT = {"Cache-Control": "no-store"}
"""For answers with what is encrypted in the store: no cache shall keep what the store does not."""

MAX_REASON_LENGTH = 500
"""Characters of the reason for a cancellation."""


REASON_LINE = r"\A *[^\x00-\x20\x7f][^\x00-\x1f\x7f]*\Z"


class Cancellation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a cancellation, if there is one."""

    reason: Annotated[str, Meta(max_length=MAX_REASON_LENGTH, pattern=REASON_LINE)] | None = None


CANCELLATION_RULES = {"reason": f"must be a line of text, 1 to {MAX_REASON_LENGTH} characters"}

SHOW_QUERY = (WAIT, DECRYPT)
CANCEL = flag("cancel", "Cancel the job first, if it waits.")


def add_routes(app: Edge, context: Context) -> None:
    routes = _Jobs(app, context)
    app.add_direct_call("/jobs", "submit", routes.submit, Scope.JOBS_WRITE)
    app.add_call("GET", "/jobs", "list", routes.page, Scope.JOBS_READ)
    app.add_call("GET", "/jobs/<job_id>", "show", routes.show, Scope.JOBS_READ)
    app.add_call("PATCH", "/jobs/<job_id>", "edit", routes.edit, Scope.JOBS_WRITE)
    app.add_call("DELETE", "/jobs/<job_id>", "delete", routes.delete, Scope.JOBS_WRITE)
    app.add_call("GET", "/jobs/<job_id>/attempts", "attempts", routes.attempts, Scope.JOBS_READ)
    app.add_call("POST", "/jobs/<job_id>/cancel", "cancel", routes.cancel, Scope.JOBS_WRITE)
    app.add_call("POST", "/jobs/<job_id>/retry", "retry", routes.retry, Scope.JOBS_WRITE)


async def submit(context: Context, new: NewJob) -> Stored:
    """Hand ``new`` to the intake. Raises: what the intake raises; a Problem that names the job if the store is away."""
    try:
        return await context.intake.submit(new, within_s=ANSWERED_WITHIN_S)
    except StoreUnavailable as error:
        raise store_unavailable(error, submitted=new) from error


class _Jobs:
    def __init__(self, app: Edge, context: Context) -> None:
        self._app = app
        self._context = context
        self._intake = context.intake
        self._store = context.store

    async def submit(self, call: Call) -> Answer:
        request_ = keys.request_of(call, self._context.config.idempotency_keep)
        body = incoming.json_body(call)
        trace = incoming.trace(call.headers)
        new = submission.read(body, now=self._store.now_us(), defaults=self._context.defaults, trace=trace)
        answer = await submit(self._context, new if request_ is None else keys.under(request_, new))
        job, created = answer
        headers = {"location": f"/jobs/{job.id}"}
        if created:
            return self._told(job, 201, headers)
        told = keys.outcome(answer)
        return self._told(job, told.status, headers | told.headers(), shown_at=keys.shown_at(answer))

    async def show(self, job_id: str) -> Response:
        incoming.known_query(request, SHOW_QUERY)
        name, wait_s, opened = incoming.job_id(job_id), waits.wished_wait(request), incoming.wishes_decrypted(request)
        job, nodes = await self._awaited(name, wait_s) if wait_s else Look(await self._store.get(name))
        if job is None:
            raise JobNotFound(name)
        etag = wire.etag(job, self._store.now_us())
        if incoming.has_already(request, etag):
            return wire.empty_response(304, {"ETag": etag})
        notice = await self._notice(job, nodes)
        if not opened:
            return self._answer(job, notice=notice)
        return wire.response(self._told(self._open(job), 200, UNKEPT, notice))

    def _open(self, job: Job) -> Job:
        """Return ``job`` with all of it readable, and leave a trace of that. Raises: CannotOpen."""
        if job.extras.sealed is None:
            return job
        opened = self._context.vault.open_job(job)
        log.info("job.decrypted", job=job.id, type=job.type, key=name_of(job.extras.sealed))
        return opened

    async def _awaited(self, name: str, wait_s: float) -> Look:
        """Return the job when it has ended or, with If-None-Match, is another; after ``wait_s`` seconds as it is."""
        now, known = self._store.now_us, "If-None-Match" in request.headers

        def done(job: Job) -> bool:
            return not incoming.has_already(request, wire.etag(job, now())) if known else job.state in FINAL

        def due(job: Job) -> int | None:
            return job.run_at if known and job.state_at(now()) is State.SCHEDULED else None

        wish = Wish(name, trio.current_time() + wait_s, done, due)
        return await self._app.at_rest(partial(self._app.waits.until, wish))

    async def page(self) -> Response:
        query = listing.read_query(request)
        # Before the rows: whoever goes on from here in the feed misses nothing that happens meanwhile.
        feed_cursor = await self._context.feed.cursor()
        if query.unique is not None:
            holder = await self._store.holder(query.unique)
            found, after = [] if holder is None else [holder], None
        else:
            found, after = await self._store.list_jobs(query.which, limit=query.limit, before=query.before)
        jobs = _fitting(found)
        if len(jobs) < len(found):
            after = jobs[-1].created_at, jobs[-1].id
        now = self._store.now_us()
        body = wire.JobPage(
            [wire.job_document(job, now) for job in jobs],
            None if after is None else listing.cursor_of(after, query.which),
            feed_cursor,
        )
        return wire.json_response(wire.encode(body))

    async def attempts(self, job_id: str) -> Response:
        incoming.known_query(request, (DECRYPT,))
        name, opened = incoming.job_id(job_id), incoming.wishes_decrypted(request)
        attempts = await self._store.attempts(name)
        job = await self._store.get(name)  # afterwards, so that it knows of every life that one of these is of
        if job is None:
            raise JobNotFound(name)
        if opened and any(one.error and one.error.sealed for one in attempts):
            attempts = [self._context.vault.open_attempt(one, name) for one in attempts]
            log.info("job.decrypted", job=name)
        told = wire.encode(lives.history(attempts, job.extras.redrives))
        return wire.json_response(told, headers=UNKEPT if opened else None)

    async def cancel(self, job_id: str) -> Response:
        incoming.known_query(request)
        name = incoming.job_id(job_id)
        said = await incoming.optional_body(request, Cancellation, CANCELLATION_RULES)
        version = incoming.wished_version(request)
        job = await in_time(self._intake.cancel(name, version=version, reason=said.reason))
        return self._answer(job, 202 if job.state is State.RUNNING or job.closing else 200)

    async def edit(self, job_id: str) -> Response:
        incoming.known_query(request)
        name = incoming.job_id(job_id)
        said = await incoming.optional_json(request)
        if said is None:
            raise invalid([Fault("", "must say what is to be different")])
        edit = edit_request.read(said, now=self._store.now_us())
        return self._answer(await in_time(self._intake.edit(name, edit, version=incoming.wished_version(request))))

    async def delete(self, job_id: str) -> Response:
        incoming.known_query(request, (CANCEL,))
        name, cancel = incoming.job_id(job_id), incoming.wished(request, CANCEL)
        version = incoming.wished_version(request)
        await incoming.no_body(request)
        await in_time(self._intake.delete(name, version=version, cancel=cancel))
        return wire.empty_response(204, {})

    async def retry(self, job_id: str) -> Response:
        incoming.known_query(request)
        name = incoming.job_id(job_id)
        said = await incoming.optional_json(request)
        edit = NO_EDIT if said is None else edit_request.read(said, now=self._store.now_us())
        job = await in_time(self._intake.retry(name, version=incoming.wished_version(request), edit=edit))
        return self._answer(job)

    def _told(
        self,
        job: Job,
        status: int,
        headers: Mapping[str, str] | None = None,
        notice: str | None = None,
        *,
        shown_at: int | None = None,
    ) -> Answer:
        now = self._store.now_us() if shown_at is None else shown_at
        body = wire.encode(wire.job_document(job, now, notice))
        return wire.answer(body, status, {"etag": wire.etag(job, now), **(headers or {})})

    def _answer(self, job: Job, status: int = 200, notice: str | None = None) -> Response:
        return wire.response(self._told(job, status, notice=notice))

    async def _notice(self, job: Job, nodes: Sequence[Node] | None) -> str | None:
        """Return what keeps a waiting job from running that its owner may not know, or None.

        Args:
          nodes: those that live; None: to be asked for.
        """
        if job.state not in WAITING:
            return None
        reason = no_node(job, await self._store.nodes() if nodes is None else nodes)
        return reason.detail if reason else None


async def in_time(change: Awaitable[Value]) -> Value:
    """Return what ``change`` does. Raises: StoreUnavailable: also when it takes too long; it may stand all the same."""
    with trio.move_on_after(ANSWERED_WITHIN_S):
        return await change
    raise StoreUnavailable(f"The store did not answer within {ANSWERED_WITHIN_S} s.", outcome_unknown=True)


def _fitting(jobs: list[Job]) -> list[Job]:
    """Return the first of ``jobs``, at least one, that make a page of bearable size."""
    size = 0
    for count, job in enumerate(jobs):
        size += full_size(job.payload) + full_size(job.result or "")
        if size > PAGE_BYTES and count:
            return jobs[:count]
    return jobs
