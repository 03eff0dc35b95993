"""The client of ``clients/js``: its own tests, and against a server that is killed and comes back."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import do_without
from tests.docs.pages import ROOT
from tests.processes import TickrProcess
from tickr.client import Client
from tickr.failpoints import VARIABLE

HERE = Path(__file__).parent
CLIENT = ROOT / "clients" / "js"
JOBS, CALLERS, HOUR_S = 3000, 100, 3600
DEATHS = ("intake.after_commit=kill@2", "api.before_answer=kill@3")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def node() -> str:
    """Node, as new as the client wants it."""
    found = shutil.which("node")
    if found is None or subprocess.run([found, "-e", "crypto.randomUUID(), fetch"], check=False).returncode:
        do_without("Node 20 is not installed")
    return found


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}


def lines(node: str, program: str, *arguments: object) -> Iterator[str]:
    """Yield what ``program`` prints, line by line. Raises: AssertionError: it failed, with what it said."""
    command = [node, str(HERE / program), *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment()) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        try:
            yield from (line.rstrip("\n") for line in running.stdout)
            assert running.wait(10) == 0, running.stderr.read()
        finally:
            running.kill()


def test_its_own_tests_pass(node: str) -> None:
    tests = sorted(str(path) for path in (CLIENT / "test").glob("*.test.mjs"))
    done = subprocess.run([node, "--test", *tests], capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stdout[-20_000:]
    assert re.search(r"^# pass [1-9]\d", done.stdout, re.MULTILINE)


def test_every_call_is_understood_by_a_server(node: str, shared_tickr: TickrProcess) -> None:
    assert list(lines(node, "methods.mjs", shared_tickr.url)) == ["done"]


def test_each_of_thousands_is_stored_once_though_the_server_is_killed(node: str, tmp_path: Path) -> None:
    stored: dict[int, str] = {}
    failures: list[BaseException] = []
    changed = threading.Condition()

    def submit() -> None:
        try:
            for line in lines(node, "crowd.mjs", process.url, JOBS, CALLERS, HOUR_S):
                number, job_id = line.split()
                with changed:
                    assert int(number) not in stored
                    stored[int(number)] = job_id
                    changed.notify_all()
        except BaseException as error:
            failures.append(error)

    store = f"sqlite:///{tmp_path}/tickr.db"
    with TickrProcess(store=store, index="heap:", variables={VARIABLE: DEATHS[0]}) as process:
        thread = threading.Thread(target=submit)
        thread.start()
        for death in (*DEATHS[1:], ""):
            assert process.wait(60) == -signal.SIGKILL
            process.variables[VARIABLE] = death
            process.start()
        with changed:
            assert changed.wait_for(lambda: len(stored) >= JOBS // 2, 60)
        process.kill()
        process.start()
        thread.join(60)
        assert failures == []
        with Client(process.url) as client:
            found = {job.payload["n"]: job.id for job in client.list()}
        assert found == stored
        assert len(found) == JOBS


def test_events_go_on_where_they_were_when_the_server_comes_back(node: str, tmp_path: Path) -> None:
    heard: list[str] = []
    changed, opened = threading.Condition(), threading.Event()

    def listen() -> None:
        for line in lines(node, "listener.mjs", process.url):
            if line == "open":
                opened.set()
                continue
            with changed:
                heard.append(json.loads(line)["id"].partition(".")[0])
                changed.notify_all()

    with TickrProcess(store=f"sqlite:///{tmp_path}/tickr.db", index="heap:") as process, Client(process.url) as client:
        client.submit("before", delay=HOUR_S)
        thread = threading.Thread(target=listen)
        thread.start()
        assert opened.wait(20)
        ids = []
        for kill in range(2):
            ids += [one.id for one in client.submit_many({"type": "t", "delay": HOUR_S} for _ in range(20))]
            with changed:
                assert changed.wait_for(lambda kill=kill: len(heard) > 20 * kill, 20)  # type: ignore[misc]
            process.kill()
            process.start()
        ids.append(client.submit("last", delay=HOUR_S).id)
        thread.join(30)
        assert not thread.is_alive()
        assert heard == ids


def test_the_types_name_every_method() -> None:
    program, types = (CLIENT / "client.mjs").read_text(), (CLIENT / "client.d.mts").read_text()
    for kind, body in re.findall(r"^(?:export )?class (\w+) \{\n(.*?)^\}", program, re.MULTILINE | re.DOTALL):
        methods = set(re.findall(r"^  (?:async )?([a-z]\w*)\(", body, re.MULTILINE)) - {"constructor"}
        declared = re.search(rf"(?:class|interface) {kind}\b.*?\{{\n(.*?)^\}}", types, re.MULTILINE | re.DOTALL)
        assert declared, kind
        assert methods <= set(re.findall(r"^  (\w+)[(<]", declared[1], re.MULTILINE)), kind


def test_it_has_what_the_python_client_has() -> None:
    program = (CLIENT / "client.mjs").read_text()
    named = {name.replace("_", "").lower() for name in vars(Client) if not name.startswith("_")}
    there = {name.lower() for name in re.findall(r"^  (?:async |get )?(\w+)\(", program, re.MULTILINE)}
    assert named <= there
