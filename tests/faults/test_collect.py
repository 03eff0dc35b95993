"""The whole way: real nodes, one of them killed, and a history that the checker finds nothing wrong with."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uuid_utils

from tests.faults import collect, ledger
from tests.faults.checker import check
from tests.faults.history import Fault, History, StoredEvent, StoredJob, Submission
from tests.processes import TickrProcess
from tests.servers import mysql_execute
from tests.waiting import eventually

LEASE_S = 3.0
WORKERS = 4
FINAL = {"succeeded", "failed", "cancelled"}
KINDS: list[tuple[str, int, dict[str, Any], tuple[str, ...]]] = [
    ("quick", 5, {}, ("succeeded",)),
    ("flaky", 2, {}, ("succeeded",)),
    ("broken", 2, {}, ("failed",)),
    ("thread", 2, {"seconds": 0.1}, ("succeeded",)),
    ("slow", 6, {"seconds": 0.7}, ("succeeded",)),
]
"""type, how many, more payload, where it ends."""


class Client:
    """Submits, and keeps what was answered."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url)
        self.submissions: list[Submission] = []

    def submit(self, type_: str, ends: tuple[str, ...] = ("succeeded",), delay: float = 0.0, **payload: Any) -> None:
        number, asked_at = len(self.submissions) + 1, ledger.now_us()
        body = {"id": str(uuid_utils.uuid7()), "type": type_, "payload": {"number": number, **payload}, "delay": delay}
        answer = self._http.post("/jobs", json=body)
        assert answer.status_code == 201, answer.text
        run_at = asked_at + round(delay * 1e6) if delay else None
        self.submissions.append(
            Submission(str(body["id"]), number, type_, asked_at, ledger.now_us(), "ok", run_at, ends=ends)
        )

    def submit_all(self) -> None:
        for type_, count, payload, ends in KINDS:
            for _ in range(count):
                self.submit(type_, ends, **payload)
        self.submit("quick", delay=0.8)

    async def until_final(self) -> None:
        async def final() -> bool:
            states = {self._http.get(f"/jobs/{one.id}").json()["state"] for one in self.submissions}
            return states <= FINAL

        await eventually(final, within_s=30)

    def close(self) -> None:
        self._http.close()


async def run(node: TickrProcess, path: Path) -> tuple[Client, Fault]:
    """Submit a few jobs of each kind, kill the node while some of them run, start it again and wait for them."""
    with closing(Client(node.url)) as client:
        client.submit_all()

        slow = {one.id for one in client.submissions if one.type == "slow"}

        async def busy() -> bool:
            """Whether a slow one has started just now, so that it still runs when the kill comes."""
            starts = [one.at for one in ledger.read(path) if one.what == "start" and one.job in slow]
            return bool(starts) and ledger.now_us() - max(starts) < 300_000

        await eventually(busy)
        began, pid = ledger.now_us(), node.pid
        node.kill()
        fault = Fault("kill", "node", began, ledger.now_us(), pid)
        node.start()
        await client.until_final()
    return client, fault


def judge(client: Client, fault: Fault, path: Path, stored: tuple[list[StoredJob], list[StoredEvent]]) -> History:
    history = History(
        submissions=client.submissions,
        marks=ledger.read(path),
        jobs=stored[0],
        events=stored[1],
        faults=[fault],
        lease_s=LEASE_S,
        workers=WORKERS,
        ended=ledger.now_us(),
    )
    verdict = check(history)
    assert not verdict.violations, verdict.told()
    table = verdict.table
    assert (table.submitted, table.stored, table.succeeded, table.failed, table.kills) == (18, 18, 16, 2, 1)
    assert table.attempts >= 18 + 2 + 2 + 1  # flaky and broken ones twice; and at least one was cut
    assert 0 < table.longest_recovery_s < 17
    return history


@pytest.mark.slow
async def test_a_node_on_sqlite_is_killed_and_nothing_is_wrong(tmp_path: Path) -> None:
    path, store = tmp_path / "ledger", tmp_path / "tickr.db"
    settings: dict[str, Any] = {"workers": WORKERS, "arguments": ["--lease", f"{LEASE_S:g}"]}
    variables = {ledger.VARIABLE: str(path)}
    url = f"sqlite:///{store}"
    with TickrProcess(store=url, app="tests.faults.ledger:jobs", variables=variables, **settings) as node:
        client, fault = await run(node, path)
    history = judge(client, fault, path, collect.from_sqlite(store))
    # What is not there is not found:
    lost = client.submissions[0].id.replace("-", "")
    with closing(sqlite3.connect(store)) as db, db:
        db.execute("DELETE FROM jobs WHERE hex(id) = upper(?)", (lost,))
    jobs, events = collect.from_sqlite(store)
    assert events == history.events
    assert [one.id.replace("-", "") for one in history.jobs if one not in jobs] == [lost]


async def test_a_node_on_mysql_and_redis_is_killed_and_nothing_is_wrong(
    tmp_path: Path, mysql_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger"
    settings: dict[str, Any] = {"workers": WORKERS, "arguments": ["--lease", f"{LEASE_S:g}"]}
    variables = {ledger.VARIABLE: str(path)}
    with TickrProcess(
        store=mysql_url, index=redis_url, app="tests.faults.ledger:jobs", variables=variables, **settings
    ) as node:
        client, fault = await run(node, path)
    stored = collect.from_mysql(mysql_url)
    judge(client, fault, path, stored)
    # By pages, and by numbers of our own where nobody has given any:
    monkeypatch.setattr(collect, "JOBS_AT_ONCE", 9)
    monkeypatch.setattr(collect, "EVENT_ROWS_AT_ONCE", 30)
    assert collect.from_mysql(mysql_url) == stored
    mysql_execute(mysql_url, "UPDATE events SET seq = NULL WHERE seq > 4")
    assert collect.from_mysql(mysql_url) == stored
    with pytest.raises(collect.Unnumbered, match="rows of events have no number"):
        collect.from_mysql(mysql_url, all_numbered=True)
    mysql_execute(mysql_url, "UPDATE events SET count = count + 1 WHERE id = 1")
    with pytest.raises(ValueError, match="of events says"):
        collect.from_mysql(mysql_url)


def test_of_the_last_line_a_reader_may_see_a_part(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    assert ledger.read(path) == []
    line = b'{"job":"a","number":1,"fence":1,"attempt":1,"what":"start","at":5,"pid":7}\n'
    path.write_bytes(line[:20])
    assert ledger.read(path) == []
    path.write_bytes(line + line[:-1])
    assert [mark.job for mark in ledger.read(path)] == ["a"]
