"""Encrypted jobs on two nodes, one of which is killed in the middle: all of them end, and nothing is found anywhere.

The nodes have different keys that seal, as in the middle of a change of keys: each runs what the other has sealed.
Afterwards every byte that was written is looked through: the store's, the index's, the feed's and the logs.
"""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
import trio
from click.testing import CliRunner

from tests.faults.paying import HANGS
from tests.processes import TickrProcess
from tests.sealed import SECRET, written
from tests.store.backends import Backend, MysqlBackend, SqliteBackend
from tests.waiting import eventually
from tickr.cli import main

pytestmark = pytest.mark.slow

PAYLOAD = {"card": SECRET}
WRONG = ("pay_later", "pay_nothing", "pay_nonsense")


@pytest.fixture(params=["sqlite", "mysql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "mysql":
        return MysqlBackend(request.getfixturevalue("mysql_url"))
    return SqliteBackend(tmp_path / "tickr.db")


def forms() -> list[bytes]:
    """Return the secret as it might be met: in clear, in hexadecimal, in base64 wherever it stands, and hashed."""
    raw = SECRET.encode()
    whole = json.dumps(PAYLOAD, separators=(",", ":")).encode()
    found = [raw, raw.hex().encode(), hashlib.sha256(whole).digest(), hashlib.sha256(whole).hexdigest().encode()]
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + raw + b"\0" * 3)
        found.append(coded[4:-8] if before else coded[:-8])
    return found


async def test_nothing_is_lost_and_nothing_is_readable(kept: Backend, redis_url: str) -> None:
    old, new = written("old")[0], written("new")[0]
    nodes = [node_on(kept.url, redis_url, keys) for keys in (f"{old},{new}", f"{new},{old}")]
    first, second = nodes
    first.variables[HANGS] = "yes"
    with ExitStack() as stack:
        await started(stack, first)
        hanging = [await submitted(first, "hang") for _ in range(3)]
        for job_id in hanging:
            await until_it_runs(first, job_id)
        await started(stack, second)
        ids = [await submitted(node, "pay") for _ in range(4) for node in nodes]
        index = dumped(redis_url)
        first.kill()
        wrong = [await ended(second, await submitted(second, type)) for type in WRONG]
        assert {job["error"]["message"] for job in wrong} == {"(encrypted)"}
        jobs = [await ended(second, job_id) for job_id in [*hanging, *ids]]
        assert {job["state"] for job in jobs} == {"succeeded"}
        assert [job["crashes"] for job in jobs[:3]] == [1, 1, 1]
        assert {one["encryption_key"] for one in jobs} == {"old", "new"}
        opened = [await asked(second, f"/jobs/{job['id']}", decrypt="true") for job in jobs]
        assert all(SECRET in job["result"].popitem()[1] and job["payload"] == PAYLOAD for job in opened)
        feed = await asked(second, "/events", after="earliest", limit="1000")
        shown = json.dumps([feed, jobs, wrong, await asked(second, "/jobs")])

        told = await trio.to_thread.run_sync(reencrypted, kept.url, f"{new},{old}")
        assert "no job and no schedule needs it any more" in told
        jobs = [await asked(second, f"/jobs/{job['id']}") for job in jobs]
        assert {one["encryption_key"] for one in jobs} == {"new"}
        second.terminate()
        await trio.to_thread.run_sync(second.wait)
        logs = b"".join(node.log_path.read_bytes() for node in nodes)
        places = {"store": kept.bytes(None), "index": index + dumped(redis_url), "feed": shown.encode(), "logs": logs}
    assert all(event in logs for event in (b"job.retrying", b"job.failed", b"job.backoff_failed", b"job.decrypted"))
    for place, found in places.items():
        for form in forms():
            assert form not in found, f"{form!r} in the {place}"
    assert b"tickr1:new." in places["store"], "it was looked at where envelopes are"


def node_on(store: str, index: str, keys: str) -> TickrProcess:
    return TickrProcess(
        store=store,
        index=index,
        workers=8,
        app="tests.faults.paying:jobs",
        arguments=["--lease", "1", "--log-level", "debug"],
        variables={"TICKR_ENCRYPTION_KEYS": keys},
    )


async def started(stack: ExitStack, node: TickrProcess) -> None:
    await trio.to_thread.run_sync(stack.enter_context, node)


async def asked(node: TickrProcess, path: str, **query: str) -> Any:
    async with httpx2.AsyncClient(base_url=node.url, trust_env=False) as http:
        answer = await http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


async def submitted(node: TickrProcess, type: str) -> str:
    async with httpx2.AsyncClient(base_url=node.url, trust_env=False) as http:
        again = {"kind": "constant", "base": 0}
        answer = await http.post("/jobs", json={"type": type, "payload": PAYLOAD, "backoff": again})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


async def until_it_runs(node: TickrProcess, job_id: str) -> None:
    """Return once the job runs, and has said so."""

    async def look() -> bool:
        job = await asked(node, f"/jobs/{job_id}")
        return bool(job["progress"])

    await eventually(look)


async def ended(node: TickrProcess, job_id: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        job: dict[str, Any] = await asked(node, f"/jobs/{job_id}")
        return job if job["state"] in ("succeeded", "failed", "cancelled") else None

    return await eventually(look)


def reencrypted(store: str, keys: str) -> str:
    done = CliRunner().invoke(main, ["keys", "reencrypt", "--store", store], env={"TICKR_ENCRYPTION_KEYS": keys})
    assert done.exit_code == 0, done.output
    return done.output


def dumped(url: str) -> bytes:
    """Return everything that the index has."""
    with redis.Redis.from_url(url.partition("?")[0]) as client:
        return b"".join(client.dump(key) or b"" for key in client.scan_iter())
