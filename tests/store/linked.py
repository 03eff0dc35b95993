"""Words for jobs that depend on others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from tests.store.backends import end, new_job, put, start
from tickr.jobs import Extras, Job, NewJob, State
from tickr.keys import Wish
from tickr.links import Dependencies, OnFailure
from tickr.links import Sequence as Turn
from tickr.store.contract import LinkPage, LinkPlace, Store

KINDS = {State.SUCCEEDED: "succeeded", State.FAILED: "failed", State.CANCELLED: "cancelled"}


def dependent(*on: str | Job | NewJob, on_failure: str = "fail", **fields: Any) -> NewJob:
    """Return a new job that depends on ``on``."""
    ids = tuple(one if isinstance(one, str) else one.id for one in on)
    extras = fields.pop("extras", {})
    return new_job(extras=Extras(depends_on=Dependencies(ids, OnFailure(on_failure)), **extras), **fields)


async def put_dependent(store: Store, *on: str | Job | NewJob, **fields: Any) -> Job:
    return (await put(store, dependent(*on, **fields)))[0]


def in_turn(name: str = "s", new: NewJob | None = None, **fields: Any) -> NewJob:
    """Return ``new``, or another new job, as the next of a sequence."""
    new = new or new_job(**fields)
    extras = structs.replace(new.extras, sequence=Turn(name))
    return structs.replace(new, extras=extras, wish=structs.replace(new.wish or Wish(), sequence=name))


def child_of(parent: Job, new: NewJob | None = None, *, name: str | None = None, **fields: Any) -> NewJob:
    """Return ``new``, or another new job, as a child of ``parent``."""
    new = new or new_job(**fields)
    extras = structs.replace(new.extras, parent=parent.id, name=name or new.id)
    return structs.replace(new, extras=extras)


async def finish(store: Store, job: Job, state: State = State.SUCCEEDED) -> Job:
    """End a job that waits to be started, as ``state``, and do nothing for those that wait for it."""
    if state is State.CANCELLED:
        return await store.cancel(job.id)
    (running,) = await start(store, job)
    after = await end(store, running, KINDS[state])
    assert after is not None
    return after


async def settle(store: Store, *ended: str | Job) -> list[Job]:
    """Do for those that wait for ``ended`` what is to be done; return the jobs that were moved."""
    ids, moved = {one if isinstance(one, str) else one.id for one in ended}, list[Job]()
    after: str | None = None
    while True:
        jobs, after, *_ = await store.settle_links(ids, after)
        moved += jobs
        if after is None:
            return moved


async def settle_all(store: Store) -> list[Job]:
    """Do so until nothing is left to be done, as the scheduler does."""
    moved: list[Job] = []
    while some := (await look(store)).ended:
        now = await settle(store, *some)
        moved += now
        if not now and (await look(store)).ended == some:
            raise AssertionError(f"nothing can be done for those that wait for {some}")
    return moved


async def look(store: Store, limit: int = 1_000) -> LinkPage:
    """Look at all links, page by page."""
    looked_at, ended = 0, set[str]()
    after: LinkPlace | None = None
    while True:
        page = await store.open_links(limit, after)
        looked_at, after = looked_at + page.looked_at, page.after
        ended.update(page.ended)
        if after is None:
            return LinkPage(looked_at, sorted(ended), None)


async def states(store: Store, *jobs: Job | NewJob) -> list[str]:
    found = {job.id: job.state for job in await store.get_many({job.id for job in jobs})}
    return [found[job.id].value for job in jobs]


def ids(jobs: Sequence[Job | NewJob]) -> list[str]:
    return [job.id for job in jobs]
