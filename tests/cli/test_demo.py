"""``tickr demo``: everything ends as it should, within its time, as lines in a pipe and as a table on a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tickr.cli.demo import SCENES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "tickr", "demo"]


def environment(folder: Path, **variables: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), **variables}


def test_in_a_pipe_there_is_a_line_for_each_event(tmp_path: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        COMMAND, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began < 30
    for scene in SCENES:
        states = re.findall(rf"{re.escape(scene.title)} +(\w+)", done.stdout)
        assert states[-1] == scene.ends
    flaky = re.findall(r"fails twice, then works +(\w+)", done.stdout)
    assert flaky == ["ready", "running", "retrying", "running", "retrying", "running", "succeeded"]
    assert "\x1b" not in done.stdout
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_on_a_terminal_there_is_a_table_that_fits_80_columns(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        COMMAND,
        cwd=tmp_path,
        env=environment(tmp_path, TERM="xterm", COLUMNS="80", LINES="24", NO_COLOR="1"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    told = b""
    try:
        while chunk := os.read(ours, 65536):
            told += chunk
    except OSError:
        pass  # the terminal's other end is closed
    finally:
        code = process.wait(30)
        os.close(ours)
    assert code == 0
    picture = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told.decode()).replace("\r", "").rpartition("WHAT HAPPENS")[2]
    rows = picture.splitlines()[1 : len(SCENES) + 1]
    assert [row[:24].rstrip() for row in rows] == [scene.title for scene in SCENES]
    assert [row.split("  ", 1)[1].split()[0] for row in (row[24:] for row in rows)] == [scene.ends for scene in SCENES]
    assert "runs, fails, runs, fails, runs, succeeds" in rows[4]
    assert max(len(row.rstrip()) for row in rows) <= 80


@pytest.mark.parametrize(
    ("scenes", "told"),
    [
        ("d.SCENES[0]._replace(ends='failed')", "a greeting, at once: succeeded, not failed"),
        ("d.Scene('never ends', 'unknown', 'succeeded')", "never ends: did not end, not succeeded"),
    ],
)
def test_a_job_that_ends_otherwise_is_told_and_exits_1(tmp_path: Path, scenes: str, told: str) -> None:
    program = f"import tickr.cli.demo as d; d.SCENES = ({scenes},); d.LIMIT_S = 0.5; d.demo(prog_name='demo')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
