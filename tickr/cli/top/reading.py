"""What ``tickr top`` reads: one list as far as it is on the screen, or everything about one row. Blocks."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Raw

from tickr.cli.patience import OUTCOMES
from tickr.cli.remote import PAGE, Remote
from tickr.cli.remote_nodes import RemoteNodes
from tickr.cli.remote_schedules import RemoteSchedules
from tickr.cli.top import filters
from tickr.cli.top.model import Page, View, Wanted, Whole

TICKS = 10
"""Next ticks of a schedule that is looked at."""


class Found(NamedTuple):
    """What was read and, of lists, the JSON that each row came as."""

    what: Page | Whole
    raw: list[bytes]


def read(remote: Remote, wanted: Wanted) -> Found:
    """Return what is ``wanted``. Raises: Exit: it was refused, or nobody answers."""
    if wanted.one is not None:
        return Found(_whole(remote, wanted.view, wanted.one), [])
    limit = min(wanted.limit, PAGE)
    if wanted.view is View.QUEUES:
        queues = remote.queues()
        return Found(Page(tuple(queue for queue, _ in queues)), [raw for _, raw in queues])
    if wanted.view is View.JOBS:
        query = ({"state": list(wanted.states)} if wanted.states else {}) | filters.query(wanted.filter)
        jobs, more = remote.job_page(query, limit=limit, cursor=wanted.cursor)
        return Found(Page(tuple(one.job for one in jobs), more), [one.raw for one in jobs])
    if wanted.view is View.NODES:
        fleet = RemoteNodes(remote).all()
        rows = tuple(one.node for one in fleet.nodes)
        return Found(Page(rows, here=fleet.here), [one.raw for one in fleet.nodes])
    schedules, more = RemoteSchedules(remote).page(wanted.cursor, limit=limit)
    return Found(Page(tuple(one.schedule for one in schedules), more), [one.raw for one in schedules])


def _whole(remote: Remote, view: View, name: str) -> Whole:
    if view is View.NODES:
        return Whole(RemoteNodes(remote).get(name).node)
    if view is View.SCHEDULES:
        return Whole(RemoteSchedules(remote).get(name, TICKS).schedule)
    if view is View.QUEUES:
        return Whole(remote.queue(name)[0])
    job = remote.job(name).job
    attempts, _ = remote.attempts(name)
    waits = job.state not in OUTCOMES and job.state != "running"
    return Whole(job, tuple(attempts), remote.explained(name)[0] if waits else None)


def document(url: str, view: View, found: Found) -> bytes:
    """Return a list as one line of JSON for programs."""
    assert isinstance(found.what, Page)
    items = [Raw(raw) for raw in found.raw]
    return msgspec.json.encode({"url": url, "view": view, "items": items, "next_cursor": found.what.more})
