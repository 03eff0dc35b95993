"""One job each for the callers, batches on the wire: what a server sees of many callers at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest

from tests.client.faces import face
from tests.client.standin import Standin, say
from tickr.client import AsyncClient, Client, ClientError, Closed, Invalid, Submitted
from tickr.client.line import FLIGHTS, MAX_BATCH, MAX_BATCH_BYTES

BACKENDS = ("trio", "asyncio")
Answer = Submitted | ClientError


@contextmanager
def callers(client: Client, payloads: list[Any]) -> Iterator[list[Answer]]:
    """Submit each of ``payloads`` in a thread of its own; at the end all have their answers."""
    answers: list[Answer] = []

    def call(payload: Any) -> None:
        try:
            answers.append(client.submit(payload if isinstance(payload, str) else "a", payload))
        except ClientError as error:
            answers.append(error)

    threads = [threading.Thread(target=call, args=(payload,)) for payload in payloads]
    for thread in threads:
        thread.start()
    yield answers
    for thread in threads:
        thread.join(30)


def in_line(client: Client, jobs: int) -> Callable[[], bool]:
    return lambda: len(client._submission._line) == jobs


def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Return once ``condition`` holds; a fact in threads that nothing announces."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_a_lone_job_goes_alone_in_one_round_trip(face_name: str) -> None:
    with Standin() as server, face(face_name, server.url) as client:
        for number in range(3):
            client.submit("a", {"n": number})
        assert server.paths() == ["/jobs"] * 3
        assert {one.connection for one in server.seen} == {1}


def test_what_threads_submit_while_requests_are_on_the_way_goes_together() -> None:
    with Standin() as server, Client(server.url) as client:
        server.gate.clear()
        with callers(client, [{}] * (FLIGHTS + 100)) as answers:
            until(in_line(client, FLIGHTS + 100))
            server.wait_for(FLIGHTS)
            server.gate.set()
        assert [len(one.jobs) for one in server.seen[:FLIGHTS]] == [1] * FLIGHTS
        assert len(server.seen) <= 2 * FLIGHTS
        assert sum(len(one.jobs) for one in server.seen) == FLIGHTS + 100
        assert {one.id for one in answers if isinstance(one, Submitted)} == set(server.stored)
        assert server.most == FLIGHTS


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_tasks_submit_at_once_goes_together(backend: str) -> None:
    with Standin() as server:

        async def main() -> None:
            async with AsyncClient(server.url) as client, anyio.create_task_group() as tasks:
                for _ in range(MAX_BATCH + 500):
                    tasks.start_soon(client.submit, "a")

        anyio.run(main, backend=backend)
        assert len(server.stored) == len(server.arrivals) == MAX_BATCH + 500
        assert sorted(len(one.jobs) for one in server.seen) == [500, MAX_BATCH]


def test_batches_are_bounded_in_bytes() -> None:
    large = "x" * (MAX_BATCH_BYTES // 3)
    with Standin() as server, Client(server.url) as client:
        answers = client.submit_many({"type": "a", "payload": large} for _ in range(7))
        assert all(isinstance(one, Submitted) for one in answers)
        assert [len(one.jobs) for one in server.seen] == [2, 2, 2, 1]


def test_one_bad_job_spoils_no_other() -> None:
    jobs = [{"type": "wrong" if index in (3, 40) else "a"} for index in range(100)]
    with Standin() as server, Client(server.url) as client:
        answers = client.submit_many(jobs)
        assert [index for index, one in enumerate(answers) if isinstance(one, Invalid)] == [3, 40]
        assert len(server.seen) == 1


def test_a_job_that_spoils_its_whole_batch_is_found_and_only_it_refused() -> None:
    def spoiled(server: Standin, seen: Any) -> Any:
        server.script.append(spoiled)
        if any(job["type"] == "poison" for job in seen.jobs):
            return say(400, "invalid_json")(server, seen)
        return server.store(seen)

    jobs = [{"type": "poison" if index == 700 else "a"} for index in range(1000)]
    with Standin(spoiled) as server, Client(server.url) as client:
        answers = client.submit_many(jobs)
        assert [(index, one.code) for index, one in enumerate(answers) if isinstance(one, ClientError)] == [
            (700, "invalid_json")
        ]
        assert len(server.seen) <= 25
        assert len(server.stored) == 999


def test_the_order_of_many_is_that_of_the_wire() -> None:
    with Standin() as server, Client(server.url) as client:
        client.submit_many({"type": "a", "payload": index} for index in range(3500))
        assert [job["payload"] for one in server.seen for job in one.jobs] == list(range(3500))


def test_a_call_keeps_to_its_share_of_the_line() -> None:
    read = 0

    def jobs() -> Iterator[dict[str, Any]]:
        nonlocal read
        for index in range(5000):
            read = index + 1
            yield {"type": "a"}

    with Standin() as server, Client(server.url) as client:
        server.gate.clear()
        thread = threading.Thread(target=client.submit_many, args=(jobs(),))
        thread.start()
        server.wait_for(1)
        assert read <= 2000
        server.gate.set()
        thread.join(30)
        assert len(server.stored) == 5000


def test_who_still_waits_when_the_client_is_closed_is_told_so() -> None:
    with Standin() as server:
        client = Client(server.url)
        server.gate.clear()
        with callers(client, [{}] * (FLIGHTS + 5)) as answers:
            until(in_line(client, FLIGHTS + 5))
            server.wait_for(FLIGHTS)
            client.close()
            server.gate.set()
        assert len(answers) == FLIGHTS + 5
        assert all(isinstance(one, Closed) for one in answers)
        assert sum(one.may_be_stored for one in answers if isinstance(one, Closed)) == FLIGHTS
        with pytest.raises(Closed, match="was not stored"):
            client.submit("a")
        with pytest.raises(Closed):
            client.get("x")


# -- cancellation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cancelled_carrier_leaves_the_others_their_answers(backend: str) -> None:
    with Standin() as server:

        async def main() -> None:
            stored: list[str] = []
            async with AsyncClient(server.url) as client, anyio.create_task_group() as tasks:

                async def submit() -> None:
                    stored.append((await client.submit("a", id=None)).id)

                server.gate.clear()
                with anyio.CancelScope() as first:
                    async with anyio.create_task_group() as cut:
                        cut.start_soon(client.submit, "carrier")
                        await anyio.lowlevel.checkpoint()
                        for _ in range(20):
                            tasks.start_soon(submit)
                        await anyio.to_thread.run_sync(server.wait_for, 1)
                        first.cancel()
                server.gate.set()
            assert first.cancelled_caught
            assert len(set(stored)) == 20
            assert set(stored) <= set(server.stored)
            assert len(client._submission._line) == 0

        anyio.run(main, backend=backend)
        # The batch that its carrier left went again, under the same ids.
        assert len(server.stored) <= 21


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_job_cancelled_in_the_line_is_never_sent(backend: str) -> None:
    with Standin() as server:

        async def main() -> None:
            async with AsyncClient(server.url) as client, anyio.create_task_group() as tasks:
                server.gate.clear()
                for sent in range(1, FLIGHTS + 1):
                    tasks.start_soon(client.submit, "a")
                    await anyio.to_thread.run_sync(server.wait_for, sent)
                with anyio.move_on_after(0):
                    await client.submit("cancelled")
                assert len(client._submission._line) == FLIGHTS
                server.gate.set()

        anyio.run(main, backend=backend)
        assert sorted(job["type"] for job in server.stored.values()) == ["a"] * FLIGHTS
