"""The calls about jobs: submit, look, list, cancel, retry.

Changes go through the intake and are answered only once they are durable; reads go straight to the store. The job
document, its ETag and its state are shown as they are at the store's own clock.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING

import trio
from quart import Response, request

from tickr.api import incoming, listing, submission, wire
from tickr.api.call import Answer, Call
from tickr.api.context import Context
from tickr.api.problems import store_unavailable
from tickr.errors import JobNotFound, StoreUnavailable
from tickr.jobs import WAITING, Job, NewJob, State

if TYPE_CHECKING:
    from tickr.api.app import Edge

PAGE_BYTES = 8 * 1024 * 1024
"""A page of jobs ends early once its payloads and results are this large together, in bytes of text."""

ANSWERED_WITHIN_S = 1.85
"""From a change's arrival to its answer, in seconds: time in the line and for the store together. Then it is a 503."""


def add_routes(app: Edge, context: Context) -> None:
    routes = _Jobs(context)
    app.add_direct_rule("/jobs", "submit", routes.submit)
    app.add_url_rule("/jobs", "list", routes.page, methods=["GET"])
    app.add_url_rule("/jobs/<job_id>", "show", routes.show, methods=["GET"])
    app.add_url_rule("/jobs/<job_id>/attempts", "attempts", routes.attempts, methods=["GET"])
    app.add_url_rule("/jobs/<job_id>/cancel", "cancel", routes.cancel, methods=["POST"])
    app.add_url_rule("/jobs/<job_id>/retry", "retry", routes.retry, methods=["POST"])


async def submit(context: Context, new: NewJob) -> tuple[Job, bool]:
    """Hand ``new`` to the intake. Raises: what the intake raises; a Problem that names the job if the store is away."""
    try:
        return await context.intake.submit(new, within_s=ANSWERED_WITHIN_S)
    except StoreUnavailable as error:
        raise store_unavailable(error, submitted=new.id) from error


class _Jobs:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._intake = context.intake
        self._store = context.store

    async def submit(self, call: Call) -> Answer:
        incoming.no_idempotency_key(call)
        body = incoming.json_body(call)
        new = submission.read(body, now=self._store.now_us(), defaults=self._context.defaults)
        job, created = await submit(self._context, new)
        headers = {"location": f"/jobs/{job.id}"}
        if not created:
            headers["idempotent-replayed"] = "true"
        return self._told(job, 201 if created else 200, headers)

    async def show(self, job_id: str) -> Response:
        incoming.known_query(request)
        job = await self._store.get(incoming.job_id(job_id))
        if job is None:
            raise JobNotFound(job_id.lower())
        etag = wire.etag(job, self._store.now_us())
        if incoming.has_already(request, etag):
            return wire.empty_response(304, {"ETag": etag})
        return self._answer(job, notice=await self._notice(job))

    async def page(self) -> Response:
        query = listing.read_query(request)
        # Before the rows: whoever goes on from here in the feed misses nothing that happens meanwhile.
        feed_cursor = await self._context.feed.cursor()
        found, after = await self._store.list_jobs(query.which, limit=query.limit, before=query.before)
        jobs = _fitting(found)
        if len(jobs) < len(found):
            after = jobs[-1].created_at, jobs[-1].id
        now = self._store.now_us()
        body = wire.Page(
            [wire.job_document(job, now) for job in jobs],
            None if after is None else listing.cursor_of(after, query.which),
            feed_cursor,
        )
        return wire.json_response(wire.encode(body))

    async def attempts(self, job_id: str) -> Response:
        incoming.known_query(request)
        attempts = await self._store.attempts(incoming.job_id(job_id))
        return wire.json_response(wire.items(map(wire.attempt_document, attempts)))

    async def cancel(self, job_id: str) -> Response:
        name = await self._named(job_id)
        job = await _in_time(self._intake.cancel(name, version=incoming.wished_version(request)))
        return self._answer(job, 202 if job.state is State.RUNNING else 200)

    async def retry(self, job_id: str) -> Response:
        name = await self._named(job_id)
        job = await _in_time(self._intake.retry(name, version=incoming.wished_version(request)))
        return self._answer(job)

    async def _named(self, job_id: str) -> str:
        incoming.known_query(request)
        name = incoming.job_id(job_id)
        await incoming.no_body(request)
        return name

    def _told(
        self, job: Job, status: int, headers: Mapping[str, str] | None = None, notice: str | None = None
    ) -> Answer:
        now = self._store.now_us()
        body = wire.encode(wire.job_document(job, now, notice))
        return wire.answer(body, status, {"etag": wire.etag(job, now), **(headers or {})})

    def _answer(self, job: Job, status: int = 200, notice: str | None = None) -> Response:
        return wire.response(self._told(job, status, notice=notice))

    async def _notice(self, job: Job) -> str | None:
        """Return what keeps a waiting job from running that its owner may not know, or None."""
        if job.state not in WAITING:
            return None
        types = {name for node in await self._store.nodes() for name in node.types}
        if job.type in types:
            return None
        close = difflib.get_close_matches(job.type, types, n=1)
        hint = f' Did you mean "{close[0]}"?' if close else ""
        return f'No live node handles the type "{job.type}"; the job waits until one does.{hint}'


async def _in_time(change: Awaitable[Job]) -> Job:
    """Return what ``change`` does. Raises: StoreUnavailable: also when it takes too long; it may stand all the same."""
    with trio.move_on_after(ANSWERED_WITHIN_S):
        return await change
    raise StoreUnavailable(f"The store did not answer within {ANSWERED_WITHIN_S} s.", outcome_unknown=True)


def _fitting(jobs: list[Job]) -> list[Job]:
    """Return the first of ``jobs``, at least one, that make a page of bearable size."""
    size = 0
    for count, job in enumerate(jobs):
        size += len(job.payload) + len(job.result or "")
        if size > PAGE_BYTES and count:
            return jobs[:count]
    return jobs
