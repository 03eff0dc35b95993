"""``tickr schedule …`` against a running Tickr: what is printed, what is refused, and with which exit code."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.children import POLL_S
from tests.processes import TickrProcess
from tickr.cli import main

pytestmark = pytest.mark.slow

TOKEN = "s3cret-of-the-test"
Tickr = Callable[..., Result]
NIGHTLY = ["nightly", "report", "title=Night", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin"]


@pytest.fixture(scope="module")
def server() -> Iterator[TickrProcess]:
    with TickrProcess(store="memory:", workers=4, variables={"TICKR_TOKEN": TOKEN}) as process:
        yield process


@pytest.fixture
def tickr(server: TickrProcess) -> Iterator[Tickr]:
    """Run a command against the server; ``code`` is the exit code it must have. At the end no schedule is left."""

    def run(*words: str, code: int = 0, **variables: str) -> Result:
        environment = {"TICKR_URL": server.url, "TICKR_TOKEN": TOKEN, "COLUMNS": "80", **variables}
        done = CliRunner().invoke(main, words, env=environment, prog_name="tickr")
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        assert TOKEN not in done.output
        return done

    yield run
    names = [json.loads(line)["name"] for line in run("schedule", "list", "--json").stdout.splitlines()]
    if names:
        run("schedule", "delete", *names)


def document(done: Result) -> dict[str, Any]:
    return dict(json.loads(done.stdout))


# -- put --------------------------------------------------------------------------------------------------------------


def test_put_says_in_one_line_what_there_is(tickr: Tickr) -> None:
    told = tickr("schedule", "put", *NIGHTLY).stdout
    assert told.startswith("nightly  30 2 * * * Europe/Berlin  report  next in ")
    assert told.count("\n") == 1
    assert (
        tickr("schedule", "put", "poll", "report", "--every", "1.5m").stdout
        == "poll  every 90 s  report  next in 90 s\n"
    )


def test_put_takes_every_field(tickr: Tickr) -> None:
    words = ["poll", "report", '{"n":1.10}', "--every", "2h", "--start-at", "2030-01-31T12:00:00Z", "--missed", "all"]
    words += ["--overlap", "skip", "--queue", "q", "--priority", "2", "--max-attempts", "7", "--timeout", "90"]
    words += ["--backoff", "constant:5s", "--label", "a=1", "--json"]
    done = tickr("schedule", "put", *words)
    found = document(done)
    assert (found["every"], found["start_at"]) == (7200, "2030-01-31T12:00:00.000000Z")
    assert (found["missed"], found["overlap"], found["next"][0]) == ("all", "skip", found["start_at"])
    backoff = {"kind": "constant", "base": 5.0}
    job = {"type": "report", "queue": "q", "priority": 2, "max_attempts": 7, "timeout": 90.0, "backoff": backoff}
    assert found["job"] == job | {"payload": {"n": 1.1}, "labels": {"a": "1"}}
    assert '"payload":{"n":1.10}' in done.stdout


def test_put_takes_a_word_an_end_and_a_first_tick_at_once(tickr: Tickr) -> None:
    assert tickr("schedule", "put", "night", "report", "--cron", "@daily").stdout.startswith(
        "night  @daily UTC  report"
    )
    words = ["--every", "1h", "--start-now", "--end-at", "2031-01-31T12:00:00Z", "--times", "3"]
    found = document(tickr("schedule", "put", "few", "report", *words, "--json"))
    assert (found["start"], found["end_at"], found["times"]) == ("now", "2031-01-31T12:00:00.000000Z", 3)
    assert found["next"][0] == found["created_at"]
    text = " ".join(tickr("schedule", "show", "few").stdout.split())
    assert "start now" in text
    assert "end 2031-01-31" in text
    assert " of 3 missed" in text
    over = ["over", "report", "--every", "1h", "--end-at", "2020-01-31T12:00:00Z"]
    assert tickr("schedule", "put", *over).stdout == "over  every 3600 s  report  ended\n"
    assert "ended end_at: no tick is left" in " ".join(tickr("schedule", "show", "over").stdout.split())
    assert "ended" in tickr("schedule", "list").stdout


def test_put_again_changes_what_is_different(tickr: Tickr) -> None:
    tickr("schedule", "put", *NIGHTLY)
    assert document(tickr("schedule", "put", *NIGHTLY, "--json"))["version"] == 1
    assert document(tickr("schedule", "put", *NIGHTLY, "--missed", "all", "--json"))["version"] == 2
    assert document(tickr("schedule", "put", *NIGHTLY, "--json"))["missed"] == "once"


def test_what_the_server_refuses_is_told_with_every_pointer(tickr: Tickr) -> None:
    told = tickr("schedule", "put", "a", "t", "--cron", "61 * * * *", "--timezone", "Berlin", "--overlap", "x", code=2)
    assert '\n  /cron has the minute "61"' in told.stderr
    assert 'did you mean "Europe/Berlin"?' in told.stderr
    assert "\n  /overlap must be allow or skip" in told.stderr
    assert "\n  /cron is required, or every" in tickr("schedule", "put", "a", "t", code=2).stderr
    assert "/name must be 1 to 64" in tickr("schedule", "put", "a b", "t", "--every", "5", code=2).stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["put"], "Missing argument 'NAME'"),
        (["put", "a"], "Missing argument 'TYPE'"),
        (["put", "a", "t", "--every", "soon"], "must be a duration"),
        (["put", "a", "t", "--start-at", "soon"], "must be an instant"),
        (["show", "a", "--ticks", "0"], "--ticks"),
        (["pause"], "Missing argument"),
        (["start"], "No such command"),
    ],
)
def test_misuse_is_exit_code_2_and_told(tickr: Tickr, words: list[str], told: str) -> None:
    assert told in tickr("schedule", *words, code=2).stderr


# -- look -------------------------------------------------------------------------------------------------------------


def test_list_shows_all_by_name(tickr: Tickr) -> None:
    assert tickr("schedule", "list").stderr == "No schedules.\n"
    tickr("schedule", "put", "poll", "http", "--every", "1h")
    tickr("schedule", "put", *NIGHTLY)
    tickr("schedule", "pause", "poll")
    header, first, second = tickr("schedule", "list").stdout.splitlines()
    assert header.split() == ["NAME", "WHEN", "TYPE", "NEXT", "LAST", "MISSED", "OVERLAP"]  # a pipe is wide
    assert first.startswith("nightly  30 2 * * * Europe/Berlin  report  in ")
    assert second.split() == ["poll", "every", "3600", "s", "http", "paused", "once", "allow"]
    names = [json.loads(line)["name"] for line in tickr("schedule", "list", "--json").stdout.splitlines()]
    assert names == ["nightly", "poll"]


def test_list_goes_through_every_page(tickr: Tickr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickr.cli.remote_schedules.PAGE", 2)
    for n in range(5):
        tickr("schedule", "put", f"s{n}", "t", "--every", "1h")
    assert len(tickr("schedule", "list", "--json").stdout.splitlines()) == 5


def test_show_a_schedule_and_its_next_ticks(tickr: Tickr) -> None:
    tickr("schedule", "put", *NIGHTLY, "--overlap", "skip")
    text = tickr("schedule", "show", "nightly", "--ticks", "3").stdout
    lines = text.splitlines()
    assert lines[0].startswith("nightly  30 2 * * * Europe/Berlin  next in ")
    for part in ("report, queue default", '"title": "Night"', "once: one job", "skip: no job while", "changed"):
        assert part in text
    at = next(number for number, one in enumerate(lines) if one.startswith("next  "))
    assert len(lines[at:]) == 3
    assert len(document(tickr("schedule", "show", "nightly", "--json"))["next"]) == 10
    assert tickr("schedule", "show", "nobody", code=7).stderr == "Error: There is no schedule nobody.\n"


# -- change -----------------------------------------------------------------------------------------------------------


def test_pause_resume_and_delete(tickr: Tickr) -> None:
    tickr("schedule", "put", *NIGHTLY)
    tickr("schedule", "put", "poll", "report", "--every", "1h")
    told = tickr("schedule", "pause", "nightly", "nobody", "poll", code=7)
    assert [line.split()[-1] for line in told.stdout.splitlines()] == ["paused", "paused"]
    assert "There is no schedule nobody." in told.stderr
    assert told.stderr.endswith("Error: 1 of 3 refused.\n")
    assert tickr("schedule", "resume", "poll").stdout == "poll  every 3600 s  report  next in 60 min\n"
    assert document(tickr("schedule", "resume", "nightly", "--json"))["paused"] is False
    assert tickr("schedule", "delete", "nightly").stdout == "nightly  deleted\n"
    assert document(tickr("schedule", "delete", "poll", "--json")) == {"name": "poll", "deleted": True}
    assert tickr("schedule", "delete", "poll", code=7).stderr == "Error: There is no schedule poll.\n"


def test_run_makes_a_job_that_says_where_it_comes_from(tickr: Tickr) -> None:
    tickr("schedule", "put", *NIGHTLY)
    job_id, *rest = tickr("schedule", "run", "nightly").stdout.split()
    assert rest == ["report", "ready"]
    assert "schedule nightly, on request" in " ".join(tickr("show", job_id).stdout.split())
    assert document(tickr("schedule", "run", "nightly", "--json"))["schedule"] == {"name": "nightly", "tick": None}
    assert document(tickr("schedule", "show", "nightly", "--json"))["last_tick"] is None


def test_ticks_make_jobs(tickr: Tickr) -> None:
    tickr("schedule", "put", "poll", "report", "--every", "1")
    deadline = time.monotonic() + 20
    while (found := document(tickr("schedule", "show", "poll", "--json")))["last_job"] is None:
        assert time.monotonic() < deadline
        time.sleep(POLL_S)
    job = tickr("show", found["last_job"]).stdout
    assert "schedule poll, tick " in " ".join(job.split())
    assert "last job" in tickr("schedule", "show", "poll").stdout


# -- who is asked -----------------------------------------------------------------------------------------------------


def test_without_the_token_nothing_is_told(tickr: Tickr) -> None:
    assert "takes the token from the variable" in tickr("schedule", "list", code=9, TICKR_TOKEN="").stderr
    dead = "http://127.0.0.1:1"
    assert "No Tickr answers at" in tickr("schedule", "put", *NIGHTLY, "--url", dead, code=3).stderr
