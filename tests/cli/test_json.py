"""``--json``: every command has it, and prints JSON with it and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from tests.cli.every import commands
from tests.cli.test_jobs_commands import ABSENT, Tickr, server, tickr
from tickr.cli import main

__all__ = ["server", "tickr"]

WITHOUT = {
    "serve": "prints its log, whose form --log-format says",
    "demo": "is looked at, and says by its exit code whether all went well",
    "debug": "a person talks to a debugger",
    "completion": "prints a script for a shell",
    "openapi": "prints JSON in any case",
}
"""Commands without ``--json``, and why."""


def test_every_command_has_json_or_a_reason_not_to() -> None:
    lacking = {
        words for words, command in commands() if "--json" not in [name for one in command.params for name in one.opts]
    }
    assert lacking == {*WITHOUT}


def documents(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_what_is_printed_is_json_and_nothing_else(tickr: Tickr) -> None:
    (job,) = documents(tickr("submit", "later", "--delay", "1h", "--label", "from=json", "--json").stdout)
    tickr("schedule", "put", "of-json", "report", "--every", "1h")
    one = job["id"]
    for words, member in (
        (["list", "--label", "from=json"], "id"),
        (["list", "--label", "from=nobody"], None),
        (["show", one], "attempts"),
        (["explain", one], "reasons"),
        (["log", one], "items"),
        (["tree", one], "tree"),
        (["edit", one, "--set", "priority=3"], "priority"),
        (["cancel", one], "state"),
        (["retry", one, "--set", "delay=1h"], "state"),
        (["retry", "--all", "--label", "from=json", "--dry-run"], "total"),
        (["retry", "--all", "--label", "from=nobody"], "total"),
        (["dead-letters", "--label", "from=nobody"], "total"),
        (["operations"], "state"),
        (["queue"], "ready"),
        (["queue", "show", "default"], "ready"),
        (["queue", "pause", "of-json"], "paused"),
        (["queue", "delete", "of-json"], "deleted"),
        (["schedule"], "name"),
        (["schedule", "show", "of-json"], "every"),
        (["schedule", "delete", "of-json"], "deleted"),
        (["nodes"], "slots"),
        (["nodes", "show", "self"], "jobs"),
        (["stats"], "series"),
        (["mark", "v1"], "text"),
        (["mark"], "items"),
        (["delete", one, "--cancel"], "deleted"),
        (["keys", "new"], "key"),
        (["doctor", "--store", "memory:", "--port", "0"], None),
        (["migrate", "--store", "memory:"], "steps"),
        (["top", "--once"], "items"),
    ):
        done = tickr(*words, "--json")
        for told in documents(done.stdout):
            assert member is None or member in told, words
        assert done.stdout or words[-1].endswith("nobody") or words == ["operations"], words


@pytest.mark.slow
def test_a_refusal_is_the_servers_document_with_the_exit_code(tickr: Tickr) -> None:
    told = json.loads(tickr("show", ABSENT, "--json", code=7).stderr)
    assert told == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "code": "job_not_found",
        "detail": f"There is no job {ABSENT}.",
        "job_id": ABSENT,
        "exit_code": 7,
    }
    told = tickr("cancel", ABSENT, "nonsense", "--json", code=1)
    assert [one["exit_code"] for one in documents(told.stderr)] == [7, 2, 1]
    assert told.stdout == ""


def test_a_mark_cannot_be_deleted_where_nobody_is() -> None:
    done = CliRunner().invoke(main, ["mark", "--delete", ABSENT, "--json", "--url", "http://127.0.0.1:1"])
    assert (done.exit_code, json.loads(done.stderr)["code"]) == (3, "unavailable")
