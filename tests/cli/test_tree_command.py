"""``tickr tree``, and dependencies on the command line."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_jobs_commands import ABSENT, Tickr, server, submitted, tickr
from tickr.cli.remote_records import RemoteError
from tickr.cli.tree import RemoteTreeJob, lines

__all__ = ["server", "tickr"]


def test_a_tree_is_drawn() -> None:
    leaf = RemoteTreeJob("id-3", "leaf", "failed", "x\x1b[31m", RemoteError("give_up", "no"))
    root = RemoteTreeJob(
        "id-1",
        "root",
        "blocked",
        children=[RemoteTreeJob("id-2", "branch", "running", "1", children=[leaf, leaf]), leaf],
    )
    assert [line.plain for line in lines(root)] == [
        "root  id-1  blocked",
        "├─ 1  branch  id-2  running",
        "│  ├─ x\\x1b[31m  leaf  id-3  failed  give_up: no",
        "│  └─ x\\x1b[31m  leaf  id-3  failed  give_up: no",
        "└─ x\\x1b[31m  leaf  id-3  failed  give_up: no",
    ]


@pytest.mark.slow
def test_jobs_wait_for_each_other(tickr: Tickr) -> None:
    first = submitted(tickr, "report", "title=x", "--delay", "1h")
    job_id = submitted(tickr, "report", "title=y", "--depends-on", first, "--on-failure", "cancel")
    assert tickr("tree", job_id).stdout == f"report  {job_id}  blocked\n"
    assert json.loads(tickr("tree", job_id, "--json").stdout)["tree"]["depends_on"] == [first]
    assert f"depends on  {first} (on failure: cancel)" in tickr("show", job_id).stdout
    assert tickr("explain", job_id).stdout.splitlines()[1] == "  blocked  It waits for 1 job that it depends on."
    tickr("cancel", first)
    assert "dependency_failed" in tickr("show", job_id, "--wait", "20s", code=5).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["tree", ABSENT], 7, "There is no job"),
        (["submit", "report", "--depends-on", ABSENT], 2, "There is no job"),
        (["submit", "report", "--on-failure", "run"], 2, "--on-failure goes with --depends-on"),
    ],
)
def test_what_cannot_be_done_is_said(tickr: Tickr, words: list[str], code: int, said: str) -> None:
    assert said in tickr(*words, code=code).output
