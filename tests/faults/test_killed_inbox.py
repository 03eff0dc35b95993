"""Two nodes on one database, and ``kill -9`` between the submission of rows and their end: each row is one job."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import httpx2
import pytest
import trio

from tests.faults.inserting import Row, inbox_of, insert, row
from tests.processes import TickrProcess
from tests.waiting import eventually
from tickr.failpoints import VARIABLE

pytestmark = pytest.mark.slow

POINT = "inbox.after_submit"
TRANSACTIONS, ROWS = 8, 15


def node_on(store: str, **variables: str) -> TickrProcess:
    arguments = ["--log-level", "warning"]
    return TickrProcess(store=store, index="heap:", roles="api", arguments=arguments, variables=variables)


async def in_thread(call: Callable[[], object]) -> None:
    await trio.to_thread.run_sync(call)


async def insert_more(store: str, wanted: list[Row]) -> None:
    """Commit several transactions, one after the other."""
    for _ in range(TRANSACTIONS):
        rows = [row(type="quick", payload={"n": len(wanted) + n}, priority=n % 3) for n in range(ROWS)]
        await in_thread(partial(insert, store, rows))
        wanted += rows


async def stored_ids(node: TickrProcess) -> list[str]:
    found: list[str] = []
    cursor = ""
    async with httpx2.AsyncClient(base_url=node.url, trust_env=False) as http:
        while True:
            page = (await http.get("/jobs", params={"limit": "200", **({"cursor": cursor} if cursor else {})})).json()
            found += [job["id"] for job in page["items"]]
            cursor = page["next_cursor"]
            if not cursor:
                return found


async def test_each_row_is_one_job_whoever_is_killed(store_url: str) -> None:
    """The victim stops where its rows are jobs, and still rows; the other takes them over, and it is shot there."""
    wanted: list[Row] = []
    with ExitStack() as stack:
        victim, other = node_on(store_url, **{VARIABLE: f"{POINT}=hang"}), node_on(store_url)
        for node in (victim, other):
            stack.callback(node.close)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_thread, victim.start)
            await in_thread(other.start)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(insert_more, store_url, wanted)

            async def hangs() -> bool:
                if not wanted:
                    return False
                await in_thread(partial(insert, store_url, [late := row(type="quick")]))
                wanted.append(late)
                return f"failpoint {POINT}: hang\n" in victim.log

            await eventually(hangs, within_s=30)
            await in_thread(victim.kill)
        victim.variables = {}
        await in_thread(victim.start)
        await insert_more(store_url, wanted)

        async def all_taken() -> bool:
            return not await trio.to_thread.run_sync(inbox_of, store_url)

        await eventually(all_taken, within_s=30)
        assert sorted(await stored_ids(other)) == sorted(one.id for one in wanted)


async def test_rows_whose_jobs_are_there_are_the_same_jobs(store_url: str) -> None:
    """Alone: it dies of ``kill -9`` with every row a job, and every row still there."""
    rows = [row(type="quick", payload={"n": n}) for n in range(ROWS)]
    with ExitStack() as stack:
        node = node_on(store_url, **{VARIABLE: f"{POINT}=hang"})
        stack.callback(node.close)
        await in_thread(node.start)
        await in_thread(partial(insert, store_url, rows))

        async def hangs() -> bool:
            return f"failpoint {POINT}: hang\n" in node.log

        await eventually(hangs, within_s=30)
        assert sorted(await stored_ids(node)) == sorted(one.id for one in rows)
        assert await trio.to_thread.run_sync(inbox_of, store_url) == [one.id for one in rows]
        await in_thread(node.kill)
        node.variables = {}
        await in_thread(node.start)
        async with httpx2.AsyncClient(base_url=node.url, trust_env=False, timeout=30) as http:
            assert (await http.post("/inbox")).status_code == 200
        assert await trio.to_thread.run_sync(inbox_of, store_url) == []
        assert sorted(await stored_ids(node)) == sorted(one.id for one in rows)
