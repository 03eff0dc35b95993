"""Row 13, the event feed: what listeners with bad lines, stuck ones and several nodes make of it, on real sockets."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import trio

from tests.feed_clients import Closed, EventSource, Message, WebSocket, connect, open_websocket, read_page
from tests.processes import TickrProcess
from tests.servers import Redis
from tests.tcp_table import ESTABLISHED, servers_end
from tests.waiting import eventually

pytestmark = pytest.mark.slow

APP = "tests.features.feed_jobs:jobs"
AT_ONCE_S = 0.5
"""Within which the bell brings an event to another node's listeners; half of the poll that is its net."""
WITHOUT_BELL_S = 1.5
DROPPED_WITHIN_S = 10.0
LISTENERS = 1_000
BYTES_EACH = 1024 * 1024
GOING_AWAY, CUT = 1001, 1006
BULKY_JOBS = 40
"""Of 200,000 bytes each: more than all buffers on the way hold."""


def post(url: str, **job: Any) -> str:
    """Submit a job that only waits, unless it says otherwise: one event and no more."""
    answer = httpx2.post(f"{url}/jobs", json={"type": "quick", "delay": 3600, **job})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def caught_up(client: WebSocket) -> None:
    while (await client.receive()).kind != "caught_up":
        pass


# -- from one node to another -----------------------------------------------------------------------------------------


async def delays_s(client: WebSocket, url: str, count: int) -> list[float]:
    """Return how long ``count`` events that are made at ``url``, one after the other, take to ``client``.

    An event's time is of the store's clock, which here is this machine's.
    """
    found = []
    for _ in range(count):
        job_id = await trio.to_thread.run_sync(partial(post, url))
        _, event = await client.until_event("created")
        assert event.subject == job_id
        found.append(time.time() - datetime.fromisoformat(event.time).timestamp())
    return found


async def test_event_feed_an_event_of_one_node_is_heard_at_another(mysql_url: str, redis_server: Redis) -> None:
    """At once by the bell; within 1.5 s while Redis is dead or frozen; and at once again."""
    node = partial(TickrProcess, store=mysql_url, index=redis_server.url, app=APP)
    with node() as here, node() as there:
        async with open_websocket(there.port) as client:
            await caught_up(client)
            # Each is made just after the last was heard, so one that only the poll brings would take about a second.
            assert sorted(await delays_s(client, here.url, 5))[2] < AT_ONCE_S
            redis_server.kill()
            assert max(await delays_s(client, here.url, 3)) <= WITHOUT_BELL_S
            redis_server.start()

            async def heard_at_once() -> bool:
                return (await delays_s(client, here.url, 1))[0] < AT_ONCE_S / 2

            await eventually(heard_at_once)
            redis_server.stop()
            assert max(await delays_s(client, here.url, 3)) <= WITHOUT_BELL_S
            redis_server.cont()
            await eventually(heard_at_once)


async def test_event_feed_two_nodes_on_one_sqlite_file(tmp_path: Path) -> None:
    node = partial(TickrProcess, store=f"sqlite:///{tmp_path}/shared.db", app=APP)
    with node() as here, node() as there:
        async with open_websocket(there.port) as client:
            await caught_up(client)
            assert max(await delays_s(client, here.url, 3)) <= WITHOUT_BELL_S
            assert max(await delays_s(client, there.url, 3)) < AT_ONCE_S  # its own


# -- the only node dies -----------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite+heap", "mysql+redis"])
def process(request: pytest.FixtureRequest) -> Iterator[TickrProcess]:
    embedded = request.param == "sqlite+heap"
    with TickrProcess(
        store=None if embedded else request.getfixturevalue("mysql_url"),
        index=None if embedded else request.getfixturevalue("redis_url"),
        app=APP,
    ) as started:
        yield started


async def all_after(port: int, cursor: str, way: str) -> list[str]:
    """Return the jobs that one way of listening tells of after ``cursor``, up to the end of the log."""
    target = f"/events?after={quote(cursor)}"
    found: list[str] = []
    async with await connect(port) as stream:
        if way == "pages":
            return [event.subject for event in (await read_page(stream, target)).events]
        client: WebSocket | EventSource = WebSocket(stream) if way == "websocket" else EventSource(stream)
        await (client.open(target) if isinstance(client, WebSocket) else client.open("/events", cursor))
        end: Message | None = None
        while end is None or end.kind not in ("caught_up", "bookmark") or not found:
            end = await client.receive()
            found += [event.subject for event in end.events]
    return found


async def test_event_feed_the_only_node_is_killed_between_two_events(process: TickrProcess) -> None:
    async with open_websocket(process.port) as client:
        await caught_up(client)
        first = post(process.url)
        message, event = await client.until_event("created")
        assert event.subject == first
        unheard = post(process.url)
        process.kill()
    process.start()
    after_all = post(process.url)
    for way in ("websocket", "sse", "pages"):
        assert await all_after(process.port, message.cursor, way) == [unheard, after_all], way


# -- 1,000 listeners, one of them stuck -------------------------------------------------------------------------------


class Listeners:
    """Many polite ones with the same filter, and what each of them heard."""

    def __init__(self, port: int, target: str) -> None:
        self._port = port
        self._target = target
        self._connecting = trio.CapacityLimiter(50)
        self._news = trio.Condition()
        self.heard: list[list[str]] = []
        self.close_codes: Counter[int] = Counter()

    async def listen(self, *, task_status: trio.TaskStatus[None]) -> None:
        mine: list[str] = []
        async with self._connecting:
            stream = await connect(self._port)
            client = WebSocket(stream)
            await client.open(self._target)
        async with stream:
            await caught_up(client)
            self.heard.append(mine)
            task_status.started()
            try:
                while True:
                    mine += [event.subject for event in (await client.receive()).events]
                    async with self._news:
                        self._news.notify_all()
            except Closed as closed:
                self.close_codes[closed.code] += 1
            except trio.BrokenResourceError:
                self.close_codes[CUT] += 1

    async def all_heard(self, jobs: list[str]) -> None:
        async with self._news:
            while any(one != jobs for one in self.heard):
                await self._news.wait()


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Room for so many connections, in this process and those it starts."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * LISTENERS:
        pytest.skip(f"a process here may have {hard} descriptors only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Stuck:
    """A listener to everything that never reads. Made by ``get_stuck``."""

    def __init__(self, port: int, stream: trio.SocketStream) -> None:
        self._ends = port, stream.socket.getsockname()[1]

    def is_connected(self) -> bool:
        """Whether the server still holds on to it."""
        return servers_end(*self._ends)[0] == ESTABLISHED


@asynccontextmanager
async def get_stuck(process: TickrProcess) -> AsyncIterator[Stuck]:
    """Connect a stuck listener, and have so much happen that nothing more can be sent to it."""
    async with await connect(process.port, receive_buffer=4096) as stream:
        await WebSocket(stream).open("/events")
        bulky = {"type": "bulky", "payload": {"size": 200_000}, "delay": 0}
        ids = [await trio.to_thread.run_sync(partial(post, process.url, **bulky)) for _ in range(BULKY_JOBS)]

        async def all_ended() -> bool:
            found = await trio.to_thread.run_sync(partial(httpx2.get, f"{process.url}/jobs?type=bulky&limit=200"))
            states = {job["id"]: job["state"] for job in found.json()["items"]}
            return {states.get(job_id) for job_id in ids} == {"succeeded"}

        await eventually(all_ended, within_s=30)
        yield Stuck(process.port, stream)


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("many_descriptors")
async def test_event_feed_one_of_1_000_listeners_is_stuck(mysql_url: str, redis_url: str) -> None:
    """The others hear everything meanwhile, it is dropped, and another stuck one does not hold up the stop."""
    with TickrProcess(store=mysql_url, index=redis_url, app=APP, arguments=("--log-level", "warning")) as process:
        async with open_websocket(process.port) as client:
            await caught_up(client)
        before = resident_bytes(process.pid)
        async with trio.open_nursery() as nursery:
            others = Listeners(process.port, "/events?type=quick")
            async with trio.open_nursery() as connecting:
                for _ in range(LISTENERS - 1):
                    connecting.start_soon(nursery.start, others.listen)
            async with get_stuck(process) as stuck:
                submitted = [post(process.url)]
                await others.all_heard(submitted)

                async def dropped() -> bool:
                    submitted.append(await trio.to_thread.run_sync(partial(post, process.url)))
                    with trio.fail_after(DROPPED_WITHIN_S / 2):
                        await others.all_heard(submitted)
                    return not stuck.is_connected()

                await eventually(dropped, within_s=DROPPED_WITHIN_S)
            assert (resident_bytes(process.pid) - before) / LISTENERS <= BYTES_EACH
            async with get_stuck(process):
                process.terminate()
                assert await trio.to_thread.run_sync(process.wait, DROPPED_WITHIN_S) == 0
        # On a busy machine there may not be the time to say goodbye to all, but no other word is said instead.
        assert others.close_codes.keys() <= {GOING_AWAY, CUT}
