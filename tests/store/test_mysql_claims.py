"""Claims and outcomes on MySQL: where their values go in the row, and whose clock they are stamped by."""

from __future__ import annotations

import uuid

from tests.servers import mysql_execute
from tests.store.backends import SECOND, join, new_job, put, start
from tickr.reports import Outcome
from tickr.store.mysql import open_mysql


async def test_a_claim_and_an_outcome_find_their_places_in_the_row(mysql_url: str) -> None:
    """Rows that grow move, and full pages with them; so a new job has something where its attempt's values come."""
    places = "SELECT LENGTH(node), started_at IS NULL, finished_at IS NULL FROM jobs"
    async with open_mysql(mysql_url) as store:
        (job,) = await put(store, new_job())
        assert (job.node, job.started_at, job.finished_at) == (None, None, None)
        assert await store.get(job.id) == job
        assert mysql_execute(mysql_url, places) == [["36", "0", "0"]]
        (running,) = await start(store, job, node=str(uuid.uuid4()))
        assert running.finished_at is None
        assert await store.get(job.id) == running
        assert mysql_execute(mysql_url, places) == [["36", "0", "0"]]
        (done,) = await store.finish([Outcome(job=running, kind="succeeded")])
        assert await store.get(job.id) == done


async def test_the_clock_is_told_by_claims_and_moved_only_where_it_must_be_wrong(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store:
        (first, second) = await put(store, new_job(), new_job())
        await join(store, "n1")
        for job, wrong_by in ((first, -3600 * SECOND), (second, 3600 * SECOND)):
            right = store.now_us()
            store._clock._offset_us += wrong_by
            (running,) = await store.claim([job.id], node="n1", types=["mail"])
            assert running.started_at is not None
            assert abs(running.started_at - right) < SECOND
            assert abs(store.now_us() - running.started_at) < SECOND
        store._clock._offset_us -= 3600 * SECOND
        (done,) = await store.finish([Outcome(job=running, kind="succeeded")])
        assert done is not None
        assert done.finished_at == running.started_at, "by an estimate that is behind nothing ends before it began"
