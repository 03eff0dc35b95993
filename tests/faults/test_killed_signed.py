"""A node that signs and compresses is killed; one that only runs what is signed, and compresses nothing, goes on.

Somebody writes into the database meanwhile. With real processes.
"""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.faults.test_killed_encrypted import asked, ended, started, until_it_runs
from tests.processes import TickrProcess
from tests.sealed import written

LARGE = {"card": "4111-1111 and so on, " * 1000}

pytestmark = pytest.mark.slow


def node_on(store: str, keys: str, *arguments: str, **variables: str) -> TickrProcess:
    return TickrProcess(
        store=store,
        index="heap:",
        workers=8,
        app="tests.faults.paying:jobs",
        arguments=["--lease", "1", *arguments],
        variables={"TICKR_SIGNING_KEYS": keys, **variables},
    )


async def submitted(node: TickrProcess, type: str) -> str:
    async with httpx2.AsyncClient(base_url=node.url, trust_env=False) as http:
        answer = await http.post(
            "/jobs", json={"type": type, "payload": LARGE, "backoff": {"kind": "constant", "base": 0}}
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


def smuggle(path: Path, like: str) -> str:
    """Write a job into the database that is ``like`` another, signature and all, but for its id."""
    forged = uuid.uuid4()
    with closing(sqlite3.connect(path, timeout=20)) as database, database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(jobs)") if row[1] != "id"]
        names = ", ".join(columns)
        database.execute(
            f"INSERT INTO jobs (id, {names}) SELECT ?, {names} FROM jobs WHERE id = ?",
            (forged.bytes, uuid.UUID(like).bytes),
        )
        database.execute("UPDATE jobs SET state = 1, node = NULL WHERE id = ?", (forged.bytes,))
    return str(forged)


async def test_what_was_signed_goes_on_and_what_was_smuggled_in_does_not(tmp_path: Path) -> None:
    path = tmp_path / "tickr.db"
    old, new = written("old", "new")
    first = node_on(f"sqlite:///{path}", old, "--compress-above", "1KiB", HANGS="yes")
    second = node_on(f"sqlite:///{path}", f"{new},{old}", "--signed-only")
    with ExitStack() as stack:
        await started(stack, first)
        hanging = await submitted(first, "hang")
        await until_it_runs(first, hanging)
        first.kill()
        forged = smuggle(path, hanging)
        await started(stack, second)
        jobs: list[dict[str, Any]] = [await ended(second, one) for one in (hanging, await submitted(second, "pay"))]
        assert [one["state"] for one in jobs] == ["succeeded", "succeeded"]
        assert jobs[0]["crashes"] == 1
        assert jobs[0]["payload"] == LARGE
        assert jobs[0]["result"] == {"let go of": LARGE["card"]}
        refused = await ended(second, forged)
        assert (refused["state"], refused["error"]["kind"]) == ("failed", "bad_signature")
        assert refused["payload"] == LARGE
        attempts = (await asked(second, f"/jobs/{forged}/attempts"))["items"]
        assert [one["outcome"] for one in attempts] == ["failed"], "it was tried once"
    with closing(sqlite3.connect(path)) as database:
        kept = dict(database.execute("SELECT hex(id), payload FROM jobs"))
    assert kept[uuid.UUID(hanging).hex.upper()].startswith("tickrz:")
