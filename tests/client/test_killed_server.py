"""A server is killed and comes back in the middle of thousands of submissions: each is stored once, and told so."""

from __future__ import annotations

import signal
import sqlite3
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import pytest

from tests.client.conftest import PATIENCE_S, TIMEOUT_S
from tests.client.javascript import lines
from tests.processes import TickrProcess
from tests.servers import mysql_execute
from tickr.client import AsyncClient, Client, Event, Submitted
from tickr.failpoints import VARIABLE

JOBS = 3000
CALLERS = 100
DEATHS = ("intake.after_commit=kill@2", "api.before_answer=kill@3")
"""Where the server's first lives end: jobs are stored, and who submitted them was not told."""
HOUR_S = 3600.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT_S)]


class Acknowledged:
    """What was acknowledged, under the number of the submission."""

    def __init__(self) -> None:
        self.by_number: dict[int, str] = {}
        self._changed = threading.Condition()

    def note(self, number: int, job_id: str) -> None:
        with self._changed:
            assert number not in self.by_number
            self.by_number[number] = job_id
            self._changed.notify_all()

    def wait_for(self, jobs: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.by_number) >= jobs, PATIENCE_S)


def by_threads(url: str, acknowledged: Acknowledged) -> None:
    with Client(url, total_s=PATIENCE_S) as client:
        numbers = iter(range(JOBS))
        lock = threading.Lock()

        def call() -> None:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                acknowledged.note(number, client.submit("later", {"n": number}, delay=HOUR_S).id)

        threads = [threading.Thread(target=call) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def by_tasks(backend: str, url: str, acknowledged: Acknowledged) -> None:
    async def main() -> None:
        async with AsyncClient(url, total_s=PATIENCE_S) as client, anyio.create_task_group() as tasks:
            numbers = iter(range(JOBS))

            async def call() -> None:
                for number in numbers:
                    acknowledged.note(number, (await client.submit("later", {"n": number}, delay=HOUR_S)).id)

            for _ in range(CALLERS):
                tasks.start_soon(call)

    anyio.run(main, backend=backend)


def by_one_call(url: str, acknowledged: Acknowledged) -> None:
    with Client(url, total_s=PATIENCE_S) as client:
        for begin in range(0, JOBS, 500):
            numbers = range(begin, begin + 500)
            jobs = ({"type": "later", "payload": {"n": number}, "delay": HOUR_S} for number in numbers)
            for number, stored in zip(numbers, client.submit_many(jobs), strict=True):
                assert isinstance(stored, Submitted)
                acknowledged.note(number, stored.id)


def by_javascript(url: str, acknowledged: Acknowledged) -> None:
    for line in lines("crowd.mjs", url, JOBS, CALLERS, HOUR_S, PATIENCE_S):
        number, job_id = line.split()
        acknowledged.note(int(number), job_id)


CALLS = {
    "threads": by_threads,
    "trio": partial(by_tasks, "trio"),
    "asyncio": partial(by_tasks, "asyncio"),
    "many": by_one_call,
    "javascript": by_javascript,
}


def rows(store: str) -> list[str]:
    """Return the ids of all jobs in the store."""
    if store.startswith("sqlite:///"):
        with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as database:
            return [row[0] for row in database.execute("SELECT lower(hex(id)) FROM jobs")]
    return [row[0] for row in mysql_execute(store, "SELECT LOWER(HEX(id)) FROM jobs")]


@pytest.mark.parametrize(
    ("store", "calls"),
    [("sqlite", "threads"), ("sqlite", "trio"), ("sqlite", "many"), ("sqlite", "javascript"), ("mysql", "asyncio")],
)
def test_each_of_thousands_is_stored_once(
    store: str, calls: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/tickr.db" if store == "sqlite" else request.getfixturevalue("mysql_url")
    acknowledged = Acknowledged()
    failures: list[BaseException] = []

    def submit() -> None:
        try:
            CALLS[calls](process.url, acknowledged)
        except BaseException as error:
            failures.append(error)

    with TickrProcess(store=url, index="heap:", variables={VARIABLE: DEATHS[0]}) as process:
        thread = threading.Thread(target=submit)
        thread.start()
        for death in (*DEATHS[1:], ""):
            assert process.wait(PATIENCE_S) == -signal.SIGKILL
            process.variables[VARIABLE] = death
            process.start()
        acknowledged.wait_for(JOBS // 2)
        process.kill()  # and once at any moment
        process.start()
        thread.join(PATIENCE_S)
        assert failures == []
        assert len(acknowledged.by_number) == JOBS
        stored = rows(url)
        assert len(stored) == JOBS
        assert set(stored) == {job_id.replace("-", "") for job_id in acknowledged.by_number.values()}
        with Client(process.url) as client:
            assert {job.payload["n"]: job.id for job in client.list()} == acknowledged.by_number


@pytest.mark.parametrize("backend", ["threads", "trio", "asyncio", "javascript"])
def test_events_go_on_where_they_were_when_the_server_comes_back(backend: str, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/tickr.db"
    heard: list[str] = []
    changed = threading.Condition()

    def note(job_id: str) -> None:
        with changed:
            heard.append(job_id)
            changed.notify_all()

    def hear(event: Event) -> bool:
        """Note ``event``; return whether it was the last."""
        note(event.job.id)
        return event.job.type == "last"

    def listen() -> None:
        if backend == "javascript":
            return listen_in_javascript()
        if backend != "threads":
            return anyio.run(listen_async, backend=backend)
        with Client(process.url) as client, client.events(event="created") as events:
            opened.set()
            next(event for event in events if hear(event))
        return None

    def listen_in_javascript() -> None:
        for line in lines("listener.mjs", process.url):
            if line == "open":
                opened.set()
            else:
                note(line)

    async def listen_async() -> None:
        async with AsyncClient(process.url) as client, client.events(event="created") as events:
            opened.set()
            async for event in events:
                if hear(event):
                    assert events.cursor == event.cursor
                    return

    opened = threading.Event()
    with TickrProcess(store=store, index="heap:") as process, Client(process.url) as client:
        client.submit("before", delay=HOUR_S)
        thread = threading.Thread(target=listen)
        thread.start()
        assert opened.wait(PATIENCE_S)
        ids = []
        for kill in range(2):
            ids += [one.id for one in client.submit_many({"type": "t", "delay": HOUR_S} for _ in range(20))]
            with changed:
                assert changed.wait_for(lambda kill=kill: len(heard) > 20 * kill, PATIENCE_S)  # type: ignore[misc]
            process.kill()
            process.start()
        ids.append(client.submit("last", delay=HOUR_S).id)
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        assert heard == ids
