"""The page about ends that handlers write, on MariaDB: the rights that it names are enough, and so is its schema."""

from __future__ import annotations

import uuid
from functools import partial
from urllib.parse import urlsplit

import pytest
import trio

from tests.docs.pages import ROOT, blocks, table
from tests.servers import mysql_execute
from tests.store.backends import MysqlBackend, put_running
from tickr.jobs import State
from tickr.store.ended import statement
from tickr.worker.view import MAX_END_BYTES

PAGE = (ROOT / "docs/transactional-end.md").read_text()


@pytest.mark.slow
async def test_the_rights_of_the_page_are_enough(mysql_url: str) -> None:
    at = urlsplit(mysql_url)
    database, user = at.path.strip("/"), f"bank{uuid.uuid4().hex[:8]}"
    (rights,) = [block.text for block in blocks(PAGE) if block.language == "sql"]
    rights = rights.replace("tickr.", f"{database}.").replace("'bank'", f"'{user}'")
    theirs = f"mysql://{user}:secret@{at.hostname}:{at.port}/"
    execute = partial(trio.to_thread.run_sync, mysql_execute)
    async with MysqlBackend(mysql_url).open() as store:
        try:
            await execute(mysql_url, rights)
            job = await put_running(store)
            sql, parameters = statement("mysql", job, '"paid"', database)
            text = sql % tuple(f"'{one}'" for one in parameters)
            await execute(theirs, f"START TRANSACTION; {text}; COMMIT")
            await store.deregister("n1")
            (after,) = await store.reap(10)
            assert (after.state, after.result) == (State.SUCCEEDED, '"paid"')
            with pytest.raises(OSError, match="running_since"):
                await execute(theirs, text)
        finally:
            await execute(mysql_url, f"DROP USER IF EXISTS '{user}'@'%'")


def test_the_limit_is_that_of_the_program() -> None:
    limits = {row[0]: row[1] for row in table(PAGE, "what", "limit")}
    assert limits["`result`"].startswith(f"{MAX_END_BYTES // 2**20} MiB")
