"""``tickr migrate`` and ``tickr doctor``: what they find, what they say, and that looking changes nothing."""

from __future__ import annotations

import json
import os
import resource
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import httpx2
import pytest
from click.testing import CliRunner, Result

from tests.children import free_port
from tests.processes import TickrProcess
from tests.servers import Redis
from tickr.cli import main
from tickr.store.migrate import VERSION_TABLE, migrations

WANT = migrations("sqlite")[-1].version


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/t.db"


@pytest.fixture(autouse=True)
def _no_settings_from_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TICKR_")]:
        monkeypatch.delenv(name)


def tickr(*words: str, code: int = 0, **variables: str) -> Result:
    done = CliRunner().invoke(main, words, env={"COLUMNS": "80", **variables}, prog_name="tickr")
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done


def edit(store: str, *statements: str) -> None:
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def doctor(*words: str, code: int = 0, **variables: str) -> dict[str, dict[str, Any]]:
    """Return the checks by name; of several with one name the worst."""
    told = tickr("doctor", "--json", *words, code=code, **{"TICKR_PORT": "0", **variables}).stdout
    checks = sorted(json.loads(told), key=lambda check: ["ok", "warn", "fail"].index(check["level"]))
    assert (code == 1) == (checks[-1]["level"] == "fail")
    return {check["name"]: check for check in checks}


# -- migrate ---------------------------------------------------------------------------------------------------------


def test_migrate_says_from_where_to_where(store: str) -> None:
    assert tickr("migrate", "--store", store).stdout.startswith(f"The store went from schema 0 to {WANT}: 1 (start)")
    told = f"The store is at schema {WANT}, which is this program's. There is nothing to do.\n"
    assert tickr("migrate", "--store", store).stdout == told
    assert tickr("migrate", "--store", store, "--check").stdout == told


def test_check_changes_nothing_and_exits_1_if_there_is_something_to_do(store: str) -> None:
    assert "The store is empty" in tickr("migrate", "--check", "--store", store, code=1).stderr
    assert not Path(store.removeprefix("sqlite:///")).exists()


def history(store: str) -> str:
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as db:
        ((kept,),) = db.execute("SELECT value FROM meta WHERE name = 'history'")
    return str(kept)


def test_a_new_history_begins_only_when_asked_for(store: str) -> None:
    tickr("migrate", "--store", store)
    first = history(store)
    tickr("migrate", "--store", store)
    assert history(store) == first
    told = tickr("migrate", "--store", store, "--new-history").stdout
    second = history(store)
    assert second != first
    assert told.endswith(f"\nThe history of events is {second} from now on; cursors of {first} are refused.\n")
    assert "changes nothing" in tickr("migrate", "--store", store, "--new-history", "--check", code=2).stderr
    assert "nothing to do" in tickr("migrate", "--store", "memory:", "--new-history").stdout
    assert history(store) == second


def test_an_old_store_is_migrated_and_gets_its_history(store: str) -> None:
    first = migrations("sqlite")[0]
    edit(store, VERSION_TABLE, *first.statements, f"INSERT INTO schema_version VALUES (1, '{first.name}', 0)")
    assert "at schema 1, this program needs" in tickr("migrate", "--check", "--store", store, code=1).stderr
    assert tickr("migrate", "--store", store).stdout.startswith(f"The store went from schema 1 to {WANT}: 2 (feed)")
    assert len(history(store)) == 12
    assert doctor("--store", store)["schema"]["finding"] == f"at version {WANT}"


def test_a_store_of_a_newer_program_is_left_alone(store: str) -> None:
    tickr("migrate", "--store", store)
    edit(store, "INSERT INTO schema_version VALUES (999, 'future', 0)")
    assert "newer Tickr" in tickr("migrate", "--store", store, code=1).stderr
    assert "newer Tickr" in doctor("--store", store, code=1)["store"]["finding"]


def test_a_database_of_something_else_is_left_alone(store: str) -> None:
    edit(store, "CREATE TABLE customers (id INTEGER)")
    assert "it is not Tickr's" in tickr("migrate", "--store", store, code=1).stderr


def test_a_memory_store_has_nothing_to_migrate() -> None:
    assert "nothing to do" in tickr("migrate", "--store", "memory:").stdout


def test_migrate_takes_the_store_from_the_variable_and_refuses_what_is_none(store: str) -> None:
    assert "went from" in tickr("migrate", TICKR_STORE=store).stdout
    assert "--store must be" in tickr("migrate", "--store", "x", code=2).stderr


def test_migrate_on_mysql(mysql_url: str) -> None:
    want = migrations("mysql")[-1].version
    assert "The store is empty" in tickr("migrate", "--check", "--store", mysql_url, code=1).stderr
    assert f"from schema 0 to {want}" in tickr("migrate", "--store", mysql_url).stdout
    assert "nothing to do" in tickr("migrate", "--store", mysql_url).stdout
    assert "The history of events is " in tickr("migrate", "--store", mysql_url, "--new-history").stdout


def test_migrate_where_no_server_is(mysql_url: str) -> None:
    gone = mysql_url.rpartition(":")[0] + f":{free_port()}/t"
    told = tickr("migrate", "--store", gone, code=3).stderr
    assert told.count("\n") == 1
    assert told.startswith("Error: ")


# -- doctor ----------------------------------------------------------------------------------------------------------


def test_doctor_is_content_with_the_embedded_default(store: str) -> None:
    tickr("migrate", "--store", store)
    checks = doctor("--store", store)
    assert {check["level"] for check in checks.values()} == {"ok"}
    assert set(checks) >= {
        "versions",
        "access",
        "descriptors",
        "store",
        "schema",
        "durability",
        "clock",
        "index",
        "smtp",
    }
    text = tickr("doctor", "--store", store, TICKR_PORT="0").stdout
    assert text.endswith("\nNothing is wrong.\n")
    assert all(line.startswith("ok ") for line in text.splitlines() if line.strip() and "Nothing" not in line)


def test_doctor_makes_no_database(store: str) -> None:
    assert "is empty" in doctor("--store", store)["store"]["finding"]
    assert not Path(store.removeprefix("sqlite:///")).exists()


def test_doctor_shows_advice_and_counts_what_failed(store: str) -> None:
    told = tickr("doctor", "--store", store, "--index", f"redis://127.0.0.1:{free_port()}", code=1, TICKR_PORT="0")
    assert "Jobs run straight from the store" in told.stdout
    assert told.stdout.rstrip().endswith("checks failed.")


def test_doctor_notices_a_clock_that_went_back(store: str) -> None:
    tickr("migrate", "--store", store)
    columns = "id,type,queue,priority,state,run_at,created_at,version,fence,attempt,crashes,max_attempts,timeout_us"
    values = f"x'{'00' * 16}','t','default',5,1,0,{2**52},1,0,0,0,3,1"
    edit(store, f"INSERT INTO jobs ({columns},cancel_requested,payload) VALUES ({values},0,'{{}}')")
    assert doctor("--store", store, code=1)["clock"]["level"] == "fail"


def test_doctor_looks_at_access(store: str) -> None:
    assert doctor("--store", store, TICKR_TOKEN="short")["access"]["level"] == "warn"
    assert doctor("--store", store, TICKR_TOKEN="long-enough-for-us")["access"]["finding"] == "by token"
    assert doctor("--store", store, TICKR_HOST="0.0.0.0", TICKR_INSECURE="1")["access"]["level"] == "warn"
    told = tickr("doctor", "--store", store, code=2, TICKR_HOST="0.0.0.0")
    assert "TICKR_HOST is 0.0.0.0, which others can reach" in told.stderr


def test_doctor_notices_a_variable_misspelt(store: str) -> None:
    assert "TICKR_WORKERS?" in doctor("--store", store, TICKR_WORKER="5")["settings"]["finding"]


def test_doctor_counts_descriptors(store: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 300), hard))
    try:
        assert doctor("--store", store)["descriptors"]["level"] == "warn"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_doctor_shows_no_password(mysql_url: str) -> None:
    tickr("migrate", "--store", mysql_url)
    checks = doctor("--store", mysql_url)
    assert "t%2Fickr" not in json.dumps(checks)
    assert "t/ickr" not in json.dumps(checks)
    assert checks["durability"]["level"] == "ok"
    assert checks["index"]["level"] == "warn"  # a heap, although the store could be shared


def test_doctor_looks_at_redis(redis_server: Redis, store: str) -> None:
    checks = doctor("--store", store, "--index", redis_server.url)
    assert "Redis " in checks["index"]["finding"]
    assert checks["eviction"]["level"] == "ok"
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    assert doctor("--store", store, "--index", redis_server.url)["eviction"]["level"] == "warn"
    redis_server.stop()
    try:
        assert doctor("--store", store, "--index", redis_server.url, code=1)["index"]["level"] == "fail"
    finally:
        redis_server.cont()


@pytest.fixture
def node(store: str) -> Iterator[TickrProcess]:
    with TickrProcess(store=store, workers=3, roles="api,worker") as process:
        yield process


@pytest.mark.slow
def test_doctor_beside_a_running_node(node: TickrProcess, store: str) -> None:
    checks = doctor("--store", store, TICKR_PORT=str(node.port))
    assert "a Tickr answers" in checks["port"]["finding"]
    assert checks["nodes"]["finding"] == "none has the role scheduler"
    assert "1 is running, with room for 3 jobs" in tickr("doctor", "--store", store, TICKR_PORT=str(node.port)).stdout
    tickr("nodes", "quiet", "self", TICKR_URL=node.url)
    told = tickr("doctor", "--store", store, TICKR_PORT=str(node.port)).stdout
    assert "1 is running, with room for 0 jobs" in told
    assert "1 quiet: no new jobs there" in told


@pytest.fixture
def scheduler(store: str) -> Iterator[TickrProcess]:
    with TickrProcess(store=store, workers=3, roles="api,scheduler") as process:
        yield process


@pytest.mark.slow
def test_doctor_knows_remote_workers(scheduler: TickrProcess, store: str) -> None:
    def nodes() -> tuple[str, list[str]]:
        checks = json.loads(tickr("doctor", "--json", "--store", store, TICKR_PORT=str(scheduler.port)).stdout)
        found = [one for one in checks if one["name"] in ("nodes", "workers")]
        return found[0]["finding"], [one["finding"] for one in found[1:]]

    assert nodes() == ("1 is running, with room for 0 jobs at once", ["none has the role worker"])
    for types in (["resize", "ocr"], ["resize"]):
        asked = httpx2.post(f"{scheduler.url}/leases", json={"types": types, "max": 0, "wait": 0, "slots": 4})
        assert asked.status_code == 201
    told = "2 remote workers have leases, with room for 8 jobs at once, of the types: ocr, resize"
    assert nodes() == ("1 is running, with room for 0 jobs at once", [told])


@pytest.mark.slow
def test_doctor_finds_another_program_on_the_port(store: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        # It accepts and says nothing: whatever it is, it is no Tickr.
        assert doctor("--store", store, code=1, TICKR_PORT=port)["port"]["level"] == "fail"


def test_doctor_tries_the_mail_server(store: str) -> None:
    gone = f"smtp://u:canary@127.0.0.1:{free_port()}"
    checks = doctor("--store", store, code=1, TICKR_SMTP=gone)
    assert checks["smtp"]["level"] == "fail"
    assert "canary" not in json.dumps(checks)


def test_doctor_takes_the_flags_of_serve(store: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        checks = doctor("--store", store, "--port", port, "--workers", "3", code=1)
    assert checks["port"]["level"] == "fail"
    context = click.Context(main)
    serve, look = main.get_command(context, "serve"), main.get_command(context, "doctor")
    assert serve is not None
    assert look is not None
    assert {option.name for option in serve.params} - {"app", "burst", "reloads"} <= {
        option.name for option in look.params
    }
