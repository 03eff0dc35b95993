"""A handler waits in ``tickr.breakpoint()``, and somebody comes with ``tickr debug``; or nobody does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.cli.running import ROOT
from tests.features.conftest import Client, node
from tests.features.debugged_jobs import jobs
from tests.waiting import eventually, happens
from tickr.worker import debugger

PLACES = ["thread", pytest.param("process", marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the tests a folder for sockets of their own; its path must be short."""
    path = tempfile.mkdtemp(dir="/tmp")
    monkeypatch.setenv("TMPDIR", path)
    monkeypatch.setattr(tempfile, "tempdir", path)
    yield Path(path)
    shutil.rmtree(path)


def allowed() -> Any:
    return node(jobs, store="memory:", debugger=True)


async def waiting(client: Client, type_: str = "thread") -> str:
    """Submit a job and return its id once its handler waits."""
    job = await client.post(type=type_, payload={"number": 4})
    await eventually(happens(lambda: job["id"] in debugger.waiting()), within_s=30)
    return str(job["id"])


async def debug(*words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run ``tickr debug`` as a person at a terminal of another program would."""
    command = [sys.executable, "-m", "tickr", "debug", *words]
    run = partial(subprocess.run, command, input=typed, capture_output=True, text=True, timeout=60, cwd=ROOT)
    return await trio.to_thread.run_sync(run)


async def say(job_id: str, typed: str) -> str:
    """Type at the handler of a job, hear all it says until it goes on, and leave."""
    async with await trio.open_unix_socket(debugger.folder() / f"{job_id}.sock") as line:
        await line.send_all(typed.encode())
        heard = b""
        with trio.fail_after(20):
            async for part in line:
                heard += part
    return heard.decode()


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
async def test_somebody_looks_into_a_handler_changes_it_and_lets_it_go_on(place: str) -> None:
    async with allowed() as client:
        job_id = await waiting(client, place)
        done = await debug(job_id, typed="p number, total\n!total = 40\nn\nn\nc\n")
        assert done.returncode == 0, done.stderr
        assert "debugged_jobs.py(13)_add()" in done.stdout
        assert "(4, 5)" in done.stdout
        job = await client.until_final(job_id)
        assert job["error"] is None
        assert job["result"] == 40
        assert not list(debugger.folder().iterdir())


async def test_stepping_out_of_the_handler_ends_in_no_module_of_ours() -> None:
    async with allowed() as client:
        job_id = await waiting(client)
        heard = await say(job_id, "n\n" * 50)
        assert heard.count("(tickr) ") < 10
        assert "tickr/worker" not in heard
        assert (await client.until_final(job_id))["result"] == 5
        again = await waiting(client)  # in the same thread, perhaps: nothing is left of the one before
        await say(again, "c\n")
        assert (await client.until_final(again))["result"] == 5


async def test_who_goes_away_lets_the_handler_go_on() -> None:
    async with allowed() as client:
        job_id = await waiting(client)
        async with await trio.open_unix_socket(debugger.folder() / f"{job_id}.sock") as line:
            await line.send_all(b"b 14\n")
        assert (await client.until_final(job_id))["result"] == 5


async def test_quitting_ends_the_attempt() -> None:
    async with allowed() as client:
        job_id = await waiting(client)
        await say(job_id, "q\n")
        job = await client.until_final(job_id)
        assert job["state"] == "failed"
        assert "BdbQuit" in job["error"]["message"]


async def test_nobody_comes() -> None:
    async with allowed() as client:
        job = await client.post(type="impatient")
        assert (await client.until_final(job["id"]))["result"] == "nobody came"


@pytest.mark.parametrize("attached", [False, True])
async def test_a_job_that_is_cancelled_waits_for_no_debugger(attached: bool) -> None:
    async with allowed() as client:
        job_id = await waiting(client)
        line = await trio.open_unix_socket(debugger.folder() / f"{job_id}.sock") if attached else None
        if line is not None:
            assert b"debugged_jobs" in await line.receive_some()
        await client.http.post(f"/jobs/{job_id}/cancel")
        with trio.fail_after(4):  # sooner than a thread that does not listen is left behind
            job = await client.until_final(job_id)
        assert job["state"] == "cancelled"
        assert job["error"]["kind"] == "cancelled"
        if line is not None:
            await line.aclose()


async def test_without_being_allowed_nobody_is_waited_for() -> None:
    async with node(jobs, store="memory:") as client:
        job = await client.post(type="thread", payload={"number": 4})
        assert (await client.until_final(job["id"]))["result"] == 5
        assert not any("tickr-debug" in name for name in os.listdir(tempfile.gettempdir()))


async def test_an_async_handler_is_told_that_it_can_have_none() -> None:
    async with allowed() as client:
        job = await client.until_final((await client.post(type="loop"))["id"])
        assert "tickr.breakpoint() is for plain handlers" in job["error"]["message"]


async def test_a_folder_that_others_may_look_into_is_not_used(folder: Path) -> None:
    found = folder / f"tickr-debug-{os.getuid()}"
    found.mkdir()
    found.chmod(0o755)
    async with allowed() as client:
        job = await client.until_final((await client.post(type="impatient"))["id"])
        assert "is not a folder of this user's alone; remove it" in job["error"]["message"]


@pytest.mark.slow
async def test_the_command_says_who_waits() -> None:
    done = await debug()
    assert done.returncode == 1
    assert done.stderr.startswith("Error: No handler waits for a debugger here.")
    (debugger.folder() / "killed.sock").touch()  # left behind by one that was killed
    async with allowed() as client:
        first = await waiting(client)
        second = await waiting(client)
        done = await debug()
        assert done.returncode == 1
        assert done.stderr.splitlines()[1:] == [f"  {job_id}" for job_id in sorted([first, second])]
        await say(first, "c\n")
        assert (await debug(typed="p total\nc\n")).returncode == 0  # the only one left
        assert (await client.until_final(second))["state"] == "succeeded"
