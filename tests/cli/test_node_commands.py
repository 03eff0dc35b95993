"""``tickr nodes``, as a person types it, against a real server."""

from __future__ import annotations

import json
import os

import pytest

from tests.cli.running import Running
from tests.cli.test_jobs_commands import TOKEN, Tickr, server, submitted, tickr, until
from tests.processes import TickrProcess

pytestmark = pytest.mark.slow

__all__ = ["server", "tickr"]


def only(tickr: Tickr) -> dict[str, object]:
    (line,) = tickr("nodes", "list", "--json").stdout.splitlines()
    return dict(json.loads(line))


def test_the_list_tells_what_each_node_runs(tickr: Tickr) -> None:
    until(tickr, submitted(tickr, "report", "time:=30"), "running")
    node = only(tickr)
    header, row = tickr("nodes").stdout.splitlines()
    assert header.split() == ["NODE", "NAME", "STATE", "BUSY", "UP", "SEEN", "VERSION", "QUEUES", "RUNS"]
    short, name, state, busy, *_, runs = row.split()
    assert short == f"{str(node['id'])[-12:]}*"
    assert (name, state) == (f"{node['name']}:{node['pid']}", "running")
    assert busy == f"{node['running']}/{node['slots']}"
    assert runs.startswith("report")


def test_the_list_fits_into_80_columns(server: TickrProcess) -> None:
    with Running("nodes", columns=80, TICKR_URL=server.url, TICKR_TOKEN=TOKEN) as command:
        assert command.end() == 0
        assert command.lines[0].split() == ["NODE", "NAME", "STATE", "BUSY", "UP", "SEEN", "RUNS"]
        assert len(command.lines) == 2
        assert all(len(line) <= 80 for line in command.lines)


def test_a_node_is_shown_with_its_jobs(tickr: Tickr) -> None:
    job = submitted(tickr, "report", "time:=31")
    until(tickr, job, "running")
    text = tickr("nodes", "show", "self").stdout
    assert str(only(tickr)["id"]) in text.splitlines()[0]
    assert f"roles    {', '.join(only(tickr)['roles'])}" in text  # type: ignore[arg-type]
    assert "lease    15 s, renewed " in text
    (row,) = (line for line in text.splitlines() if line.startswith(job))
    assert row.split()[1:4] == ["report", "default", "1"]


def test_nodes_are_told_by_each_of_their_names(tickr: Tickr) -> None:
    node = only(tickr)
    id_, name = str(node["id"]), f"{node['name']}:{node['pid']}"
    assert tickr("nodes", "quiet", id_[-8:]).stdout.startswith(f"{id_}  {name}  quiet  ")
    assert "quiet" in tickr("nodes", "quiet", id_).stdout
    assert json.loads(tickr("nodes", "resume", name, "--json").stdout)["state"] == "running"
    assert "/9" in tickr("nodes", "workers", "self", "9").stdout
    assert only(tickr)["slots"] == 9


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nodes", "quiet", "nobody"], 7, "No node is called nobody; `tickr nodes` lists them."),
        (["nodes", "show", "0190a5c3-0000-7000-8000-000000000000"], 7, "There is no live node 0190a5c3-"),
        (["nodes", "workers", "self", "0"], 2, "/slots must be a whole number from 1 to"),
        (["nodes", "workers", "self", "many"], 2, "is not a valid integer"),
        (["nodes", "kill", "self"], 2, "No such command"),
        (["nodes", "stop"], 2, "Missing argument"),
    ],
)
def test_what_cannot_be_done_is_said(tickr: Tickr, words: list[str], code: int, said: str) -> None:
    assert said in tickr(*words, code=code).output


def test_stop_ends_a_node_with_0() -> None:
    with TickrProcess(workers=1) as node, Running("nodes", "stop", "self", TICKR_URL=node.url) as command:
        assert command.end() == 0
        assert "stopping" in command.out
        assert node.wait() == 0
        assert os.getpid() != node.pid
