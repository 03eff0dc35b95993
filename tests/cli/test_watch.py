"""``tickr watch`` as a person and as a pipe has it, against real servers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from tests.children import free_port
from tests.cli.running import ROOT, Running, environment
from tests.cli.watched import EVIL
from tests.processes import TickrProcess
from tickr.cli import main
from tickr.cli.exits import INTERRUPTED, PIPE_CLOSED

pytestmark = pytest.mark.slow

APP = "tests.cli.watched:jobs"
ANOTHER_HISTORY = "000000000000.7"
http = httpx2.Client()


@pytest.fixture(scope="module")
def server() -> Iterator[TickrProcess]:
    with TickrProcess(store="memory:", app=APP) as process:
        yield process


@pytest.fixture(scope="module", autouse=True)
def _hang_up() -> Iterator[None]:
    with http:
        yield


def submit(url: str, type: str = "work", **fields: Any) -> str:
    answer = http.post(f"{url}/jobs", json={"type": type, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def watching(url: str, *words: str, **options: Any) -> Running:
    return Running("watch", *words, TICKR_URL=url, **options)


def begun(command: Running) -> None:
    """Wait until it says that it watches; from then on nothing may be missed."""
    command.until(lambda: "Ctrl-C ends" in command.err + command.out)


def told(command: Running) -> list[tuple[str, str]]:
    """Return job and what of each event so far."""
    events = [json.loads(line) for line in command.lines]
    return [(event["subject"], event["type"].removeprefix("tickr.job.")) for event in events]


def run(*words: str, **variables: str) -> Result:
    done = CliRunner().invoke(main, words, env=variables, prog_name="tickr")
    assert not done.exception or isinstance(done.exception, SystemExit), done.exception
    return done


# -- in a pipe --------------------------------------------------------------------------------------------------------


def test_in_a_pipe_each_event_is_a_line_as_the_server_sent_it(server: TickrProcess) -> None:
    with watching(server.url, FORCE_COLOR="1") as command:
        begun(command)
        job_id = submit(server.url, payload={"seconds": 0}, labels={"n": "1.10"})
        command.until(lambda: (job_id, "succeeded") in told(command))
        assert [what for job, what in told(command) if job == job_id] == ["created", "started", "succeeded"]
        page = http.get(f"{server.url}/events", params={"after": "earliest", "job": job_id}).text
        assert [line for line in command.lines if line not in page] == []
        assert command.interrupt() == INTERRUPTED
        assert command.err == f"watching {server.url} from now; Ctrl-C ends\n"


def test_filters_are_the_servers(server: TickrProcess) -> None:
    with watching(
        server.url, "--queue", "mail", "--event", "created", "--event", "cancelled", "--type", "work"
    ) as all_:
        begun(all_)
        submit(server.url)
        wanted = submit(server.url, queue="mail", delay=60)
        submit(server.url, "other", queue="mail")
        http.post(f"{server.url}/jobs/{wanted}/cancel")
        all_.until(lambda: len(told(all_)) == 2)
    assert told(all_) == [(wanted, "created"), (wanted, "cancelled")]
    with watching(server.url, "--job", wanted, "--after", "earliest") as one:
        one.until(lambda: len(told(one)) == 2)
    assert "from the earliest event" in one.err
    assert told(one) == told(all_)


def test_a_cursor_goes_on_from_its_place(server: TickrProcess) -> None:
    first = submit(server.url, delay=60)
    cursor = http.get(f"{server.url}/events", params={"after": "earliest", "job": first}).json()["cursor"]
    second = submit(server.url, delay=60)
    with watching(server.url, "--after", cursor) as command:
        command.until(lambda: bool(told(command)))
    assert told(command) == [(second, "created")]


def test_when_the_pipe_is_closed_it_ends_without_a_word_though_nothing_happens(server: TickrProcess) -> None:
    job_id = submit(server.url, delay=60)  # one event, and never another
    command = f"{sys.executable} -m tickr watch --after earliest --job {job_id}"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -n 1; echo ${{PIPESTATUS[0]}}"],
        cwd=ROOT,
        env=environment({"TICKR_URL": server.url}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    event, code = done.stdout.splitlines()
    assert json.loads(event)["type"] == "tickr.job.created"
    assert int(code) == PIPE_CLOSED
    assert done.stderr.count("\n") == 1


def test_a_write_into_a_closed_pipe_ends_it_without_a_word(server: TickrProcess) -> None:
    """As above, when the write comes before the news that nobody reads."""
    submit(server.url, delay=60)
    program = "from tickr.cli import main, pipes; pipes._watch_stdout = lambda: None; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "watch", "--after", "earliest", "--url", server.url],
        cwd=ROOT,
        env=environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.close()
    _, said = process.communicate(timeout=60)
    assert process.returncode == PIPE_CLOSED, said
    assert said.count(b"\n") == 1


# -- when the connection is lost --------------------------------------------------------------------------------------


def test_no_event_is_lost_or_repeated_when_the_server_is_shot() -> None:
    with TickrProcess(app=APP, workers=4, arguments=["--log-level", "warning"]) as node, watching(node.url) as command:
        begun(command)
        jobs = [submit(node.url, payload={"seconds": 0.5}) for _ in range(30)]
        for _ in range(2):
            before = len(told(command))
            command.until(lambda before=before: len(told(command)) > before + 5)
            node.kill()
            node.start()
        command.until(lambda: {job for job, what in told(command) if what == "succeeded"} == set(jobs))
        versions = defaultdict(list)
        for event in map(json.loads, command.lines):
            versions[event["subject"]].append(event["data"]["job"]["version"])
        assert set(versions) == set(jobs)
        assert [seen for seen in versions.values() if seen != list(range(1, len(seen) + 1))] == []
        assert max(map(len, versions.values())) > 3, "no job was running when the server was shot"
        said = command.err.splitlines()[1:]
    assert said == ["connection lost; trying again …", "back; nothing was missed"] * 2


def test_a_history_that_has_ended_is_told_and_it_goes_on() -> None:
    with TickrProcess(store="memory:", app=APP) as node, watching(node.url) as command:
        begun(command)
        first = submit(node.url, delay=60)
        command.until(lambda: len(told(command)) == 1)
        node.kill()
        node.start()  # a memory has a new history each time
        second = submit(node.url, delay=60)
        command.until(lambda: len(told(command)) == 2)
    assert told(command) == [(first, "created"), (second, "created")]
    lost, missed = command.err.splitlines()[1:]
    assert lost == "connection lost; trying again …"
    assert re.search(r"since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d.* missed; on from the earliest", missed)


# -- on a terminal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 140])
def test_on_a_terminal_each_event_is_a_line_that_fits(server: TickrProcess, columns: int) -> None:
    with watching(server.url, columns=columns) as command:
        begun(command)
        job_id = submit(server.url, "render")
        broken = submit(server.url, "broken", queue="mail")
        command.until(lambda: all(f"{name} " in command.out for name in ("succeeded", "failed", "log", "progress")))
        assert command.interrupt() == INTERRUPTED
    lines = command.lines[1:]
    assert max(map(len, lines)) <= columns
    shown = {name: job if columns >= 120 else f"…{job[-8:]}" for name, job in (("render", job_id), ("broken", broken))}
    assert any(re.fullmatch(rf"\d\d:\d\d:\d\d  started    {shown['render']}  render +1/3", line) for line in lines)
    assert any(re.search(rf"retrying   {shown['broken']}  broken @mail +1/2 +in 0.1 s: Val", line) for line in lines)
    # Of what is said in between, the last is kept on a busy machine; what the bar shows of less is in test_lines.py.
    assert any(re.search(r"━━━━━━━━━━ 100%  frame 4\\x1b\[2J", line) for line in lines)
    assert any(re.search(r"log +\S+  wrote 4.png\\x1b\[2J", line) for line in lines)
    assert "\x1b[36m" in command.out  # in colours
    assert EVIL not in command.out
    assert not re.search(r"\x1b\[2J|\x9b|\u202e|Traceback", command.out)


def test_on_a_terminal_json_is_json(server: TickrProcess) -> None:
    with watching(server.url, "--json", columns=80) as command:
        begun(command)
        job_id = submit(server.url, delay=60)
        command.until(lambda: job_id in command.out and command.out.endswith("\n"))
    assert json.loads(command.lines[1])["subject"] == job_id


# -- when it cannot begin ---------------------------------------------------------------------------------------------


def test_a_cursor_that_cannot_be_used_is_an_error(server: TickrProcess) -> None:
    for cursor, code, words in ((ANOTHER_HISTORY, 7, "no longer kept"), ("nonsense", 2, "not a cursor")):
        done = run("watch", "--after", cursor, "--url", server.url)
        assert (done.exit_code, done.stdout) == (code, "")
        assert words in done.stderr


def test_a_filter_that_makes_no_sense_is_an_error(server: TickrProcess) -> None:
    done = run("watch", "--event", "strated", "--job", "42", "--url", server.url)
    assert done.exit_code == 2
    assert "/event must be one of cancelled, changed, created" in done.stderr
    assert "/job must be a UUID" in done.stderr


def test_nobody_answers() -> None:
    done = run("watch", "--url", f"http://127.0.0.1:{free_port()}")
    assert done.exit_code == 3
    assert done.stderr.startswith("Error: No Tickr answers at")


def test_a_token_is_needed_where_one_is_set(tmp_path: Path) -> None:
    with TickrProcess(store="memory:", variables={"TICKR_TOKEN": "s3cret-of-the-test"}) as node:
        done = run("watch", "--url", node.url, TICKR_TOKEN="")
        assert done.exit_code == 9
        assert "TICKR_TOKEN" in done.stderr
        with watching(node.url, TICKR_TOKEN="s3cret-of-the-test") as command:
            begun(command)
