"""``GET /jobs/<id>/tree``: a job with all that its handler, and theirs, have submitted, and how each of them stands.

Comes in: an id. Goes out: a tree of short records, read from the store level by level. It is no snapshot: jobs move on
while it is read, so a parent may be shown as it was a moment before its children.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec
from quart import Response, request

from tickr.api import incoming, wire
from tickr.api.context import Context
from tickr.api.wire import ErrorDocument
from tickr.errors import JobNotFound
from tickr.jobs import Job, State
from tickr.links import MAX_CHILDREN
from tickr.scopes import Scope
from tickr.store.contract import MAX_BATCH, Store

if TYPE_CHECKING:
    from tickr.api.app import Edge

MAX_JOBS = 2 * MAX_CHILDREN
MAX_DEPTH = 50
"""So many jobs of a tree are shown, and so many levels; with more than that it says that it is not ``complete``."""


class TreeDocument(msgspec.Struct, frozen=True):
    """One job of a tree. ``depends_on``: ids; ``children`` in the order in which they were submitted."""

    id: str
    name: str | None
    type: str
    state: State
    attempt: int
    run_at: str | None
    started_at: str | None
    finished_at: str | None
    error: ErrorDocument | None
    depends_on: tuple[str, ...]
    children: list[TreeDocument]


class Tree(msgspec.Struct, frozen=True):
    """The whole. ``parent``: of the job that was asked for; its tree is a part of that one's."""

    tree: TreeDocument
    parent: str | None
    complete: bool


def add_routes(app: Edge, context: Context) -> None:
    async def tree(job_id: str) -> Response:
        incoming.known_query(request)
        name = incoming.job_id(job_id)
        root = await context.store.get(name)
        if root is None:
            raise JobNotFound(name)
        found, complete = await _below(context.store, root)
        shown = Tree(_document(root, found, context.store.now_us()), root.extras.parent, complete)
        return wire.json_response(wire.encode(shown))

    app.add_call("GET", "/jobs/<job_id>/tree", "tree", tree, Scope.JOBS_READ)


async def _below(store: Store, root: Job) -> tuple[dict[str, list[Job]], bool]:
    """Return the children of all jobs below ``root``, by parent, and whether they are all there are."""
    found: dict[str, list[Job]] = {}
    level, count = [root], 1
    for _ in range(MAX_DEPTH):
        born = await _children(store, [job.id for job in level], MAX_JOBS - count + 1)
        level = born[: MAX_JOBS - count]
        count += len(level)
        for job in level:
            found.setdefault(job.extras.parent or "", []).append(job)
        if len(level) < len(born) or not level:
            return found, not born
    return found, not await _children(store, [job.id for job in level], 1)


async def _children(store: Store, parents: list[str], limit: int) -> list[Job]:
    """Return the first ``limit`` children of ``parents``."""
    born: list[Job] = []
    for start in range(0, len(parents), MAX_BATCH):
        if len(born) < limit:
            born += await store.children(parents[start : start + MAX_BATCH], limit - len(born))
    return born


def _document(job: Job, found: Mapping[str, Iterable[Job]], now: int) -> TreeDocument:
    after, error = job.extras.depends_on, job.error
    return TreeDocument(
        id=job.id,
        name=job.extras.name,
        type=job.type,
        state=job.state_at(now),
        attempt=job.attempt,
        run_at=wire.instant(job.run_at),
        started_at=wire.instant(job.started_at),
        finished_at=wire.instant(job.finished_at),
        error=None if error is None else ErrorDocument(error.kind, error.message, None),
        depends_on=() if after is None else after.jobs,
        children=[_document(child, found, now) for child in found.get(job.id, ())],
    )
