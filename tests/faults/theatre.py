"""The theatre plays all the scenes that a module's tests ask for, side by side, when the first of them is wanted.

Comes in: how a scene is played on a ``Stage``. Goes out, for each: what went wrong, by the scene itself or by the
checker's word on its history once everything has drained. Tests name their scenes by two parameters, ``kind`` (of the
backend) and ``scene``; a run that selects some of them plays no others.
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import pytest
import trio

from tests.faults.checker import Table, check
from tests.faults.crash_stage import Backend, Kind, Stage, open_stage
from tests.servers import mysql_execute

SCENE_WITHIN_S = 150.0

Play = Callable[[Stage, str], Awaitable[None]]


class Played(NamedTuple):
    """What came of a scene. ``failed``: why it is a failure, with the last words of all its nodes; or ""."""

    failed: str
    table: Table | None
    took_s: float


class Theatre:
    """Made by a module-scoped fixture.

    Args:
      at_once: how many scenes are played side by side.
    """

    def __init__(
        self, request: pytest.FixtureRequest, folders: pytest.TempPathFactory, play: Play, *, at_once: int
    ) -> None:
        self._request, self._folders, self._play, self._at_once = request, folders, play, at_once
        calls = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
        named = [call.params for call in calls if call is not None and "scene" in call.params]
        self._wanted: list[tuple[Kind, str]] = [(params["kind"], params["scene"]) for params in named]
        self._played: dict[tuple[Kind, str], Played] = {}

    def played(self, kind: Kind, scene: str) -> Played:
        if not self._played:
            with ExitStack() as databases:
                backends = {wanted: self._backend(wanted[0], databases) for wanted in self._wanted}
                trio.run(self._play_all, backends)
        return self._played[kind, scene]

    def _backend(self, kind: Kind, databases: ExitStack) -> tuple[Backend, Path]:
        folder = self._folders.mktemp("scene")
        if kind == "sqlite+heap":
            return Backend(kind, f"sqlite:///{folder}/tickr.db", "heap:"), folder
        server = self._request.getfixturevalue("mysql_server_url")
        redis = self._request.getfixturevalue("redis_server_url")
        name = f"tickr_test_{uuid.uuid4().hex[:12]}"
        mysql_execute(server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        databases.callback(mysql_execute, server, f"DROP DATABASE {name}")
        store = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        return Backend(kind, store, f"{redis}?namespace={name}"), folder

    async def _play_all(self, backends: dict[tuple[Kind, str], tuple[Backend, Path]]) -> None:
        turns = trio.Semaphore(self._at_once)

        async def play_one(kind: Kind, scene: str) -> None:
            async with turns:
                self._played[kind, scene] = await self._play_one(*backends[kind, scene], scene)

        async with trio.open_nursery() as nursery:
            for kind, scene in backends:
                nursery.start_soon(play_one, kind, scene)

    async def _play_one(self, backend: Backend, folder: Path, scene: str) -> Played:
        began, table, failed = trio.current_time(), None, ""
        async with open_stage(backend, folder) as stage:
            try:
                with trio.fail_after(SCENE_WITHIN_S):
                    await self._play(stage, scene)
                    await stage.drain()
                    verdict = check(await stage.history())
                table = verdict.table
                failed = verdict.told() if verdict.violations else "\n".join(stage.client.strange)
            except Exception:
                failed = traceback.format_exc()
            return Played(failed and f"{failed}\n{stage.last_words()}", table, round(trio.current_time() - began, 1))
