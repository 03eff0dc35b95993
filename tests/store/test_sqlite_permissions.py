"""A file of SQLite that this user may read and not write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

pytestmark = pytest.mark.slow

LIKE_ANYBODY = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
"""Has permissions concern root, too."""
OPEN_AND_CLOSE = """
import sys, trio
from tickr.store.sqlite import open_sqlite

async def main():
    async with open_sqlite(sys.argv[1]):
        pass

trio.run(main)
"""


def open_and_close(file: Path) -> subprocess.CompletedProcess[str]:
    command = [*LIKE_ANYBODY, sys.executable, "-c", OPEN_AND_CLOSE, str(file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "tickr.db"
    assert open_and_close(file).returncode == 0
    file.chmod(0o444)
    refused = open_and_close(file)
    assert refused.returncode != 0
    assert f"StoreUnavailable: {file}: it cannot be written" in refused.stderr
