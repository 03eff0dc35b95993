"""Threads, processes and sockets in virtual time: trio's own autojump sees everybody waiting, and runs away with it.

What is waited for here is real: threads that another thread lets go after a moment.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import tickr
from tests.testing_kit.handlers import jobs
from tickr.testing import App, Unfinished, run, running, virtual_time

MOMENT_S = 0.1
"""Long enough, in real seconds, for a clock that jumps to jump by years."""


class Gate:
    """Holds threads up until it is opened: after a moment, or at the end of the test."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.passed = 0

    def open_in_a_moment(self) -> None:
        threading.Timer(MOMENT_S, self._open.set).start()

    def pass_through(self) -> str:
        assert self._open.wait(20)
        self.passed += 1
        return "through"

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open()


def handlers(type: str, function: Callable[..., Any], **options: Any) -> tickr.Jobs:
    made = tickr.Jobs()
    made.handler(type, **options)(function)
    return made


async def test_plain_autojump_does_run_away(autojump_clock: MockClock, gate: Gate) -> None:
    """Why all this is needed: should trio count threads one day, this fails, and much here can go."""
    gate.open_in_a_moment()
    with trio.move_on_after(3600):
        await trio.to_thread.run_sync(gate.pass_through, abandon_on_cancel=True)
    assert trio.current_time() == 3600


async def test_a_handler_in_a_thread_takes_no_time(autojump_clock: MockClock, gate: Gate) -> None:
    async with running(handlers("scan", gate.pass_through, timeout=1)) as app:
        job = await app.submit("scan")
        later = await app.submit("scan", delay=0.5)
        gate.open_in_a_moment()
        assert await app.result(job) == "through"
        assert app.job(job).finished_at == app.job(job).started_at
        assert app.job(later).state == "scheduled"
        await app.drained()


async def test_what_is_due_at_the_end_of_a_span_has_been_done_in_threads_too(
    autojump_clock: MockClock, gate: Gate
) -> None:
    async with running(handlers("scan", gate.pass_through, timeout=1)) as app:
        job = await app.submit("scan", delay=60)
        gate.open_in_a_moment()
        await app.advance(60)
        assert app.job(job).state == "succeeded"


async def test_a_thread_of_an_async_handler_takes_no_time(autojump_clock: MockClock, gate: Gate) -> None:
    async def scan() -> str:
        return await trio.to_thread.run_sync(gate.pass_through)

    async with running(handlers("scan", scan, timeout=1, max_attempts=1)) as app:
        gate.open_in_a_moment()
        assert await app.result(await app.submit("scan")) == "through"
        assert app.now == app.events[0].time


@running(jobs)
async def test_a_thread_of_the_test_takes_no_time(app: App) -> None:
    gate = Gate()
    await app.submit("double", {"number": 1}, delay=1)
    began = app.now
    gate.open_in_a_moment()
    await trio.to_thread.run_sync(gate.pass_through)
    assert app.now == began
    assert app.jobs()[0].state == "scheduled"


async def test_a_thread_that_takes_long_takes_its_time(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """So that its time-out comes, and the thread hears of it, as in earnest."""
    monkeypatch.setattr(virtual_time, "SLOW_S", 0.5)
    heard = threading.Event()

    def dig() -> None:
        try:
            while not heard.wait(0.01):
                trio.from_thread.check_cancelled()
        except trio.Cancelled:
            heard.set()
            raise

    async with running(handlers("dig", dig, timeout=0.5, max_attempts=1)) as app:
        job = await app.submit("dig")
        await app.drained()
        assert heard.is_set()
        assert app.job(job).error.kind == "timeout"
        assert timedelta(seconds=0.5) <= app.now - app.job(job).created_at < timedelta(seconds=5)
        await app.advance(3600)  # and then it jumps again


async def test_a_handler_in_a_thread_is_cancelled(autojump_clock: MockClock) -> None:
    began = trio.Event()

    def dig() -> None:
        trio.from_thread.run_sync(began.set)
        while True:
            trio.from_thread.check_cancelled()

    async with running(handlers("dig", dig)) as app:
        job = await app.submit("dig")
        await began.wait()
        await app.cancel(job)
        await app.drained()
        assert app.job(job).timeline == (
            "created 00:00:00, started 00:00:00, cancelled 00:00:00 (cancelled: Cancelled on request.)"
        )


async def test_what_a_thread_says_is_heard(autojump_clock: MockClock) -> None:
    def print_out(job: tickr.Job) -> None:
        job.log("warming up")
        job.progress(1.0, "done")

    async with running(handlers("print", print_out)) as app:
        job = await app.submit("print")
        await app.idle()
        assert [event.message for event in app.job(job).events if event.what in ("log", "progress")] == [
            "warming up",
            "done",
        ]


def test_a_thread_that_does_not_end_is_named(gate: Gate) -> None:
    async def scenario(app: App) -> None:
        await app.submit("scan")
        await app.submit("scan", delay=3600)
        threading.Timer(2, gate.open).start()  # or the end of the test would wait for it
        await app.drained()

    with pytest.raises(Unfinished) as raised:
        run(handlers("scan", gate.pass_through), scenario, real_within=1)
    said = str(raised.value)
    assert "a thread does not end" in said
    assert "has been running since 00:00:00, attempt 1 of 3" in said
    assert "in pass_through" in said
    assert "is scheduled, and due at 01:00:00" in said


@running(jobs)
async def test_a_handler_in_a_process_takes_no_time(app: App) -> None:
    job = await app.submit("square", {"number": 12})
    await app.submit("square", {"number": 13}, delay=0.001)
    assert await app.result(job) == 144
    assert app.job(job).finished_at == app.job(job).started_at
    (run,) = app.runs("square")
    assert run.arguments == {"number": 12}
    await app.drained()
    assert [job.result for job in app.jobs()] == [144, 169]


async def test_an_answer_through_a_socket_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """By the handler and by the test; what is due on the next day would be early."""
    monkeypatch.setattr(
        virtual_time, "IO_S", 2.0
    )  # on a machine that is busy a thread may not have its turn for a while

    def answer() -> None:
        stream, _ = accepting.accept()
        with stream:
            stream.recv(1)
            stream.sendall(b"!")

    async def ask() -> str:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"?")
            return (await stream.receive_some(1)).decode()

    with socket.create_server(("127.0.0.1", 0)) as accepting:
        port = accepting.getsockname()[1]
        server = threading.Thread(target=lambda: [answer() for _ in range(2)], daemon=True)
        server.start()
        async with running(handlers("ask", ask, timeout=1, max_attempts=1)) as app:
            await app.submit("ask", delay=86_400)
            assert await app.result(await app.submit("ask")) == "!"
            assert await ask() == "!"
            assert app.now == app.events[0].time
            assert app.jobs()[0].state == "scheduled"
            await app.cancel(app.jobs()[0])
        server.join(5)
