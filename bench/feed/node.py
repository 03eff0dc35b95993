"""One node in a process of its own that notes the instant of every COMMIT which wrote events.

The instants are of CLOCK_MONOTONIC, which all processes of a machine share. ``answered`` is taken where the store tells
that COMMIT was answered (``Store.on_events``), in the node's own loop; ``sent`` just before COMMIT was sent (MySQL
alone), so that what the server and a busy loop take until the answer is seen can be told, too.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from inspect import iscoroutinefunction
from multiprocessing.connection import Connection
from typing import Any

import structlog
import trio

import tickr
from tickr import service
from tickr.configuring import Given, read
from tickr.handle import Handle
from tickr.jobs import Job
from tickr.own_process import calm_collector
from tickr.store.mysql_driver import Connection as MysqlConnection

jobs = tickr.Jobs()


@jobs.handler("noop")
async def noop() -> None:
    pass


CHANGES = {"insert", "claim", "claim_due", "finish", "cancel", "redrive", "reap"}


class Commits:
    """A store seen through a glass, and when what was committed.

    Attributes:
      told: for each commit: when it was sent and when it was answered in ns, and the ids of the events it wrote.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self._call: Callable[[], None] = lambda: None
        self._answered: dict[trio.lowlevel.Task, int] = {}
        self._last_answered = 0
        self.sent: dict[trio.lowlevel.Task, int] = {}
        self.told: list[tuple[int, int, list[str]]] = []
        store.on_events(self._committed)

    def on_events(self, call: Callable[[], None]) -> None:
        self._call = call

    def _committed(self) -> None:
        self._last_answered = time.monotonic_ns()
        self._answered[trio.lowlevel.current_task()] = self._last_answered
        self._call()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._store, name)
        if name not in CHANGES or not iscoroutinefunction(value):
            return value

        async def noted(*args: Any, **kwargs: Any) -> Any:
            task = trio.lowlevel.current_task()
            answer = await value(*args, **kwargs)
            answered = self._answered.pop(task, self._last_answered)
            if ids := [*_events(answer)]:
                self.told.append((self.sent.pop(task, answered), answered, ids))
            return answer

        return noted


def _events(answer: Any) -> Iterator[str]:
    """Yield the ids of the events that a change has written, by what it answered."""
    for one in answer if isinstance(answer, list) else [answer]:
        if isinstance(one, Job):
            yield f"{one.id}.{one.version}"
        elif isinstance(one, tuple) and one[1]:  # of an insert: some have started with it
            yield from (f"{one[0].id}.{version}" for version in range(1, one[0].version + 1))


def run_node(pipe: Connection, settings: dict[str, Any]) -> None:
    """The process: serve with ``settings`` until ``pipe`` says "stop" or breaks; say the port and the pid first.

    Anything else asked is answered with the commits noted since the last time, and the processor time used so far.
    """
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger("warning"),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    calm_collector()  # as `tickr serve` does
    trio.run(_serve, pipe, settings)


async def _serve(pipe: Connection, settings: dict[str, Any]) -> None:
    glasses: list[Commits] = []
    _look_through(glasses)
    started, announced = trio.open_memory_channel[Handle](1)
    async with trio.open_nursery() as nursery:

        async def answer() -> None:
            handle = await announced.receive()
            pipe.send((handle.port, os.getpid()))
            with contextlib.suppress(EOFError, OSError):
                while await _asked(pipe) != "stop":
                    told, glasses[0].told = glasses[0].told, []
                    pipe.send((told, time.process_time()))
            handle.stop()

        nursery.start_soon(answer)
        config = read({name: Given(value, name) for name, value in settings.items()})
        await service.run_until_signalled(config, jobs, announce=started.send_nowait)
        nursery.cancel_scope.cancel()
    with contextlib.suppress(OSError):
        pipe.send("stopped")


async def _asked(pipe: Connection) -> Any:
    await trio.lowlevel.wait_readable(pipe.fileno())
    return pipe.recv()


def _look_through(glasses: list[Commits]) -> None:
    """Have the service open its store behind a glass, and note when a COMMIT is sent to MySQL."""
    open_store, execute = service.open_store, MysqlConnection.execute

    @asynccontextmanager
    async def opened(*args: Any, **kwargs: Any) -> AsyncIterator[Commits]:
        async with open_store(*args, **kwargs) as store:
            glasses.append(Commits(store))
            yield glasses[0]

    async def noting(self: MysqlConnection, sql: str, *parameters: Any) -> Any:
        if sql == "COMMIT" and glasses:
            glasses[0].sent[trio.lowlevel.current_task()] = time.monotonic_ns()
        return await execute(self, sql, *parameters)

    service.open_store = opened  # type: ignore[assignment]
    MysqlConnection.execute = noting  # type: ignore[method-assign]
