"""A node over HTTPS as a process of its own, asked by the command line and by the Python client."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner, Result

from tests.api.certificates import Files, files_in
from tests.children import free_port
from tests.processes import ROOT, TickrProcess
from tests.waiting import eventually, happens
from tickr.cli import main
from tickr.cli.exits import MISUSED, UNREACHABLE
from tickr.client import Client, Refused

pytestmark = pytest.mark.slow

TOKEN = "s3cret-of-the-test"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    found = files_in(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(found.ca))  # for the tests' own looks whether the node is ready
    return found


@pytest.fixture
def server(files: Files) -> Iterator[TickrProcess]:
    arguments = ["--tls-cert", str(files.cert), "--tls-key", str(files.key)]
    process = TickrProcess(store="memory:", workers=4, arguments=arguments, variables={"TICKR_TOKEN": TOKEN})
    process.url = f"https://localhost:{process.port}"
    with process:
        yield process


def tickr(*words: str, code: int = 0, **variables: str | None) -> Result:
    environment = {"TICKR_TOKEN": TOKEN, "SSL_CERT_FILE": None, "COLUMNS": "80", **variables}
    done = CliRunner().invoke(main, words, env=environment, prog_name="tickr")
    assert done.exit_code == code, done.output
    return done


def test_jobs_go_through_https_from_the_command_line_and_the_client(server: TickrProcess, files: Files) -> None:
    known = {"TICKR_URL": server.url, "TICKR_CA": str(files.ca)}
    job = tickr("submit", "report", "title=Hello", **known).stdout.split()[0]
    assert "succeeded" in tickr("show", job, "--wait", "20s", **known).stdout

    with Client(server.url, TOKEN, ca=str(files.ca)) as client:
        assert client.wait(client.submit("report", {"title": "Again"}), 20).result is not None

    told = tickr("show", job, code=UNREACHABLE, TICKR_URL=server.url, TICKR_CA=None).output
    assert f"The certificate of {server.url} is not trusted here: " in told
    assert "Name its authority's file with TICKR_CA." in told

    plain = server.url.replace("https:", "http:")
    assert "This port speaks HTTPS" in tickr("show", job, code=2, TICKR_URL=plain).output

    none = files.ca.with_name("none.pem")
    told = tickr("show", job, code=MISUSED, TICKR_URL=server.url, TICKR_CA=str(none)).output
    assert f"TICKR_CA: The authority's file {none} cannot be used: No such file or directory." in told
    with pytest.raises(Refused, match="cannot be used"):
        Client(server.url, ca=str(none))
    assert f'"url":"https://127.0.0.1:{server.port}"' in (server.folder / "log").read_text()


async def test_each_of_several_processes_speaks_https(files: Files, mysql_url: str, redis_url: str) -> None:
    arguments = ["--processes", "2", "--tls-cert", str(files.cert), "--tls-key", str(files.key)]
    process = TickrProcess(store=mysql_url, index=redis_url, arguments=arguments, variables={"TICKR_TOKEN": TOKEN})
    process.url = f"https://localhost:{process.port}"
    known = {"base_url": process.url, "verify": files.client(), "headers": {"Authorization": f"Bearer {TOKEN}"}}
    async with AsyncExitStack() as opened:
        opened.enter_context(process)
        await eventually(happens(lambda: "supervisor.serving" in process.log), within_s=30)
        assert f"Tickr serves on https://127.0.0.1:{process.port} with 2 processes\n" in process.log
        answered: set[int] = set()

        async def both_have_answered() -> bool:
            # Each connection stays open, and a new one goes to whoever has fewer.
            http = await opened.enter_async_context(httpx2.AsyncClient(**known))
            answered.add((await http.get("/nodes/self")).raise_for_status().json()["pid"])
            return len(answered) == 2

        await eventually(both_have_answered)
        assert answered == {int(pid) for pid in re.findall(r'"event":"process.started".*"pid":(\d+)', process.log)}
        (one, *_) = answered
        os.kill(one, signal.SIGKILL)
        await eventually(happens(lambda: process.log.count('"node.serving"') == 3), within_s=30)
        async with httpx2.AsyncClient(**known) as http:
            assert (await http.get("/readyz")).status_code == 200, "who takes its place has the certificate, too"


def test_https_where_there_is_none_is_told() -> None:
    with TickrProcess(store="memory:") as process:
        url = process.url.replace("http:", "https:")
        told = tickr("list", code=UNREACHABLE, TICKR_URL=url).output
    assert f"{url} does not speak HTTPS: ask with http:// instead." in told


def test_a_start_without_its_files_says_so() -> None:
    words = ("serve", "--store", "memory:", "--port", str(free_port()), "--tls-cert", "/none.pem")
    command = [sys.executable, "-m", "tickr", *words, "--tls-key", "/none.key"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr == "Error: --tls-cert: /none.pem cannot be read: No such file or directory.\n"
