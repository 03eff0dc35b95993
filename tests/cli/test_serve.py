"""``tickr serve`` as an operator meets it: what it says when it starts, and in one line why it does not."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.children import POLL_S, NotReady, free_port
from tests.processes import TickrProcess

pytestmark = pytest.mark.slow

APP = "import tickr\njobs = tickr.Jobs()\n\n@jobs.handler('greet')\nasync def greet(job: tickr.Job) -> None: ...\n"


class Serve:
    """``tickr serve`` in a folder of the test's own, for those that do not come up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def environment(self, **variables: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TICKR_")}
        return {**kept, "PYTHONPATH": str(Path(__file__).parent.parent.parent), **variables}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "tickr", "serve", *words]

    def refused(self, *words: str, code: int, **variables: str) -> str:
        """Return all that is said, none of which is a traceback."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        return done.stderr


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    return Serve(tmp_path)


# -- it does not start -----------------------------------------------------------------------------------------------


def test_all_faults_of_the_configuration_are_listed(serve: Serve) -> None:
    (serve.folder / "t.toml").write_text('grace = "never"\n')
    told = serve.refused("--port", "x", "--config", "t.toml", "--host", "0.0.0.0", code=2, TICKR_WORKERS="0")
    first, *faults = told.splitlines()
    assert first == "Error: 4 settings cannot be used:"
    assert [fault.split()[0] for fault in faults] == ["t.toml:", "TICKR_WORKERS", "--port", "--host"]


def test_an_unreachable_store_is_one_line(serve: Serve) -> None:
    told = serve.refused("--store", f"mysql://u:canary@127.0.0.1:{free_port()}/t", "--port", "0", code=3)
    assert told.startswith("Error: ")
    assert told.count("\n") == 1
    assert "canary" not in told
    assert "Connection refused" in told
    told = serve.refused("--store", "sqlite:////no/such/folder/t.db", "--port", "0", code=3)
    assert told.startswith("Error: ")
    assert "/no/such/folder/t.db" in told


def test_a_port_that_is_taken_is_one_line(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        told = serve.refused("--port", port, code=1)
    assert told == f"Error: Port {port} is taken by another program; choose another with --port.\n"


def test_another_schema_is_one_line_that_says_what_to_run(serve: Serve) -> None:
    with sqlite3.connect(serve.folder / "tickr.db") as db:
        db.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT, applied_at INTEGER)")
        db.execute("INSERT INTO schema_version VALUES (999, 'future', 0)")
    db.close()
    told = serve.refused("--port", "0", code=1)
    assert told.startswith("Error: This database is at schema 999")
    assert told.count("\n") == 1


def test_an_application_that_is_not_there_is_one_line(serve: Serve) -> None:
    assert serve.refused("nowhere:jobs", code=2).startswith("Error: There is no module 'nowhere'")


# -- it starts -------------------------------------------------------------------------------------------------------


@pytest.fixture
def terminal(serve: Serve) -> Iterator[tuple[int, list[subprocess.Popen[bytes]]]]:
    """A terminal of 80 columns; processes put into the list are killed in the end."""
    ours, theirs = pty.openpty()
    started: list[subprocess.Popen[bytes]] = []
    (serve.folder / "myapp.py").write_text(APP)
    port = str(free_port())
    command = serve.command("myapp", "--port", port, "--store", "memory:")
    try:
        started.append(subprocess.Popen(command, cwd=serve.folder, env=serve.environment(), stderr=theirs))
        os.close(theirs)
        yield ours, started
    finally:
        for process in started:
            process.kill()
            process.wait()
        os.close(ours)


def read_until(terminal: int, text: str) -> str:
    told = ""
    while text not in told:
        assert select.select([terminal], [], [], 20)[0], told
        told += os.read(terminal, 65536).decode()
    return told


def test_on_a_terminal_it_says_how_to_submit_look_and_stop(
    curl: str, terminal: tuple[int, list[subprocess.Popen[bytes]]]
) -> None:
    screen, (process,) = terminal
    told = read_until(screen, "Ctrl-C").replace("\r\n", "\n")
    _, _, welcome = told.partition("Tickr serves on ")
    url = welcome.split()[0]
    for line in (
        "  submit  curl ",
        f"  look    curl {url}/jobs\n",
        f"  watch   {url}/ui in a browser\n",
        "  stop    Ctrl-C",
    ):
        assert line in welcome
    # What it says to do is done here, by a shell, to the letter.
    submit = welcome.partition("submit  ")[2].partition("  look")[0].replace("curl ", "curl -sS --fail ")
    assert '"type":"report"' in subprocess.run(submit, shell=True, capture_output=True, text=True, check=True).stdout
    with urllib.request.urlopen(f"{url}/jobs") as answer:
        assert b'"report"' in answer.read()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_elsewhere_the_log_is_json_alone_and_the_lines_for_people_are_on_stdout(serve: Serve) -> None:
    command = serve.command("--store", "memory:", "--port", "0")
    with subprocess.Popen(
        command, cwd=serve.folder, env=serve.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            told = [process.stdout.readline() for _ in range(6)]  # before it ends: they are flushed
            process.terminate()
            rest, log = process.communicate(timeout=60)
        finally:
            process.kill()
    assert [line.split()[0] for line in told] == ["Tickr", "submit", "-d", "look", "watch", "stop"]
    assert rest == ""
    assert {json.loads(line)["event"] for line in log.splitlines()} >= {"node.serving", "node.stopped"}


def test_a_stdout_that_is_closed_is_no_reason_not_to_serve(serve: Serve) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    command = serve.command("--store", "memory:", "--port", "0")
    with subprocess.Popen(
        command, cwd=serve.folder, env=serve.environment(), stdout=theirs, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            os.close(theirs)
            assert process.stderr
            log = ""
            while "node.serving" not in log:
                log += (line := process.stderr.readline())
                assert line, log
            process.terminate()
            _, log = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "node.stopped" in log
    assert process.returncode == 0, log


def test_a_variable_misspelt_is_warned_of() -> None:
    with TickrProcess(store="memory:", variables={"TICKR_WORKER": "5"}) as node:
        assert "did you mean TICKR_WORKERS?" in node.log


def test_settings_may_all_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text('store = "memory:"\nworkers = 3\ntoken = "0123456789abcdef"\nhost = "0.0.0.0"\n')
    with TickrProcess(arguments=["--config", str(tmp_path / "t.toml")]) as node:
        request = urllib.request.Request(f"{node.url}/jobs")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        refused.value.close()
        assert refused.value.code == 401
        request.add_header("Authorization", "Bearer 0123456789abcdef")
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200


STUBBORN = """
import threading
import trio
import tickr
jobs = tickr.Jobs()

@jobs.handler("stubborn")
async def stubborn(job: tickr.Job) -> None:
    while True:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            pass

@jobs.handler("thread")
def thread(job: tickr.Job) -> None:
    threading.Event().wait()
"""


def until_logged(node: TickrProcess, event: str) -> None:
    deadline = time.monotonic() + 10
    while event not in node.log:
        assert time.monotonic() < deadline, node.log
        time.sleep(POLL_S)


@pytest.mark.parametrize("type", ["stubborn", "thread"])
def test_a_handler_that_never_ends_does_not_keep_the_process(tmp_path: Path, type: str) -> None:
    (tmp_path / "stubbornness.py").write_text(STUBBORN)
    with TickrProcess(
        store="memory:", app="stubbornness", arguments=["--grace", "0.2"], python_path=[tmp_path]
    ) as node:
        request = urllib.request.Request(
            f"{node.url}/jobs", data=f'{{"type":"{type}"}}'.encode(), headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request).close()
        until_logged(node, "job.started")
        node.terminate()
        try:
            assert node.wait(25) == 0
        except NotReady:
            pytest.fail(node.log)
        assert "node.stopped" in node.log
        assert ("node.handlers_left_behind" in node.log) == (type == "stubborn")  # threads end with the process
