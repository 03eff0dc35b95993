"""``tickr`` itself: every command is there, explains itself at 80 columns, and costs only what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tickr.cli import COMMANDS, main
from tickr.jobs import State

ROOT = Path(__file__).parent.parent.parent


def test_the_commands_are_those_agreed_and_each_is_found() -> None:
    agreed = ["serve", "submit", "broadcast", "show", "list", "cancel", "edit", "delete", "retry", "dead-letters"]
    agreed += ["operations", "explain", "log", "tree", "queue", "schedule", "nodes", "inbox", "stats", "mark", "top"]
    agreed += ["watch", "token", "audit", "migrate", "keys", "debug", "doctor", "completion", "openapi", "demo"]
    context = click.Context(main)
    assert isinstance(main, click.Group)
    assert main.list_commands(context) == agreed
    for name in agreed:
        command = main.get_command(context, name)
        assert command is not None
        assert command.name == name


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_80_columns(command: str) -> None:
    told = CliRunner().invoke(main, [command, "--help"] if command else ["--help"], env={"COLUMNS": "80"})
    assert told.exit_code == 0
    assert max(map(len, told.stdout.splitlines())) <= 80


def test_help_lists_every_command_with_its_line() -> None:
    told = CliRunner().invoke(main, ["--help"]).stdout
    assert all(f"  {name} " in told and line in told for name, (_, line) in COMMANDS.items())


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).stdout == f"tickr {version('tickr')}\n"


def test_a_misspelt_state_is_a_usage_error_that_asks_nobody() -> None:
    told = CliRunner().invoke(main, ["list", "--state", "Faild", "--url", "http://127.0.0.1:1"])
    assert told.exit_code == 2
    assert "did you mean failed?" in told.stderr
    assert "scheduled, ready" in told.stderr
    for state in State:
        assert CliRunner().invoke(main, ["list", "--state", state, "--url", "http://127.0.0.1:1"]).exit_code == 3


@pytest.mark.slow
def test_submit_does_not_load_the_server() -> None:
    server = ("quart", "hypercorn", "redis", "trio_mysql", "tickr.service")
    program = f"import sys, tickr.cli.jobs; print([name for name in {server} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_python_m_tickr_and_completion() -> None:
    environment = {**os.environ, "_TICKR_COMPLETE": "bash_complete", "COMP_WORDS": "tickr s", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tickr"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["plain,serve", "plain,submit", "plain,show", "plain,schedule", "plain,stats"]
