"""A Tickr for the tests that only ask it, on each face of the client: a calm one, and one that is being killed.

Whoever asks for a server is run against each of SERVERS.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from tests import conftest
from tests.client.doubt import Careful
from tests.client.faces import FACES, face
from tests.client.killed import KilledTickr
from tests.processes import TickrProcess
from tests.servers import mysql_database

SERVERS = ("calm", "killed", "killed-mysql")
"""What the tests are run against: a memory store, and an SQLite file and a MariaDB under a server that is killed."""

CALM_ONLY = {
    "test_a_token_is_sent_and_never_shown": "after a lost try it may be stored, for all it knows",
    "test_a_word_an_end_and_a_first_tick_at_once": "the first tick may have come before the answer to a second try",
    "test_every_node_is_told_once_whoever_repeats_it": "a job for one node ends with that node",
    "test_the_same_id_again_is_the_same_job": "of what was stored by a lost try, the first answer already is a replay",
    "test_what_is_wrong_with_a_job_is_said_with_pointers": "after a lost try it may be stored, for all it knows",
    "test_the_end_is_heard_at_once": "it measures how late the client hears of an end",
    "test_what_a_node_runs_is_told_and_it_ends_when_it_is_told_to": "the node is another one after each kill",
    "test_who_is_there_is_told_and_does_as_it_is_told": "the node is another one after each kill",
}
"""Tests that are about what a kill must disturb, and why."""
SHORT = {
    "test_a_job_is_cancelled_and_run_again",
    "test_a_list_is_read_over_its_pages_up_to_the_limit",
    "test_the_life_of_a_job_is_heard",
    "test_all_that_match_are_retried",
    "test_jobs_are_deleted",
    "test_a_schedule_is_put_looked_at_changed_and_deleted",
    "test_a_queue_is_paused_for_a_while_looked_at_and_resumed",
    "test_marks_are_made_listed_and_deleted",
    "test_every_call_is_understood_by_a_server",
}
"""What `make test` runs against a server that is killed, each on one of the faces; ``make long`` runs everything."""

PATIENCE_S = 180.0
"""How long a client tries a server that is killed, and how long a test waits for an end.

On a busy machine each start takes several seconds, and the jobs of a node on MariaDB are taken over once its lease is
over: three times, for some.
"""
TIMEOUT_S = 900
"""Of a test whose server is killed: more than the patience of several of its calls."""

Serve = Callable[..., AbstractContextManager[TickrProcess]]
"""Starts a Tickr of the test's own, with more arguments of ``TickrProcess``."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    dropped = [item for item in items if _server(item) not in (None, "calm") and _test(item) in CALM_ONLY]
    items[:] = [item for item in items if item not in dropped]
    config.hook.pytest_deselected(items=dropped)
    for item in items:
        if _server(item) not in (None, "calm"):
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
        if _server(item) == "killed-mysql" or (_server(item) == "killed" and not _is_short(item)):
            item.add_marker(pytest.mark.long)


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}


def _server(item: pytest.Item) -> str | None:
    return _parameters(item).get("server")


def _test(item: pytest.Item) -> str:
    return getattr(item, "originalname", item.name)


def _is_short(item: pytest.Item) -> bool:
    test, shown = _test(item), _parameters(item).get("face_name")
    return test in SHORT and shown in (None, FACES[zlib.crc32(test.encode()) % len(FACES)])


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def lasting_tickr(server: str, request: pytest.FixtureRequest) -> Iterator[TickrProcess]:
    """The one Tickr of the session of this kind."""
    if server == "calm":
        with TickrProcess(store="memory:", index="heap:") as process:
            yield process
    elif server == "killed":
        with KilledTickr(index="heap:") as process:
            yield process
    else:
        with (
            mysql_database(request.getfixturevalue("mysql_server_url")) as url,
            KilledTickr(store=url, index="heap:") as process,
        ):
            yield process


@pytest.fixture
def shared_tickr(lasting_tickr: TickrProcess) -> Iterator[TickrProcess]:
    """A running Tickr; while the test is at it, it may be killed. Who asks for it is slow."""
    if not isinstance(lasting_tickr, KilledTickr):
        yield lasting_tickr
        return
    with lasting_tickr.killed():
        yield lasting_tickr
    conftest.OF_THE_SESSION.update(lasting_tickr.family)


@pytest.fixture
def serve(server: str, request: pytest.FixtureRequest) -> Serve:
    """See ``Serve``."""

    @contextmanager
    def started(**arguments: Any) -> Iterator[TickrProcess]:
        if server == "calm":
            with TickrProcess(store="memory:", index="heap:", **arguments) as process:
                yield process
            return
        store = request.getfixturevalue("mysql_url") if server == "killed-mysql" else None
        with KilledTickr(store=store, index="heap:", **arguments) as process, process.killed():
            yield process

    return started


@pytest.fixture(params=FACES)
def face_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(server: str, shared_tickr: TickrProcess, face_name: str) -> Iterator[Any]:
    """A client of the shared Tickr that looks blocking (see ``faces``); of one that is killed, in ``Careful`` hands."""
    with face(face_name, shared_tickr.url) if server == "calm" else careful(face_name, shared_tickr.url) as one:
        yield one


@contextmanager
def careful(face_name: str, url: str, **arguments: Any) -> Iterator[Careful]:
    """Open a client (see ``face``) that outlasts the kills of its server."""
    with face(face_name, url, total_s=PATIENCE_S, **arguments) as one:
        yield Careful(one)
