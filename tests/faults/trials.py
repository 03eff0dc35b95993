"""Trials of nodes that are lost or left behind, each on SQLite alone or on MySQL with Redis; played all at once."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import NamedTuple

import outcome
import pytest

from tests.faults.at_once import play_wanted
from tests.faults.fleet import Place
from tests.servers import mysql_database


class Case(NamedTuple):
    """A trial, which gets a folder of its own and where its nodes live; None: on SQLite, in that folder."""

    trial: Callable[[Path, Place | None], Awaitable[None]]
    backend: str


def name_of(case: Case) -> str:
    return f"{case.trial.__name__}-{case.backend}"


def play_trials(
    request: pytest.FixtureRequest, folders: pytest.TempPathFactory, cases: Collection[Case]
) -> dict[Case, outcome.Outcome[None]]:
    """Play those of ``cases`` that this run has tests for; see ``play_wanted``."""
    mysql_url, redis_url = (request.getfixturevalue(f"{name}_server_url") for name in ("mysql", "redis"))

    async def play(case: Case) -> None:
        folder = folders.mktemp(case.trial.__name__)
        if case.backend == "sqlite+heap":
            await case.trial(folder, None)
            return
        with mysql_database(mysql_url) as store:
            await case.trial(folder, Place(store, f"{redis_url}?namespace={uuid.uuid4().hex}"))

    return play_wanted(request, cases, play)
