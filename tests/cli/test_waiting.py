"""``--wait`` of submit and show, ``--reason`` of cancel and ``--expires-…`` of submit, against a real server."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.children import POLL_S
from tests.cli.running import Running
from tests.cli.test_jobs_commands import ABSENT, Tickr, server, submitted, tickr, until
from tests.processes import TickrProcess
from tickr.client import Client

__all__ = ["server", "tickr"]  # fixtures

pytestmark = pytest.mark.slow


def test_submit_waits_for_the_end_and_says_it(tickr: Tickr) -> None:
    told = tickr("submit", "report", "title=Hello", "time:=0.3", "--wait", "20s").stdout
    first, second = told.splitlines()
    assert first.split()[1:] == ["report", "succeeded"]
    assert json.loads(second)["title"] == "Hello"
    job = json.loads(tickr("submit", "report", "title=Hello", "--wait", "20s", "--json").stdout)
    assert (job["state"], job["result"]["words"]) == ("succeeded", 0)


def test_the_exit_code_is_the_outcome(tickr: Tickr) -> None:
    failed = tickr("submit", "http", "url=:bad", "--wait", "forever", code=4).stdout
    assert "failed\ngive_up: " in failed
    waiting = tickr("submit", "later", "--delay", "1h", "--wait", "0.2", code=6).stdout
    assert "later  scheduled, due in" in waiting
    job_id = waiting.split()[0]
    tickr("cancel", job_id, "--reason", "no longer wanted")
    shown = tickr("show", job_id, "--wait", "1h", code=5).stdout
    assert "cancelled: Cancelled on request: no longer wanted" in shown


def test_show_waits_and_then_shows_everything(tickr: Tickr) -> None:
    job_id = submitted(tickr, "report", "title=Hello", "time:=0.5")
    text = tickr("show", job_id, "--wait", "20").stdout
    assert text.startswith(f"report  {job_id}  succeeded\n")
    assert "TRY" in text
    job = json.loads(tickr("show", job_id, "--wait", "0", "--json").stdout)
    assert [one["outcome"] for one in job["attempts"]] == ["succeeded"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["show", ABSENT, "--wait", "1h"], 7, "no job"),
        (["submit", "x", "--wait", "soon"], 2, "must be a duration"),
        (["submit", "x", "--wait", "1s", "--watch"], 2, "cannot be given together"),
        (["submit", "x", "--expires-in", "1m", "--delay", "2m"], 2, "/expires_in must be later than the job is due"),
        (["submit", "x", "--expires-at", "soon"], 2, "must be an instant"),
        (["show", ABSENT, "--wait", "0.2", "--url", "http://127.0.0.1:1"], 3, "No Tickr answers"),
        (["cancel", ABSENT, "--reason", " "], 2, "/reason must be a line of text"),
        (["cancel", ABSENT, "--reason", "\udcff"], 2, "not valid UTF-8"),
    ],
)
def test_what_cannot_be_is_told(tickr: Tickr, words: list[str], code: int, told: str) -> None:
    assert told in tickr(*words, code=code).stderr


def test_how_long_a_job_is_kept_is_said_and_shown(tickr: Tickr) -> None:
    job_id = submitted(tickr, "later", "--keep", "1h30m")
    assert json.loads(tickr("show", job_id, "--json").stdout)["keep"] == 5400
    assert "\nkept     90 min after its end" in tickr("show", job_id).stdout
    assert "/keep must be a number of seconds" in tickr("submit", "x", "--keep", "4000d", code=2).stderr


def test_when_a_job_expires_is_said_and_shown(tickr: Tickr) -> None:
    job_id = submitted(tickr, "later", "--delay", "1h", "--expires-in", "2h")
    assert "\nexpires " in tickr("show", job_id).stdout
    job = json.loads(tickr("show", job_id, "--json").stdout)
    created, expires = (datetime.fromisoformat(job[name]) for name in ("created_at", "expires_at"))
    assert expires - created == timedelta(hours=2)
    at = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
    other = submitted(tickr, "later", "--expires-at", at)
    assert datetime.fromisoformat(json.loads(tickr("show", other, "--json").stdout)["expires_at"]).isoformat() == at
    late = tickr("submit", "nobody", "--expires-in", "0.5", "--wait", "20", code=5).stdout
    assert "cancelled\nexpired: Expired at " in late
    assert "\nexpires " not in tickr("show", late.split()[0]).stdout


def test_ctrl_c_leaves_the_job_alone_and_says_how_to_go_on(server: TickrProcess, tickr: Tickr) -> None:
    job_id = submitted(tickr, "later", "--delay", "1h")
    variables = {"TICKR_URL": server.url, "TICKR_TOKEN": server.variables["TICKR_TOKEN"]}
    with Running("show", job_id, "--wait", "forever", **variables) as command:
        wait_until_it_asks(command)
        assert command.interrupt() == 130
        assert f"tickr show {job_id} --wait 1h" in command.err
    assert until(tickr, job_id, "scheduled")


def test_it_outlasts_a_server_that_is_killed_and_comes_back() -> None:
    with TickrProcess() as process, Client(process.url) as client:
        job_id = client.submit("report", {"time": 1.5}).id
        with Running("show", job_id, "--wait", "60s", "--json", TICKR_URL=process.url) as command:
            wait_until_it_asks(command)
            process.kill()
            process.start()
            assert command.end() == 0, command.err
            assert json.loads(command.out)["state"] == "succeeded"


def wait_until_it_asks(command: Running) -> None:
    """Return when the command has its connection to the server."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        links = list(Path(f"/proc/{command.process.pid}/fd").iterdir())
        if any(str(link.readlink()).startswith("socket:") for link in links if link.is_symlink()):
            return
        time.sleep(POLL_S)
    raise AssertionError(f"it does not ask: {command.err}")
