"""``tickr broadcast``, as a person types it, against a real server."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_jobs_commands import Tickr, server, tickr

pytestmark = pytest.mark.slow

__all__ = ["server", "tickr"]


def test_a_line_for_each_job_and_for_which_node(tickr: Tickr) -> None:
    node = json.loads(tickr("nodes", "show", "self", "--json").stdout)["id"]
    told = tickr("broadcast", "report", "title=All", "--priority", "1", "--label", "why=test").stdout.splitlines()
    job_id, *_ = told[0].split()
    assert (len(told), told[0].endswith(f"for node {node}")) == (1, True)
    tickr("show", job_id, "--wait", "10s")
    shown = json.loads(tickr("show", job_id, "--json").stdout.splitlines()[0])
    assert (shown["state"], shown["queue"], shown["priority"]) == ("succeeded", f"@{node}", 1)
    named = ["--id", "01a20400-0000-7000-8000-0000000000cc"]
    again = [json.loads(tickr("broadcast", "report", *named, "--json").stdout)["items"][0]["id"] for _ in range(2)]
    assert again[0] == again[1]


def test_nobody_is_told_of_what_nobody_handles(tickr: Tickr) -> None:
    told = tickr("broadcast", "nothing")
    assert (told.stdout, told.stderr) == ("", "No live node handles the type nothing: there is nobody to tell.\n")
