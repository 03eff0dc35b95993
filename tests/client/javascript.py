"""Programs of ``tests/client`` that use the client of ``clients/js``, and what they print."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import do_without

HERE = Path(__file__).parent


def node() -> str:
    """Return Node, as new as the client wants it; without one the test is skipped."""
    found = shutil.which("node")
    if found is None or subprocess.run([found, "-e", "crypto.randomUUID(), fetch"], check=False).returncode:
        do_without("Node 20 is not installed")
    return found


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}


def lines(program: str, *arguments: object) -> Iterator[str]:
    """Yield what ``program`` prints, line by line. Raises: AssertionError: it failed, with what it said."""
    command = [node(), str(HERE / program), *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment()) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        try:
            yield from (line.rstrip("\n") for line in running.stdout)
            assert running.wait(10) == 0, running.stderr.read()
        finally:
            running.kill()
