"""``tickr log``."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from tests.cli.test_jobs_commands import ABSENT, Tickr, server, submitted, tickr
from tickr.cli.job_log import RemoteLine, line

__all__ = ["server", "tickr"]
AT = "2026-11-21T21:10:35.801733Z"


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (RemoteLine(1, AT, "opened the file"), "1  opened the file"),
        (RemoteLine(12, AT, "two\nlines"), "12  two\nlines"),
        (RemoteLine(1, AT, "\x1b[2J", 3), "1  (3 left out) \\x1b[2J"),
        (RemoteLine(1, AT, None), "1  (encrypted)"),
    ],
)
def test_a_line_says_when_and_in_which_attempt(one: RemoteLine, told: str) -> None:
    at = f"{datetime.fromisoformat(AT).astimezone():%Y-%m-%d %H:%M:%S}"
    assert line(one).plain == f"{at}  {told}"


@pytest.mark.slow
def test_what_a_job_has_logged_is_printed(tickr: Tickr) -> None:
    job_id = submitted(tickr, "report", "title=x", "--delay", "1h")
    assert tickr("log", job_id).stdout == ""
    told = json.loads(tickr("log", job_id, "--attempt", "1", "--json").stdout)
    assert told == {"items": [], "cursor": "0.0", "more": False}
    assert "There is no job" in tickr("log", ABSENT, code=7).output
    assert "--attempt" in tickr("log", job_id, "--attempt", "0", code=2).output
