"""``tickr queue`` and ``tickr explain``, as a person types them, against a real server."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.test_jobs_commands import ABSENT, Tickr, server, submitted, tickr

pytestmark = pytest.mark.slow

__all__ = ["server", "tickr"]


def test_pause_and_resume_and_what_waits_meanwhile(tickr: Tickr) -> None:
    assert tickr("queue", "pause", "slow").stdout == "slow  0 ready, 0 running, 0 later  paused\n"
    job_id = submitted(tickr, "report", "title=x", "--queue", "slow", "--limit-key", "acme")
    told = tickr("explain", job_id).stdout.splitlines()
    assert told == [
        f"{job_id}  ready",
        '  paused  The queue "slow" is paused; POST /queues/slow/resume lets it go on.',
    ]
    assert "limit key  acme" in tickr("show", job_id).stdout
    assert json.loads(tickr("explain", job_id, "--json").stdout)["reasons"][0]["code"] == "paused"
    assert tickr("queue", "resume", "slow").stdout.startswith("slow  ")
    assert not json.loads(tickr("queue", "show", "slow", "--json").stdout)["paused"]


def test_a_pause_with_an_end_says_when(tickr: Tickr) -> None:
    told = tickr("queue", "pause", "rests", "--for", "10m").stdout
    assert re.fullmatch(r"rests  0 ready, 0 running, 0 later  paused until 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\n", told)
    assert "paused until 2" in tickr("queue", "show", "rests").stdout
    until = json.loads(tickr("queue", "show", "rests", "--json").stdout)["paused_until"]
    assert json.loads(tickr("queue", "pause", "also", "--until", until, "--json").stdout)["paused_until"] == until
    assert tickr("queue", "resume", "rests").stdout == "rests  0 ready, 0 running, 0 later  \n"
    assert tickr("queue", "resume", "also").stdout == "also  0 ready, 0 running, 0 later  \n"


def test_a_queue_is_given_an_order(tickr: Tickr) -> None:
    tickr("queue", "limit", "live", "--max-running", "3")
    assert tickr("queue", "order", "live", "newest").stdout == (
        "live  0 ready, 0 running, 0 later  3 at once, newest first\n"
    )
    assert "newest first" in tickr("queue", "list").stdout
    assert json.loads(tickr("queue", "order", "live", "oldest", "--json").stdout)["order"] == "oldest"
    assert tickr("queue", "show", "live").stdout == "live  0 ready, 0 running, 0 later  3 at once\n"
    assert "'lifo' is not one of 'oldest', 'newest'" in tickr("queue", "order", "live", "lifo", code=2).stderr


def test_all_queues_are_paused_and_resumed_with_one_command(tickr: Tickr) -> None:
    tickr("queue", "limit", "one", "--max-running", "3")
    tickr("queue", "pause", "two")
    shown = [json.loads(line) for line in tickr("queue", "pause", "--all", "--json").stdout.splitlines()]
    assert {"one", "two"} <= {queue["name"] for queue in shown}
    assert all(queue["paused"] for queue in shown)
    table = tickr("queue", "resume", "--all").stdout
    assert "paused" not in table
    assert "3 at once" in table


def test_a_queue_is_emptied_and_taken_away(tickr: Tickr) -> None:
    one = tickr("submit", "later", "--queue", "old", "--delay", "1h").stdout.split()[0]
    assert "Empty it first" in tickr("queue", "delete", "old", code=8).stderr
    tickr("queue", "empty", "old", stdin="n\n", code=1)
    told = tickr("queue", "empty", "old", "--reason", "moved", "--wait", "20", stdin="y\n").stdout
    assert told.split()[1:] == ["cancel", "done", "1", "of", "1"]
    assert "moved" in json.loads(tickr("show", one, "--json").stdout)["error"]["message"]
    assert tickr("queue", "delete", "old").stdout == "old  deleted\n"
    assert "queue old" in tickr("queue", "show", "old", code=7).stderr
    other = tickr("submit", "later", "--queue", "old", "--delay", "1h").stdout.split()[0]
    tickr("queue", "empty", "old", "--delete", "--yes", "--wait", "20")
    assert "There is no job" in tickr("show", other, code=7).stderr


def test_limits_are_set_shown_and_lifted(tickr: Tickr) -> None:
    words = ["--max-running", "3", "--max-per-key", "1", "--rate", "100/1m"]
    told = tickr("queue", "limit", "mail", *words).stdout
    assert told == "mail  0 ready, 0 running, 0 later  3 at once, 1 per key, 100 in 60 s\n"
    table = tickr("queue").stdout.splitlines()
    assert table[0].split() == ["QUEUE", "READY", "RUNNING", "SCHEDULED", "RETRYING", "SET"]
    assert any(row.startswith("mail ") and row.rstrip().endswith("100 in 60 s") for row in table)
    assert all(len(row) <= 80 for row in table)
    names = [json.loads(line)["name"] for line in tickr("queue", "list", "--json").stdout.splitlines()]
    assert "mail" in names
    assert tickr("queue", "limit", "mail").stdout == "mail  0 ready, 0 running, 0 later  \n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["queue", "limit", "mail", "--rate", "fast"], 2, "must be starts and a time, like 100/60s or 5/1m"),
        (["queue", "pause", "mail", "--for", "long"], 2, "must be a duration"),
        (["queue", "pause", "mail", "--for", "32d"], 2, "/for must be a number of seconds"),
        (["queue", "limit", "mail", "--rate", "5/"], 2, "must be starts and a time"),
        (["queue", "limit", "mail", "--rate", "5/soon"], 2, "must be a duration"),
        (["queue", "limit", "mail", "--max-running", "0"], 2, "/max_running must be a whole number"),
        (["queue", "show", "unknown"], 7, "No job was ever in a queue unknown"),
        (["queue", "pause", "a b"], 2, "This is not the name of a queue"),
        (["queue", "stop"], 2, "No such command"),
        (["queue", "pause"], 2, "Name the queues, or say --all."),
        (["queue", "resume", "mail", "--all"], 2, "Name the queues, or say --all."),
        (["explain", ABSENT], 7, "There is no job"),
    ],
)
def test_what_cannot_be_done_is_said(tickr: Tickr, words: list[str], code: int, said: str) -> None:
    assert said in tickr(*words, code=code).output


def test_a_short_period_needs_no_number(tickr: Tickr) -> None:
    assert "5 in 60 s" in tickr("queue", "limit", "short", "--rate", "5/m").stdout
