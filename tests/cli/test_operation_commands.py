"""``tickr retry --all``, ``tickr cancel --all``, ``tickr operations`` and ``tickr dead-letters``, on a real Tickr."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from tests.children import POLL_S
from tests.processes import TickrProcess
from tickr.cli import main

pytestmark = pytest.mark.slow

ABSENT = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"
PRIVATE = "url=http://127.0.0.1:9/"
"""What no ``http`` job may ask for, so that it fails at once."""
Tickr = Callable[..., Result]


@pytest.fixture(scope="module")
def server() -> Iterator[TickrProcess]:
    with TickrProcess(store="memory:", workers=4) as process:
        yield process


@pytest.fixture
def tickr(server: TickrProcess) -> Tickr:
    """Run a command against the server; ``code`` is the exit code it must have."""

    def run(*words: str, code: int = 0, stdin: str = "") -> Result:
        done = CliRunner().invoke(main, words, input=stdin, env={"TICKR_URL": server.url, "COLUMNS": "120"})
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done

    return run


@pytest.fixture
def queue() -> str:
    """A queue that no other test uses."""
    return f"q-{uuid.uuid4()}"


def failed(tickr: Tickr, queue: str, count: int = 1) -> list[str]:
    words = ["submit", "http", PRIVATE, "--queue", queue, "--max-attempts", "1", "--wait", "10", "--json"]
    return [json.loads(tickr(*words, code=4).stdout)["id"] for _ in range(count)]


def job(tickr: Tickr, job_id: str) -> dict[str, Any]:
    return dict(json.loads(tickr("show", job_id, "--json").stdout))


# -- all that match ---------------------------------------------------------------------------------------------------


def test_retry_all_says_how_many_asks_and_is_done(tickr: Tickr, queue: str) -> None:
    ids = failed(tickr, queue, 3)
    no = tickr("retry", "--all", "--queue", queue, stdin="n\n", code=1)
    assert "Retry 3 jobs?" in no.stderr
    assert ids[-1] in no.stderr
    assert [job(tickr, one)["version"] for one in ids] == [3, 3, 3]
    done = tickr("retry", "--all", "--queue", queue, "--set", "delay=1h", "--wait", "20", stdin="y\n")
    assert done.stdout.split()[1:] == ["retry", "done", "3", "of", "3"]
    assert {job(tickr, one)["state"] for one in ids} == {"scheduled"}
    shown = tickr("operations", "show", done.stdout.split()[0]).stdout
    assert f'"queue": ["{queue}"]' in shown
    assert '"delay": 3600' in shown


def test_a_dry_run_changes_nothing(tickr: Tickr, queue: str) -> None:
    (one,) = failed(tickr, queue)
    told = tickr("retry", "--all", "--queue", queue, "--dry-run").stdout
    assert told.endswith("tickr retry would be about 1 job.\n")
    assert one in told
    raw = json.loads(tickr("retry", "--all", "--queue", queue, "--dry-run", "--json").stdout)
    assert (raw["total"], raw["examples"][0]["id"]) == (1, one)
    assert job(tickr, one)["state"] == "failed"
    assert tickr("retry", "--all", "--queue", queue, "--finished-before", "1h").stderr == "No such jobs.\n"


def test_cancel_all(tickr: Tickr, queue: str) -> None:
    ids = [tickr("submit", "later", "--queue", queue).stdout.split()[0] for _ in range(2)]
    words = ["--queue", queue, "--state", "ready", "--reason", "no more", "--yes", "--wait", "20", "--json"]
    told = json.loads(tickr("cancel", "--all", *words).stdout)
    assert (told["state"], told["done"], told["reason"]) == ("done", 2, "no more")
    assert "no more" in job(tickr, ids[0])["error"]["message"]


def test_edit_all(tickr: Tickr, queue: str) -> None:
    ids = [tickr("submit", "later", "--queue", queue, "--delay", "1h").stdout.split()[0] for _ in range(2)]
    assert tickr("edit", "--all", "--queue", queue, "--now", "--dry-run").stdout.endswith("about 2 jobs.\n")
    told = tickr("edit", "--all", "--queue", queue, "--now", "--set", "priority=1", "--yes", "--wait", "20").stdout
    assert told.split()[1:] == ["edit", "done", "2", "of", "2"]
    assert {(job(tickr, one)["state"], job(tickr, one)["priority"]) for one in ids} == {("ready", 1)}


def test_delete_all(tickr: Tickr, queue: str) -> None:
    ids = failed(tickr, queue, 2)
    waiting = tickr("submit", "later", "--queue", queue).stdout.split()[0]
    no = tickr("delete", "--all", "--queue", queue, stdin="n\n", code=1)
    assert "Delete 2 jobs?" in no.stderr
    told = tickr("delete", "--all", "--queue", queue, "--yes", "--wait", "20").stdout
    assert told.split()[1:] == ["delete", "done", "2", "of", "2"]
    for gone in ids:
        assert "There is no job" in tickr("show", gone, code=7).stderr
    assert job(tickr, waiting)["state"] == "ready"


def test_operations_are_listed_waited_for_and_stopped(tickr: Tickr, queue: str) -> None:
    failed(tickr, queue, 2)
    begun = tickr("retry", "--all", "--queue", queue, "--set", "delay=1h", "--rate", "0.1", "--yes").stdout.split()[0]
    assert begun in tickr("operations").stdout
    assert tickr("operations", "show", begun, "--wait", "0", code=6).stdout.startswith(f"{begun}  retry  running")
    assert tickr("operations", "stop", begun).stdout.startswith(f"{begun}  retry  stopped")
    listed = [json.loads(line) for line in tickr("operations", "list", "--limit", "1", "--json").stdout.splitlines()]
    assert [(one["id"], one["state"]) for one in listed] == [(begun, "stopped")]
    tickr("operations", "show", begun, "--wait", "5", code=5)
    told = tickr("operations", "stop", ABSENT, code=7)
    assert f"There is no operation {ABSENT}." in told.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["retry"], "Say which jobs"),
        (["cancel"], "Say which jobs"),
        (["retry", ABSENT, "--queue", "q", "--yes"], "With --all only: --queue, --yes."),
        (["cancel", "--all", ABSENT], "cannot be given together"),
        (["retry", ABSENT, "--set", "typ=x"], "must be FIELD=VALUE, the field one of payload, queue"),
        (["retry", ABSENT, "--set", "priority=high"], "priority must be a whole number"),
        (["retry", ABSENT, "--set", "labels=[1]"], "labels must be an object of texts"),
        (["retry", ABSENT, "--set", "queue=a", "--set", "queue=b"], "queue is set twice"),
        (["retry", "--all", "--finished-after", "soon"], "or how long ago"),
        (["dead-letters", "--state", "ready"], "Dead letters are failed jobs"),
    ],
)
def test_what_is_said_wrongly(tickr: Tickr, words: list[str], told: str) -> None:
    assert told in " ".join(tickr(*words, code=2).stderr.replace("│", "").split())


def test_the_servers_refusal_is_shown(tickr: Tickr) -> None:
    assert "must be of succeeded, failed, cancelled" in tickr("retry", "--all", "--state", "ready", code=2).stderr


# -- one --------------------------------------------------------------------------------------------------------------


def test_retry_with_changes(tickr: Tickr, queue: str, tmp_path: Path) -> None:
    (one,) = failed(tickr, queue)
    (tmp_path / "mended.json").write_text('{"n": 1.10}')
    words = [f"payload=@{tmp_path}/mended.json", "priority=1", "max-attempts=7", "timeout=5m", "backoff=constant:5s"]
    words += ['labels={"a":"1"}', "limit_key=k", "run_at=2099-01-01T00:00:00Z", f"queue={queue}-2"]
    assert tickr("retry", one, *(part for word in words for part in ("--set", word))).stdout == f"{one}  runs again\n"
    now = job(tickr, one)
    assert (now["state"], now["queue"], now["priority"], now["max_attempts"]) == ("scheduled", f"{queue}-2", 1, 7)
    assert (now["labels"], now["limit_key"], now["payload"]) == ({"a": "1"}, "k", {"n": 1.1})
    assert '"payload":{"n": 1.10}' in tickr("show", one, "--json").stdout


def test_every_attempt_of_every_life_is_shown(tickr: Tickr, queue: str) -> None:
    (one,) = failed(tickr, queue)
    tickr("retry", one, "--set", "max_attempts=2", "--set", 'payload={"nonsense": 1}')
    deadline = time.monotonic() + 10
    while (attempts := job(tickr, one)["attempts"])[-1]["life"] == 1 or attempts[-1]["outcome"] == "running":
        assert time.monotonic() < deadline
        time.sleep(POLL_S)
    assert [attempt["life"] for attempt in attempts][:2] == [1, 2]
    told = tickr("show", one, "--tracebacks").stdout
    assert "LIFE  TRY  OUTCOME" in told
    assert [line for line in told.splitlines() if line.startswith(("   1    1 ", "   2    1 "))]


def test_dead_letters_in_groups(tickr: Tickr, queue: str) -> None:
    ids = failed(tickr, queue, 2)
    told = tickr("dead-letters", "--queue", queue).stdout.splitlines()
    assert told[0].split() == ["JOBS", "TYPE", "FAULT", "NEWEST", "EXAMPLE"]
    assert (told[1].split()[:2], told[1].split()[-1]) == (["2", "http"], max(ids))
    assert json.loads(tickr("dead-letters", "--queue", queue, "--json").stdout)["total"] == 2
    assert tickr("dead-letters", "--queue", "none").stderr == "No such jobs.\n"


def test_where_not_all_are_counted_none_is_not_said() -> None:
    with TickrProcess(store="memory:", workers=50) as process:

        def run(*words: str, stdin: str = "") -> Result:
            return CliRunner().invoke(main, words, input=stdin, env={"TICKR_URL": process.url, "COLUMNS": "120"})

        def fail(count: int, label: str) -> None:
            url = "http://127.0.0.1:9/"
            job = {"type": "http", "payload": {"url": url}, "max_attempts": 1, "labels": {"is": label}}
            for _ in range(0, count, 1000):
                httpx2.post(f"{process.url}/jobs/batch", json={"jobs": [job] * min(count, 1000)}).raise_for_status()
            while httpx2.get(f"{process.url}/jobs?state=ready&state=running&limit=1").json()["items"]:
                time.sleep(POLL_S)

        fail(5000, "first")
        assert run("dead-letters", "--label", "is=first").stderr == ""
        assert run("dead-letters", "--label", "is=last").stderr == "No such jobs.\n"
        fail(1, "last")
        assert run("dead-letters", "--label", "is=first").stderr == "5000 or more jobs: not all were counted.\n"
        unseen = "None among the jobs that were counted; there are others that were not.\n"
        assert run("dead-letters", "--label", "is=last").stderr == unseen
        words = ["retry", "--all", "--label", "is=last", "--set", "delay=1h"]
        looked = run(*words, "--dry-run")
        assert (looked.stdout, looked.stderr) == ("tickr retry would be about 0 or more jobs.\n", unseen)
        done = run(*words, "--wait", "20", stdin="y\n")
        assert done.stdout.split()[1:] == ["retry", "done", "1", "of", "1", "or", "more"]


def test_what_is_in_payloads_is_said_alike_to_list_and_to_retry(tickr: Tickr, queue: str) -> None:
    words = ["submit", "http", PRIVATE, "--queue", queue, "--max-attempts", "1", "--wait", "10", "--json"]
    mine, other = (json.loads(tickr(*words, f"customer:={n}", code=4).stdout)["id"] for n in (7, 8))
    which = ["--where", "customer=7", "--where", "url=http://127.0.0.1:9/", "--contains", "127", "--queue", queue]
    listed = tickr("list", *which, "--json").stdout
    assert [json.loads(line)["id"] for line in listed.splitlines()] == [mine]
    assert json.loads(tickr("dead-letters", *which, "--json").stdout)["total"] == 1
    assert json.loads(tickr("retry", "--all", *which, "--dry-run", "--json").stdout)["total"] == 1
    tickr("retry", "--all", *which, "--yes", "--set", "delay=1h", "--wait", "20")
    assert [job(tickr, one)["state"] for one in (mine, other)] == ["scheduled", "failed"]
    assert "must be like customer=42" in tickr("list", "--where", "customer", code=2).stderr
    assert "may be searched for 10 values" in tickr("list", *(f"--contains={n}" for n in range(11)), code=2).stderr
