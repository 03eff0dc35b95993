"""The SQL on the page about the inbox, on MariaDB: what is committed becomes jobs, what is rolled back does not."""

from __future__ import annotations

import uuid

import pytest
import trio

from tests.docs.pages import ROOT, blocks, table
from tests.features.conftest import Client, node
from tests.servers import mysql_execute
from tests.waiting import eventually
from tickr.api.inbox import BATCH, MAX_REASON
from tickr.config import Config
from tickr.intake import MAX_BATCH_BYTES

PAGE = (ROOT / "docs/transactional-submission.md").read_text()


@pytest.mark.slow
async def test_the_sql_of_the_page_makes_the_jobs_it_speaks_of(mysql_url: str) -> None:
    database, user = mysql_url.rpartition("/")[2], f"shop{uuid.uuid4().hex[:8]}"
    found = [block.text for block in blocks(PAGE) if block.language == "sql"]
    assert len(found) == 4
    async with node(store=mysql_url) as client:
        try:
            for text in found:
                sql = text.replace("tickr.inbox", f"{database}.inbox").replace("'shop'", f"'{user}'")
                await trio.to_thread.run_sync(mysql_execute, mysql_url, sql)
            assert (await client.http.post("/inbox")).status_code == 200
            await eventually(lambda: all_done(client, mysql_url))
        finally:
            await trio.to_thread.run_sync(mysql_execute, mysql_url, f"DROP USER IF EXISTS '{user}'@'%'")


async def all_done(client: Client, mysql_url: str) -> bool:
    jobs = (await client.http.get("/jobs")).json()["items"]
    titles = {job["payload"]["title"]: job["priority"] for job in jobs}
    wanted = {"Order 1", "Hello Grace", "Hello Edsger", "Paid by Ada"}
    assert titles.keys() <= wanted
    assert len(jobs) == len(titles), "each once"
    assert not await trio.to_thread.run_sync(mysql_execute, mysql_url, "SELECT reason FROM inbox WHERE reason <> ''")
    return (
        titles.keys() == wanted
        and {titles["Hello Grace"], titles["Hello Edsger"]} == {3}
        and all(job["state"] == "succeeded" for job in jobs)
    )


def test_the_limits_are_those_of_the_program() -> None:
    most = Config().max_body
    assert {row[0]: row[1] for row in table(PAGE, "what", "at most")} == {
        "one row's `job`": f"`--max-body`, {most // 2**20} MiB, as for `POST /jobs`; longer ones are refused unread",
        "rows in one look's transaction": f"{BATCH}, together about {MAX_BATCH_BYTES // 2**20} MiB",
        "reason that is kept": f"{MAX_REASON:,} characters",
    }
