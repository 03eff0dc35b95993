"""Hints: what was typed is taken, and the near one that was most likely meant is named on stderr."""

from __future__ import annotations

import json
from io import StringIO

import msgspec
import pytest
from msgspec import Raw
from rich.console import Console

from tests.cli.shown import job
from tests.cli.test_jobs_commands import Tickr, server, tickr
from tests.cli.test_screen import shown
from tickr.cli import hints, operation_screen, screen
from tickr.cli.remote_operations import RemoteCount, RemoteGroup, RemoteOperation
from tickr.cli.remote_records import RemoteError, RemoteJob

__all__ = ["server", "tickr"]

ID = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"


@pytest.mark.slow
def test_a_type_that_no_node_handles(tickr: Tickr) -> None:
    done = tickr("submit", "reprot")
    assert 'Did you mean "report"?' in done.stderr
    assert tickr("submit", "reprot", "--json").stderr == ""
    assert 'Did you mean "report"?' in tickr("submit", "reprot", "--wait", "1.5", code=6).stderr
    assert 'Did you mean "report"?' in tickr("explain", done.stdout.split()[0]).stdout
    assert (
        'type "reports" is handled by no live node. Did you mean "report"?' in tickr("list", "--type", "reports").stderr
    )
    assert 'Did you mean "report"?' in tickr("schedule", "put", "typo", "reprot", "--every", "1d").stderr
    tickr("schedule", "delete", "typo")


@pytest.mark.slow
def test_a_queue_or_a_schedule_that_is_not_there(tickr: Tickr) -> None:
    tickr("submit", "report", "--queue", "imports")
    assert tickr("queue", "show", "imprts", code=7).stderr.endswith('Did you mean "imports"?\n')
    assert 'The queue "improts" is not there. Did you mean "imports"?' in tickr("queue", "pause", "improts").stderr
    assert tickr("queue", "pause", "improts").stderr == "", "now it is"
    tickr("queue", "delete", "improts")
    assert 'Did you mean "imports"?' in tickr("list", "--queue", "imprts").stderr
    assert tickr("queue", "limit", "imprts", "--max-running", "1").stderr == "", "it may be of one to come"
    tickr("schedule", "put", "nightly", "report", "--every", "1d")
    for action in ("show", "pause", "resume", "run", "delete"):
        assert tickr("schedule", action, "nigtly", code=7).stderr.endswith('Did you mean "nightly"?\n')
    problem = json.loads(tickr("schedule", "show", "nigtly", "--json", code=7).stderr)
    assert (problem["code"], problem["schedule"]) == ("schedule_not_found", "nigtly")


@pytest.mark.slow
def test_text_where_a_number_is_wanted(tickr: Tickr) -> None:
    done = tickr("submit", "report", "time=2", "--wait", "20", code=4)
    assert done.stderr == "time=2 is text for tickr submit; time:=2 is a number.\n"
    assert "time:=2" in tickr("show", done.stdout.split()[0]).stderr
    assert "time:=2" in tickr("submit", "report", "time=2", "--watch", code=4).output


def failed(payload: str, message: str) -> RemoteJob:
    error = RemoteError("bad_payload", message)
    return msgspec.structs.replace(job(1), state="failed", payload=Raw(payload.encode()), error=error)


@pytest.mark.parametrize(
    ("payload", "message", "hint"),
    [
        ('{"n":"5"}', "Expected `int`, got `str` - at `$.n`", "n:=5 is a number."),
        ('{"n":"true"}', "Expected `bool`, got `str` - at `$.n`", "n:=true is a boolean."),
        ('{"n":"[1]"}', "Expected `array | null`, got `str` - at `$.n`", "n:=[1] is a list."),
        ('{"n":"five"}', "Expected `int`, got `str` - at `$.n`", None),
        ('{"n":"5"}', "Expected `int`, got `str` - at `$.other`", None),
        ('{"n":5}', "Expected `str`, got `int` - at `$.n`", None),
        ("null", "Expected `int`, got `str` - at `$.n`", None),
        ("[1]", "Expected `object`, got `array`", None),
    ],
)
def test_how_a_value_is_given_is_told_only_where_that_helps(payload: str, message: str, hint: str | None) -> None:
    said = hints.of_payload(failed(payload, message))
    assert [one.partition("; ")[2] for one in said] == ([hint] if hint else [])


# -- at every width ---------------------------------------------------------------------------------------------------

OPERATION = RemoteOperation(ID, "retry", "running", 200.0, 12_000, True, 1_200, 34, "2030-01-31T12:00:00Z")
GROUPS = RemoteCount(9, True, [RemoteGroup("failed", "a-rather-long-type", 9, ID, "exception", "2030-01-31T12:00:00Z")])


@pytest.mark.parametrize("width", [60, 70, 79, 80, 100, 120, 200])
def test_ids_are_whole_and_no_line_is_too_long(width: int) -> None:
    long = msgspec.structs.replace(job(1), id=ID, type="a-rather-long-type", attempt=3, state="succeeded")
    for table in (
        screen.job_list([long], width=width),
        operation_screen.operation_list([OPERATION], width=width),
        operation_screen.group_list(GROUPS, states=False, width=width),
        operation_screen.group_list(GROUPS, states=True, width=width),
    ):
        lines = shown(table, width=width).splitlines()
        assert len(lines) == 2
        assert ID in lines[1]
        assert max(map(len, lines)) <= width


def test_numbers_stand_to_the_right() -> None:
    groups = [msgspec.structs.replace(GROUPS.groups[0], count=count) for count in (1_000, 7)]
    lines = shown(operation_screen.group_list(RemoteCount(1_007, True, groups), states=False, width=120), width=120)
    assert [line[:6] for line in lines.splitlines()] == ["JOBS  ", "1000  ", "   7  "]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_how_far_an_operation_is_fits_in_a_line(width: int) -> None:
    console = Console(file=StringIO(), width=width)
    told = operation_screen.picture([OPERATION], console).plain
    assert len(told) <= width
    assert told.startswith("retry  ━")
    if width == 120:
        assert "10%  1200 of 12000, 34 skipped, 54 s left at least" in told
    assert operation_screen.picture([], console).plain == "waiting …"
