"""Where the output goes to a place that takes no more of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tickr.cli.exits import REFUSED

PROGRAM = """
import click
from tickr.cli.pipes import ending_with_the_reader

@click.command()
def main():
    with ending_with_the_reader():
        click.echo("a line")

main()
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [["-c", PROGRAM], ["-m", "tickr", "openapi"], ["-m", "tickr", "--help"]])
def test_a_full_disk_is_one_line(words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run([sys.executable, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == REFUSED
    assert ended.stderr == "Error: The output cannot be written: No space left on device.\n"
