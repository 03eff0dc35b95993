"""What every test may ask for: databases and servers of its own, and the promise that no process outlives a test.

Whoever uses a server or a process is marked ``slow`` by that alone. Missing services skip the test with the reason;
with ``CI=true`` in the environment they fail it, so that a green run never means an empty one.
"""

from __future__ import annotations

import functools
import gc
import os
import shutil
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import httpcore2
import pytest
from hypothesis import HealthCheck, settings

from tests.browser import Chromium
from tests.children import POLL_S, children_of_this_process
from tests.folders import keep_in_memory
from tests.forked import forkers
from tests.held import HELD
from tests.processes import TickrProcess
from tests.servers import (
    MariaDB,
    Redis,
    missing_for_browser,
    missing_for_mysql,
    missing_for_redis,
    mysql_database,
)

keep_in_memory()
TickrProcess.forks = True

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a shell's background; the children would inherit it, and Ctrl-C mean nothing to them.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast a busy machine is says nothing about what is tested.
settings.register_profile("tickr", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tickr")

# Every client that a test opens would read all the system's certificates anew: 18 ms each, and none is ever asked for.
httpcore2.default_ssl_context = functools.cache(httpcore2.default_ssl_context)

SLOW_FIXTURES = {
    "mysql_server_url",
    "mysql_url",
    "mysql_private_server",
    "redis_server_url",
    "redis_url",
    "redis_server",
    "chromium",
}


WAITING = (
    "features/test_13_disconnects.py",  # by itself it takes longest, and a processor, and there is a limit to its time
    "faults/test_mysql_outage.py",
    "features/test_04_event_driven.py",
    "features/test_07_failure_handling.py",
    "faults/test_clock_steps.py",
    "store/test_mysql_transactions.py",
    "features/test_15_retention.py",
    "cli/test_demo.py",
    "test_servers.py",
    "cli/test_logs.py",
    "api/test_events_rude.py",
    "index/test_redis_faults.py",
)
WORKING = (
    "faults/test_kill_points.py",
    "features/test_12_durable_state.py",
    "docs/test_examples.py",
    "bench/test_commands.py",
    "faults/test_killed_submissions.py",
    "faults/test_hand_over.py",
    "deploy/test_three_nodes.py",
    "simulation/test_seeds.py",
    "client/test_killed_server.py",
    "features/test_13_event_feed.py",
    "features/test_rude_handlers.py",
    "features/test_03_delayed_jobs.py",
    "faults/test_lost_nodes.py",
    "faults/test_hanging_points.py",
    "faults/test_redis_faults.py",
    "faults/test_slow_clients.py",
    "faults/test_cut_lines.py",
    "store/test_contract_cuts.py",
    "docs/test_feed_clients.py",
    "cli/test_serve.py",
    "cli/test_follow.py",
    "cli/test_watch.py",
)
LONGEST_FIRST = (*WAITING, *WORKING)
"""Files of 15 s and more, below tests/: begun late, one of them alone would keep the other processes waiting. While the
first runs, the others mostly wait, which leaves it the processor."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
        name = item.nodeid.removeprefix("tests/")
        if name in HELD or name.partition("[")[0] in HELD:
            item.add_marker(pytest.mark.long)
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    gc.freeze()  # what thousands of tests were made of is not looked through again and again while they run


def do_without(missing: str) -> NoReturn:
    reason = f"{missing} (`make test` installs it, or says how)"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{reason}; with CI=true nothing is skipped", pytrace=False)
    pytest.skip(reason)


# -- MySQL and MariaDB ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def mysql_server_url() -> Iterator[str]:
    """URL of a server on which databases may be made: a private MariaDB, or the one named by TICKR_TEST_MYSQL."""
    if named := os.environ.get("TICKR_TEST_MYSQL"):
        yield named
        return
    if missing := missing_for_mysql():
        do_without(missing)
    with MariaDB() as server:
        OF_THE_SESSION.update(server.family)
        yield server.url


@pytest.fixture
def mysql_url(mysql_server_url: str) -> Iterator[str]:
    """URL of an empty database of the test's own, dropped afterwards."""
    with mysql_database(mysql_server_url) as url:
        yield url


@pytest.fixture
def mysql_private_server(request: pytest.FixtureRequest) -> Iterator[MariaDB]:
    """A running ``MariaDB`` of the test's own, to be killed, frozen and restarted; its database ``tickr`` is empty.

    Arguments go by ``@pytest.mark.parametrize("mysql_private_server", [{"tls": False}], indirect=True)``.
    """
    if missing := missing_for_mysql():
        do_without(missing)
    with MariaDB(**getattr(request, "param", {})) as server:
        yield server


# -- Redis ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def redis_server_url() -> Iterator[str]:
    """URL of a private Redis that all tests share; keep to ``redis_url`` unless the test brings a namespace."""
    if missing := missing_for_redis():
        do_without(missing)
    with Redis() as server:
        OF_THE_SESSION.update(server.family)
        yield server.url


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """URL of the shared Redis with a namespace of the test's own."""
    return f"{redis_server_url}?namespace={uuid.uuid4().hex[:12]}"


@pytest.fixture
def redis_server(request: pytest.FixtureRequest) -> Iterator[Redis]:
    """A running ``Redis`` of the test's own, to be killed, frozen, flushed, rolled back and restarted.

    Settings go by ``@pytest.mark.parametrize("redis_server", [{"maxmemory": "5mb"}], indirect=True)``.
    """
    if missing := missing_for_redis():
        do_without(missing)
    with Redis(getattr(request, "param", None)) as server:
        yield server


# -- a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """A running browser that all tests share."""
    if missing := missing_for_browser():
        do_without(missing)
    with Chromium() as browser:
        OF_THE_SESSION.update(browser.family)
        yield browser


# -- curl -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def curl() -> str:
    """Path of curl, which the examples in the docs use."""
    return shutil.which("curl") or do_without("curl is not installed")


# -- nothing stays behind -------------------------------------------------------------------------------------------

# Lives as long as its process by design: Python's own bookkeeper for spawned children.
KEPT = "multiprocessing.resource_tracker"
# Servers that the whole run shares: one may be started in the middle of a test that asks for it by name.
OF_THE_SESSION: set[int] = set()
LEFTOVERS_GONE_WITHIN_S = 2.0


@pytest.fixture(autouse=True)
def no_process_left_behind() -> Iterator[None]:
    """Fail the test whose child processes are still there when all its fixtures have been taken down; and end them."""
    before = set(children_of_this_process())

    def left() -> dict[int, str]:
        kept = before | OF_THE_SESSION | forkers()
        return {pid: line for pid, line in children_of_this_process().items() if pid not in kept and KEPT not in line}

    yield
    deadline = time.monotonic() + LEFTOVERS_GONE_WITHIN_S
    while left() and time.monotonic() < deadline:
        time.sleep(POLL_S)  # one that has been told to end may need an instant
    if leftovers := left():
        for pid in leftovers:
            os.kill(pid, signal.SIGKILL)
        pytest.fail("the test left processes behind: " + "; ".join(f"{p} {c[:200]}" for p, c in leftovers.items()))
