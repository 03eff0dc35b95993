"""``tickr serve --reload``: starts anew when the handlers' code changes; real programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from tests.cli.running import ROOT, environment
from tests.processes import TickrProcess
from tests.waiting import eventually
from tickr.processes.reload import look

APP = """
import tickr
jobs = tickr.Jobs()

@jobs.handler("say")
async def say() -> str:
    return {words!r}
"""


async def said(node: TickrProcess) -> str | None:
    """Return what a job says now; None while nobody answers."""
    try:
        async with httpx2.AsyncClient(base_url=node.url, timeout=10) as http:
            job: dict[str, Any] = (await http.post("/jobs", json={"type": "say"})).json()
            done = (await http.get(f"/jobs/{job['id']}?wait=5")).json()
    except httpx2.TransportError:
        return None
    return str(done["result"])


async def until_said(node: TickrProcess, words: str) -> None:
    async def look_again() -> bool:
        return await said(node) == words

    await eventually(look_again, within_s=40)


@pytest.mark.slow
async def test_a_change_starts_it_anew_and_a_typing_mistake_waits_for_the_next(tmp_path: Path) -> None:
    app = tmp_path / "changing.py"
    app.write_text(APP.format(words="one"))
    with TickrProcess(app="changing:jobs", arguments=["--reload"], python_path=[tmp_path]) as node:
        await until_said(node, "one")
        app.write_text(APP.format(words="number two"))
        await until_said(node, "number two")
        app.write_text("import tickr\njobs = tickr.Jobs(\n")

        async def waits() -> bool:
            return "reload.waiting" in node.log

        await eventually(waits, within_s=20)
        assert "SyntaxError" in node.log or "was never closed" in node.log
        app.write_text(APP.format(words="three"))
        await until_said(node, "three")
        node.terminate()
        assert await trio.to_thread.run_sync(node.wait) == 0
        assert node.log.count('"reload.changed"') >= 2


@pytest.mark.slow
async def test_a_child_does_not_outlive_the_program_that_was_killed(tmp_path: Path) -> None:
    with TickrProcess(arguments=["--reload", "--grace", "1"]) as node:
        (child,) = {one["pid"] for one in httpx2.get(f"{node.url}/nodes").json()["items"]}
        assert child != node.pid
        os.kill(node.pid, 9)

        async def gone() -> bool:
            try:
                os.kill(child, 0)
            except ProcessLookupError:
                return True
            return False

        await eventually(gone, within_s=20)


def test_what_is_looked_at(tmp_path: Path) -> None:
    for name in ("a.py", "deep/b.py", "notes.txt", ".hidden/c.py", "venv/pyvenv.cfg", "venv/lib/d.py", "e.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "f.py").write_text("")
    assert {Path(path).name for path in look([tmp_path])} == {"a.py", "b.py", "e.py"}
    assert [Path(path).name for path in look([tmp_path / "a.py"])] == ["a.py"]
    before = look([tmp_path])
    (tmp_path / "a.py").write_text("x")
    assert look([tmp_path]) != before


@pytest.mark.slow
def test_burst_and_reload_are_refused_together(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tickr", "serve", "--burst", "--reload"]
    variables = {**environment({}), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, "--burst ends by itself" in done.stderr) == (2, True)
