"""The commands about jobs, as a person types them, against a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from tests.children import POLL_S, free_port
from tests.processes import ROOT, TickrProcess
from tests.test_traces import PARENT
from tickr.cli import main
from tickr.cli.remote import Remote

pytestmark = pytest.mark.slow

TOKEN = "s3cret-of-the-test"
ABSENT = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"
Tickr = Callable[..., Result]


@pytest.fixture(scope="module")
def server() -> Iterator[TickrProcess]:
    with TickrProcess(store="memory:", workers=4, variables={"TICKR_TOKEN": TOKEN}) as process:
        yield process


@pytest.fixture
def tickr(server: TickrProcess) -> Tickr:
    """Run a command against the server; ``code`` is the exit code it must have."""

    def run(*words: str, code: int = 0, stdin: str | bytes = "", **variables: str) -> Result:
        environment = {"TICKR_URL": server.url, "TICKR_TOKEN": TOKEN, "COLUMNS": "80", **variables}
        done = CliRunner().invoke(main, words, input=stdin, env=environment, prog_name="tickr")
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        assert TOKEN not in done.output
        return done

    return run


def submitted(tickr: Tickr, *words: str) -> str:
    """Submit a job and return its id, the first word of the answer."""
    return tickr("submit", *words).stdout.split()[0]


def until(tickr: Tickr, job_id: str, *states: str) -> dict[str, Any]:
    """Wait, by asking, until the job is in one of ``states``; return it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        job: dict[str, Any] = json.loads(tickr("show", job_id, "--json").stdout)
        if job["state"] in states:
            return job
        time.sleep(POLL_S)
    raise AssertionError(f"{job_id} is {job['state']}, not {states}")


# -- submit ----------------------------------------------------------------------------------------------------------


def test_submit_takes_every_field(tickr: Tickr) -> None:
    words = ["report", '{"title":"a","n":1.10}', "--queue", "q1", "--priority", "2", "--delay", "1h"]
    words += ["--max-attempts", "7", "--timeout", "1.5m"]
    words += ["--backoff", "constant:5s", "--label", "a=1", "--label", "b=x=y", "--id", ABSENT[:-1] + "0", "--json"]
    words += ["--traceparent", PARENT]
    job = json.loads(tickr("submit", *words).stdout)
    assert (job["id"], job["type"], job["queue"], job["priority"]) == (ABSENT[:-1] + "0", "report", "q1", 2)
    assert (job["state"], job["max_attempts"], job["labels"]) == ("scheduled", 7, {"a": "1", "b": "x=y"})
    assert job["traceparent"] == PARENT
    assert '"payload":{"title":"a","n":1.10}' in tickr("show", job["id"], "--json").stdout
    assert re.search(rf"^trace +{PARENT}$", tickr("show", job["id"]).stdout, re.MULTILINE)


def test_submit_from_stdin_and_pairs(tickr: Tickr) -> None:
    job_id = tickr("submit", "later", "-", "--run-at", "2099-01-01T00:00:00Z", stdin='{"x": 1}').stdout.split()[0]
    assert json.loads(tickr("show", job_id, "--json").stdout)["payload"] == {"x": 1}
    job_id = submitted(tickr, "later", "a=b", "n:=2", "--delay", "1d")
    assert json.loads(tickr("show", job_id, "--json").stdout)["payload"] == {"a": "b", "n": 2}


def test_the_same_id_is_the_same_job(tickr: Tickr) -> None:
    job_id = submitted(tickr, "later", "--delay", "1h")
    assert submitted(tickr, "later", "--delay", "1h", "--id", job_id) == job_id
    told = tickr("submit", "other", "--id", job_id, code=8)
    assert "already belongs to a job with another content" in told.stderr


def test_what_the_server_refuses_is_told_with_every_pointer(tickr: Tickr) -> None:
    told = tickr("submit", "report", "--priority", "12", "--delay", "1", "--run-at", "2099-01-01", code=2)
    assert told.stdout == ""
    assert "\n  /priority must be a whole number" in told.stderr
    assert "\n  /run_at cannot be given together with delay" in told.stderr


def test_a_unique_key_is_held_by_one_job(tickr: Tickr) -> None:
    words = ["later", "--delay", "1h", "--unique-key", "invoice 42"]
    first = submitted(tickr, *words, "--unique-until", "90m")
    job = json.loads(tickr("show", first, "--json").stdout)
    assert job["unique"] == {"key": "invoice 42", "until": 5400}
    assert re.search(r"unique +invoice 42, for 5400 s from its creation", tickr("show", first).stdout)
    held = tickr("submit", *words)
    assert held.stdout.split()[0] == first
    assert held.stderr == f"Nothing was submitted: job {first} holds this unique key (scheduled).\n"
    assert (
        f"Job {first} holds this unique key; it waits."
        in tickr("submit", *words, "--on-conflict", "reject", code=8).stderr
    )
    second = submitted(tickr, *words, "--on-conflict", "replace")
    assert second != first
    assert json.loads(tickr("show", first, "--json").stdout)["error"]["kind"] == "replaced"
    assert re.search(r"unique +invoice 42, until it has ended", tickr("show", second).stdout)


def test_the_same_idempotency_key_is_the_same_job(tickr: Tickr) -> None:
    words = ["later", "--delay", "1h", "--idempotency-key", 'nightly "import" \\ 7']
    first = submitted(tickr, *words)
    assert submitted(tickr, *words) == first
    told = tickr("submit", "later", "--delay", "2h", *words[3:], code=2)
    assert "was used for another request" in told.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["submit", "x", "--unique-until", "final"], "go with --unique-key"),
        (["submit", "x", "--on-conflict", "reject"], "go with --unique-key"),
        (["submit", "x", "--unique-key", "k", "--unique-until", "soon"], "must be final, started, or a duration"),
        (["submit", "x", "--unique-key", "k", "--on-conflict", "soon"], "is not one of"),
        (["submit", "x", "--idempotency-key", "ä"], "printable ASCII"),
        (["submit"], "Missing argument 'TYPE'"),
        (["submit", "x", "hello"], "'hello' is not JSON"),
        (["submit", "x", "--delay", "soon"], "must be a duration"),
        (["submit", "x", "--run-at", "soon"], "must be an instant"),
        (["submit", "x", "--backoff", "soon"], "must be like"),
        (["submit", "x", "--label", "a"], "is not like name=value"),
        (["list", "--limit", "0"], "--limit"),
        (["cancel"], "Say which jobs"),
        (["sbumit"], "No such command"),
        (["show", ABSENT, "--url", "nowhere"], "--url must be like"),
    ],
)
def test_misuse_is_exit_code_2_and_told(tickr: Tickr, words: list[str], told: str) -> None:
    assert told in tickr(*words, code=2).stderr


# -- look ------------------------------------------------------------------------------------------------------------


def test_show_a_job_that_ran(tickr: Tickr) -> None:
    job_id = submitted(tickr, "report", "title=Hello", "body=World")
    until(tickr, job_id, "succeeded")
    text = tickr("show", job_id).stdout
    assert text.startswith(f"report  {job_id}  succeeded\n")
    for part in ("1 of 3", '"title": "Hello"', "result", "TRY"):
        assert part in text


def test_show_a_job_that_failed_with_its_attempts(tickr: Tickr) -> None:
    job_id = submitted(tickr, "http", "url=:bad")
    job = until(tickr, job_id, "failed")
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["failed"]
    assert re.search(r"error +give_up: ", tickr("show", job_id).stdout)


def test_show_says_when_nobody_handles_a_type(tickr: Tickr) -> None:
    job_id = submitted(tickr, "reprot")
    assert 'No live node handles the type "reprot"' in tickr("show", job_id).stdout.splitlines()[1]


def test_show_what_is_not_there(tickr: Tickr) -> None:
    assert tickr("show", ABSENT, code=7).stderr == f"Error: There is no job {ABSENT}.\n"
    assert "must be a UUID" in tickr("show", "42", code=2).stderr
    assert "nothing here" in tickr("show", "../queues", code=7).stderr


def test_list_filters_and_pages(tickr: Tickr) -> None:
    ids = [submitted(tickr, "later", "--queue", "paging", "--label", f"n={n}", "--delay", "1h") for n in range(5)]
    listed = [json.loads(line)["id"] for line in tickr("list", "--queue", "paging", "--json").stdout.splitlines()]
    assert listed == ids[::-1]
    first = tickr("list", "--queue", "paging", "--limit", "2")
    assert [line.split()[0] for line in first.stdout.splitlines()] == ["ID", ids[4], ids[3]]
    assert "--limit 10 or --all" in first.stderr
    assert tickr("list", "--queue", "paging", "--limit", "5").stderr == ""
    assert tickr("list", "--parent", ids[0], "--schedule", "nightly").stderr == "No such jobs.\n"
    assert "the id of a job" in tickr("list", "--parent", "x", code=2).stderr
    assert ids[1] in tickr("list", "--label", "n=1", "--type", "later", "--state", "scheduled").stdout
    assert tickr("list", "--queue", "paging", "--state", "failed").stderr == "No such jobs.\n"
    assert tickr("list", "--label", "=", code=2).stderr.count("/label must") == 1


def test_list_all_goes_through_every_page(tickr: Tickr, server: TickrProcess) -> None:
    with httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        for _ in range(205):  # one page holds 200
            http.post("/jobs", json={"type": "later", "queue": "many", "delay": 3600}).raise_for_status()
    assert len(tickr("list", "--queue", "many", "--all", "--json").stdout.splitlines()) == 205
    assert len(tickr("list", "--queue", "many", "--limit", "203").stdout.splitlines()) == 204
    with Remote(server.url, TOKEN) as remote:
        assert len(list(remote.jobs({"queue": ["many"]}, limit=203))) == 203


# -- change ----------------------------------------------------------------------------------------------------------


def test_cancel_and_retry(tickr: Tickr) -> None:
    waiting, other = (submitted(tickr, "later", "--delay", "1h") for _ in range(2))
    assert tickr("cancel", waiting, other).stdout == f"{waiting}  cancelled\n{other}  cancelled\n"
    assert tickr("retry", waiting).stdout == f"{waiting}  runs again\n"
    assert json.loads(tickr("retry", other, "--json").stdout)["state"] == "ready"
    running = submitted(tickr, "report", "title=a", "body=b", "time:=60")
    until(tickr, running, "running")
    assert "told to stop" in tickr("cancel", running).stdout
    until(tickr, running, "cancelled")


def test_edit(tickr: Tickr) -> None:
    one, other = (submitted(tickr, "later", "--delay", "1h", "--expires-in", "3h") for _ in range(2))
    told = tickr("edit", one, other, "--set", "queue=edited", "--set", "priority=2", "--now").stdout
    assert told == f"{one}  ready in edited, priority 2\n{other}  ready in edited, priority 2\n"
    shown = json.loads(tickr("edit", one, "--set", "expires_at=never", "--set", "delay=2h", "--json").stdout)
    assert (shown["expires_at"], shown["state"], shown["version"]) == (None, "scheduled", 3)
    assert ", due " in tickr("edit", one, "--set", "priority=0").stdout
    tickr("cancel", one)
    assert "retry it" in tickr("edit", one, "--now", code=8).stderr
    assert "Say what is to be different" in tickr("edit", one, code=2).stderr
    assert "delay is set twice" in tickr("edit", one, "--now", "--set", "delay=5", code=2).stderr


def test_delete(tickr: Tickr) -> None:
    one, other = (submitted(tickr, "later", "--delay", "1h") for _ in range(2))
    assert "has not ended" in tickr("delete", one, code=8).stderr
    assert tickr("delete", one, "--cancel").stdout == f"{one}  deleted\n"
    tickr("cancel", other)
    assert tickr("delete", other).stdout == f"{other}  deleted\n"
    for gone in (one, other):
        assert f"There is no job {gone}." in tickr("show", gone, code=7).stderr
    assert "for jobs that wait" in tickr("delete", "--all", "--cancel", "--yes", code=2).stderr


def test_one_refusal_does_not_keep_the_others_from_being_done(tickr: Tickr) -> None:
    good = submitted(tickr, "later", "--delay", "1h")
    told = tickr("cancel", ABSENT, good, "nonsense", code=1)
    assert told.stdout == f"{good}  cancelled\n"
    assert f"There is no job {ABSENT}." in told.stderr
    assert told.stderr.endswith("Error: 2 of 3 refused.\n")
    assert "cannot be retried" in tickr("retry", submitted(tickr, "later"), code=8).stderr


# -- who is asked ----------------------------------------------------------------------------------------------------


def test_without_the_token_nothing_is_told_but_where_it_goes(tickr: Tickr) -> None:
    told = tickr("list", code=9, TICKR_TOKEN="")
    assert "takes the token from the variable TICKR_TOKEN" in told.stderr


def test_a_flag_names_the_server_before_the_variable(tickr: Tickr, server: TickrProcess) -> None:
    assert tickr("list", "--url", server.url + "/", TICKR_URL="http://127.0.0.1:1")
    dead = f"http://127.0.0.1:{free_port()}"
    for command in (["list"], ["show", ABSENT], ["submit", "x"], ["cancel", ABSENT, ABSENT], ["retry", ABSENT]):
        told = tickr(*command, "--url", dead, code=3)
        assert (
            told.stderr
            == f"Error: No Tickr answers at {dead}. Start one with `tickr serve`, or name another with --url.\n"
        )


@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}])
def test_any_text_is_shown_on_any_terminal(server: TickrProcess, tickr: Tickr, variables: dict[str, str]) -> None:
    job_id = submitted(tickr, "report", "title=é…漢", "--delay", "1h")
    surroundings = {"TICKR_URL": server.url, "TICKR_TOKEN": TOKEN, "PYTHONUTF8": "0", **variables}
    for words in (["show", job_id], ["show", job_id, "--json"], ["list"], ["--help"], ["list", "--limit", "1"]):
        done = subprocess.run(
            [sys.executable, "-m", "tickr", *words],
            cwd=ROOT,
            env={**os.environ, **surroundings},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        if words == ["show", job_id]:
            assert rb"\xe9\u2026\u6f22" in done.stdout
