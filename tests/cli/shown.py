"""Rows as a server would send them, keys and pictures of ``tickr top``: for the tests of its model and its frames."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Raw
from rich.console import Console

from tickr.cli.remote_nodes import RemoteNode
from tickr.cli.remote_records import RemoteJob, RemoteQueue
from tickr.cli.remote_schedules import RemoteSchedule, RemoteTemplate
from tickr.cli.top.frame import frame
from tickr.cli.top.keys import press
from tickr.cli.top.model import Act, Page, Room, Row, State, View, taken, wanted

NOW = datetime(2030, 1, 31, 12, 0, 0, tzinfo=UTC)
ROOM = Room(80, 24)
URL = "http://127.0.0.1:8080"


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def queue(name: str, **fields: Any) -> RemoteQueue:
    return RemoteQueue(
        **({"name": name, "ready": 0, "scheduled": 0, "retrying": 0, "running": 0, "paused": False} | fields)
    )


def job(number: int = 1, **fields: Any) -> RemoteJob:
    plain = RemoteJob(
        id=f"0197a2c4-5b7e-7c3a-9f00-{number:012x}",
        type="report",
        queue="default",
        priority=5,
        state="running",
        payload=Raw(b"{}"),
        labels={},
        attempt=1,
        max_attempts=3,
        run_at=at(-5),
        created_at=at(-60),
        started_at=at(-4),
    )
    return msgspec.structs.replace(plain, **fields)


def node(number: int = 1, **fields: Any) -> RemoteNode:
    plain = RemoteNode(
        id=f"0197a2c4-5b7e-7c3a-9f00-{number:012x}",
        kind="node",
        name="host",
        pid=4000 + number,
        version="1.2",
        roles=["api", "worker"],
        types=["report"],
        slots=8,
        state="running",
        obeyed=True,
        lease=15.0,
        lease_age=1.0,
        running=2,
        started_at=at(-3600),
    )
    return msgspec.structs.replace(plain, **fields)


def schedule(name: str, **fields: Any) -> RemoteSchedule:
    plain = RemoteSchedule(
        name=name,
        job=RemoteTemplate("report"),
        missed="once",
        overlap="allow",
        paused=False,
        version=1,
        created_at=at(-9000),
        updated_at=at(-9000),
        every=30.0,
        next_at=at(20),
    )
    return msgspec.structs.replace(plain, **fields)


def state_of(view: View, *rows: Row, more: str | None = None, here: str = "") -> State:
    """Return what is shown once ``rows`` have been read."""
    state = State(view=view)
    return taken(state, wanted(state, ROOM), Page(tuple(rows), more, here), ROOM)


def pressed(state: State, *keys: str, room: Room = ROOM) -> State:
    """Return the state after ``keys``, none of which has anything be done."""
    for key in keys:
        state, request = press(state, key, room)
        assert request is None, request
    return state


def act_of(state: State, *keys: str) -> Act:
    """Return what is to be done after the last of ``keys``."""
    *others, last = keys
    request = press(pressed(state, *others), last, ROOM).request
    assert isinstance(request, Act)
    return request


def console(width: int = 80, height: int = 24, **options: Any) -> Console:
    usual = {"file": io.StringIO(), "highlight": False, "markup": False, "emoji": False}
    return Console(width=width, height=height, **usual | options)


def drawn(state: State, width: int = 80, height: int = 24, **options: Any) -> list[str]:
    """Return the lines of the picture; they fill the terminal, and no more."""
    on = console(width, height, **options)
    on.print(frame(state, Room(width, height), on, url=URL, now=NOW).picture, end="")
    assert isinstance(on.file, io.StringIO)
    lines = on.file.getvalue().removesuffix("\n").split("\n")
    if not options:
        assert len(lines) == height, f"{len(lines)} lines:\n" + "\n".join(lines)
    return [line.rstrip() for line in lines]
