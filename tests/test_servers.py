"""The test ground itself: servers that can be killed, frozen, restarted and rolled back keep what they should keep."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
import redis
import trio
from trio.testing import MockClock
from trio_mysql import err

from tests.children import NotReady
from tests.conftest import LONGEST_FIRST, do_without
from tests.servers import MariaDB, Redis, missing_for_mysql, mysql_execute
from tests.waiting import eventually
from tickr.store.mysql_address import parse
from tickr.store.mysql_driver import Connection


def test_databases_come_fresh(mysql_url: str) -> None:
    assert mysql_execute(mysql_url, "SHOW TABLES") == []
    mysql_execute(mysql_url, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (NULL)")
    assert mysql_execute(mysql_url, "SELECT a FROM t ORDER BY a DESC") == [["1"], ["NULL"]]


def test_mariadb_keeps_what_was_committed_over_a_kill(mysql_private_server: MariaDB) -> None:
    server = mysql_private_server
    assert server.execute("SELECT @@innodb_flush_log_at_trx_commit, @@have_ssl") == [["1", "YES"]]
    server.execute("CREATE TABLE t (a INT) ENGINE=InnoDB; INSERT INTO t VALUES (7)")
    first = server.pid
    server.kill()
    with pytest.raises(OSError, match="connect"):
        server.execute("SELECT 1")
    server.start()
    assert server.execute("SELECT a FROM t") == [["7"]]
    assert server.pid != first


@pytest.mark.parametrize("mysql_private_server", [{"tls": False, "options": ["--max-connections=11"]}], indirect=True)
def test_mariadb_without_tls(mysql_private_server: MariaDB) -> None:
    assert mysql_private_server.ssl_ca is None
    assert mysql_private_server.execute("SELECT @@have_ssl, @@max_connections") == [["DISABLED", "11"]]


@pytest.mark.slow
def test_mariadb_leaves_its_data_whole_where_it_is_told_to(tmp_path: Path) -> None:
    if missing := missing_for_mysql():
        do_without(missing)
    for create in ("CREATE TABLE t (a INT) ENGINE=InnoDB; INSERT INTO t VALUES (7)", "SELECT 1"):
        with MariaDB(tls=False, data=tmp_path / "data") as server:
            server.execute(create)
            assert server.execute("SELECT a FROM t") == [["7"]]
            server.shut_down()
            assert "Shutdown complete" in server.log
            assert not server.folder.joinpath("data").exists()


def test_a_frozen_server_accepts_and_says_nothing(mysql_private_server: MariaDB) -> None:
    mysql_private_server.stop()
    threads = Path(f"/proc/{mysql_private_server.pid}/task").glob("*/stat")
    assert {path.read_text().rpartition(")")[2].split()[0] for path in threads} <= {"T"}, "one can answer yet"
    with pytest.raises(OSError, match="no answer"):
        mysql_execute(mysql_private_server.url, "SELECT 1", timeout_s=0.3)
    mysql_private_server.cont()
    assert mysql_private_server.execute("SELECT 1") == [["1"]]


def test_mariadb_is_read_only_for_the_ordinary_user_for_a_while(mysql_private_server: MariaDB) -> None:
    server = mysql_private_server
    mysql_execute(server.ordinary_url, "CREATE TABLE t (a INT)")
    server.read_only(True)
    with pytest.raises(OSError, match="1290"):
        mysql_execute(server.ordinary_url, "INSERT INTO t VALUES (1)")
    assert mysql_execute(server.ordinary_url, "SELECT a FROM t") == []
    server.read_only(False)
    mysql_execute(server.ordinary_url, "INSERT INTO t VALUES (1)")


async def test_mariadb_has_no_more_connections_for_the_ordinary_user(mysql_private_server: MariaDB) -> None:
    server = mysql_private_server
    with closing(Connection(parse(server.ordinary_url), None)) as killed:
        await killed.open(5)
        server.limit_connections(2)
        with pytest.raises(err.OperationalError, match="2013"):
            await killed.execute("SELECT 1")

    async def one_more() -> Connection | None:
        connection = Connection(parse(server.ordinary_url), None)
        try:
            await connection.open(5)
        except err.OperationalError as error:
            if error.args[0] != 1040:
                raise
            return None
        return connection

    # The places of those who have left become free by and by.
    with closing(await eventually(one_more)), closing(await eventually(one_more)):
        assert await one_more() is None
    server.limit_connections(None)
    server.limit_connections(0)
    assert await one_more() is None
    server.limit_connections(None)
    assert mysql_execute(server.ordinary_url, "SELECT @@max_connections, @@connect_timeout") == [["151", "10"]]


def test_redis_is_read_only_or_full_for_a_while(redis_server: Redis) -> None:
    with redis_server.client() as client:
        client.set("a", "1")
        redis_server.readonly(True)
        with pytest.raises(redis.ReadOnlyError):
            client.set("a", "2")
        redis_server.readonly(False)
        redis_server.limit_memory(1)
        with pytest.raises(redis.OutOfMemoryError):
            client.set("a", "2")
        assert client.get("a") == "1"
        redis_server.limit_memory(0)
        assert client.set("a", "2")


def test_redis_forgets_on_a_kill_and_goes_back_to_a_snapshot(redis_server: Redis) -> None:
    with redis_server.client() as client:
        client.set("a", "old")
        before = redis_server.snapshot()
        client.set("a", "new")
    redis_server.restore(before)
    with redis_server.client() as client:
        assert client.get("a") == "old"
    redis_server.kill()
    redis_server.start()
    with redis_server.client() as client:
        assert client.dbsize() == 0
        client.set("a", "new")
        redis_server.flush()
        assert client.dbsize() == 0


@pytest.mark.parametrize("redis_server", [{"maxmemory": "1mb", "maxmemory-policy": "noeviction"}], indirect=True)
def test_redis_takes_settings(redis_server: Redis) -> None:
    with redis_server.client() as client, pytest.raises(redis.ResponseError, match="maxmemory"):
        client.mset({"a": "x" * 2_000_000, "b": "x"})


def test_namespaces_differ(redis_url: str, request: pytest.FixtureRequest) -> None:
    shared = request.getfixturevalue("redis_server_url")
    assert redis_url.startswith(f"{shared}?namespace=")


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why(redis_server: Redis) -> None:
    rival = Redis({"port": str(redis_server.port)})
    with pytest.raises(NotReady, match=r"(?s)redis ended with code 1.*Address already in use"):
        rival.__enter__()
    assert not rival.folder.exists()


@pytest.mark.slow
def test_servers_end_with_a_test_run_that_is_shot(tmp_path: Path) -> None:
    program = "import os, signal\nfrom tests.servers import Redis\nr = Redis()\nr.start()\nprint(r.pid, r.folder)\n"
    program += "import sys; sys.stdout.flush()\nos.kill(os.getpid(), signal.SIGKILL)\n"
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    pid, folder = done.stdout.split()
    deadline = time.monotonic() + 5
    while (Path(f"/proc/{pid}").exists() or Path(folder).exists()) and time.monotonic() < deadline:
        os.sched_yield()
    assert not Path(f"/proc/{pid}").exists()
    assert not Path(folder).exists()


# -- how facts are waited for -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("took_s", "from_one_to_the_next_s"), [(0.0, 0.02), (0.1, 0.3), (1.0, 1.25)])
async def test_a_look_that_takes_long_comes_seldom(
    took_s: float, from_one_to_the_next_s: float, autojump_clock: MockClock
) -> None:
    begun: list[float] = []

    async def look() -> bool:
        begun.append(trio.current_time())
        await trio.sleep(took_s)  # virtual
        return len(begun) == 3

    await eventually(look)
    assert [later - earlier for earlier, later in pairwise(begun)] == pytest.approx([from_one_to_the_next_s] * 2)


# -- what conftest.py promises ----------------------------------------------------------------------------------------

LITTER = """
import subprocess

kept = []

def test_litters():
    kept.append(subprocess.Popen(["sleep", "1000"]))

def test_comes_next():
    assert kept[0].wait() == -9
"""

ASKING = """
def test_quick(tmp_path): ...
def test_asks(redis_url): ...
def test_asks_too(mysql_private_server): ...
"""


def run_pytest(folder: Path, text: str, *arguments: str, **variables: str) -> tuple[int, str]:
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **variables}
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-rs", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_test_that_leaves_a_process_behind_fails_and_is_cleaned_up_after(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, LITTER)
    assert code == 1
    assert "the test left processes behind:" in output
    assert "sleep 1000" in output
    assert "2 passed, 1 error" in output


@pytest.mark.slow
def test_missing_servers_skip_here_and_fail_in_ci(tmp_path: Path) -> None:
    nowhere = {"PATH": "/nonexistent", "TICKR_TEST_SBIN": "/nonexistent"}
    code, output = run_pytest(tmp_path, ASKING, CI="", **nowhere)
    assert code == 0
    assert "1 passed, 2 skipped" in output
    assert "redis-server not found (`make test` installs it, or says how)" in output
    code, output = run_pytest(tmp_path, ASKING, CI="true", **nowhere)
    assert code == 1
    assert "1 passed, 2 errors" in output


def test_the_longest_files_are_there_and_come_first(request: pytest.FixtureRequest) -> None:
    paths = [str(item.path.relative_to(Path(__file__).parent)) for item in request.session.items]
    assert all((Path(__file__).parent / name).is_file() for name in LONGEST_FIRST)
    found = [name for name in dict.fromkeys(paths) if name in LONGEST_FIRST]
    assert list(dict.fromkeys(paths))[: len(found)] == [name for name in LONGEST_FIRST if name in found]


@pytest.mark.slow
def test_whoever_asks_for_a_server_is_slow(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, ASKING, "-m", "not slow")
    assert code == 0
    assert "1 passed, 2 deselected" in output
