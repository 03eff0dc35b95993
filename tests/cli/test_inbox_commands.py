"""``tickr inbox …`` and the look that ``tickr doctor`` has at it: straight at the store, whether Tickr runs or not."""

from __future__ import annotations

import json
import os
import sqlite3
import uuid
from contextlib import closing
from functools import partial

import pytest
import trio
from click.testing import CliRunner, Result

from tests.servers import mysql_execute
from tests.store.backends import a_node
from tickr.cli import main
from tickr.store.open import open_store

ID = str(uuid.UUID(int=7))
GOOD, BAD = '{"type": "a"}', '{"type": "a", "colour": "\\u001b[31mred"}'


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path')}/t.db"
    return str(request.getfixturevalue("mysql_url"))


@pytest.fixture(autouse=True)
def _no_settings_from_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TICKR_")]:
        monkeypatch.delenv(name)


def tickr(*words: str, store: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, words, env={"COLUMNS": "80", "TICKR_STORE": store, "TICKR_PORT": "0"})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done


def insert(store: str, *jobs: str) -> None:
    if store.startswith("sqlite"):
        with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as db, db:
            db.executemany("INSERT INTO inbox (id, job) VALUES (?, ?)", [(ID, job) for job in jobs])
    else:
        for job in jobs:
            text = job.replace("\\", "\\\\")
            mysql_execute(store, f"INSERT INTO inbox (id, job) VALUES ('{ID}', '{text}')")


def refuse(store: str, *jobs: str) -> None:
    """Insert ``jobs`` and have them refused."""
    tickr("migrate", store=store)
    insert(store, *jobs)

    async def settle() -> None:
        async with open_store(store) as opened:
            rows = await opened.inbox_rows(100, max_bytes=10**6, max_row_bytes=10**6)
            await opened.settle_inbox([], {row.seq: f"invalid_request: because {row.seq}" for row in rows})

    trio.run(settle)


def waiting(store: str) -> list[int]:
    async def look() -> list[int]:
        async with open_store(store) as opened:
            return [row.seq for row in await opened.inbox_rows(100, max_bytes=10**6, max_row_bytes=10**6)]

    return trio.run(look)


def test_the_list_says_which_when_and_why_and_is_harmless(store: str) -> None:
    refuse(store, GOOD, BAD)
    told = tickr("inbox", store=store).stdout
    assert told == tickr("inbox", "list", store=store).stdout
    assert sorted(line[:3] for line in told.splitlines()) == ["   ", "   ", "1  ", "2  "]
    assert "invalid_request: because 1\n" in told
    assert GOOD in told
    assert "\x1b" not in told
    assert len(tickr("inbox", "list", "--limit", "1", store=store).stdout.splitlines()) == 2


def test_as_json_it_is_one_object_for_each_row(store: str) -> None:
    refuse(store, GOOD)
    (line,) = tickr("inbox", "list", "--json", store=store).stdout.splitlines()
    row = json.loads(line)
    assert row.pop("refused_at").endswith("Z")
    assert row == {"row": 1, "id": ID, "job": GOOD, "reason": "invalid_request: because 1"}


def test_an_empty_list_says_so_and_nothing_else(store: str) -> None:
    tickr("migrate", store=store)
    done = tickr("inbox", store=store)
    assert (done.stdout, done.stderr) == ("", "No row has been refused.\n")
    assert tickr("inbox", "list", "--json", store=store).output == ""


def test_a_row_is_retried_or_deleted_once(store: str) -> None:
    refuse(store, GOOD, BAD)
    assert tickr("inbox", "retry", "1", store=store).stdout == "Row 1 will be taken again.\n"
    assert waiting(store) == [1]
    assert tickr("inbox", "delete", "2", store=store).stdout == "Row 2 is deleted.\n"
    for command in ("retry", "delete"):
        for row in ("1", "2", "99"):
            done = tickr("inbox", command, row, store=store, code=7)
            assert done.stderr == f"Error: There is no refused row {row}; tickr inbox lists those there are.\n"
    assert waiting(store) == [1]


def test_wrong_usage_is_refused(store: str) -> None:
    tickr("inbox", "retry", "one", store=store, code=2)
    tickr("inbox", "list", "--limit", "0", store=store, code=2)
    assert "has no inbox" in tickr("inbox", store="memory:", code=2).stderr


def test_doctor_warns_of_refused_rows_and_of_rows_that_nobody_takes(store: str) -> None:
    tickr("migrate", store=store)
    assert doctor(store)["level"] == "ok"
    insert(store, GOOD)
    assert doctor(store) == {
        "name": "inbox",
        "level": "warn",
        "finding": "rows wait, and no node has the role api",
        "advice": "Start one with --roles api; it takes them.",
    }
    trio.run(partial(register, store))
    assert doctor(store)["level"] == "ok"
    refuse(store, BAD)
    assert doctor(store)["finding"] == "rows refused: 2"


async def register(store: str) -> None:
    async with open_store(store) as opened:
        await opened.register(a_node(roles=("api",)), lease_s=60)


def doctor(store: str) -> dict[str, str]:
    checks = [json.loads(line) for line in tickr("doctor", "--json", store=store).stdout.splitlines()]
    flat = [check for one in checks for check in (one if isinstance(one, list) else [one])]
    (found,) = [check for check in flat if check["name"] == "inbox"]
    return dict(found)
