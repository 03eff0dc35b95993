"""What schedules by function look like in a terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from rich.console import Console

from tickr.cli import schedule_screen
from tickr.cli.remote_schedules import RemoteSchedule, RemoteTemplate

SOON = (datetime.now(UTC) + timedelta(hours=5)).isoformat()
FAULT = "nights.at_sunset raised ValueError: no\x1b[2J sun"


def schedule(**fields: Any) -> RemoteSchedule:
    plain = RemoteSchedule(
        name="lamps",
        job=RemoteTemplate("switch"),
        missed="once",
        overlap="allow",
        paused=False,
        version=1,
        created_at=SOON,
        updated_at=SOON,
        function="nights.at_sunset",
        timezone="Europe/Stockholm",
        declared=True,
    )
    return msgspec.structs.replace(plain, **fields)


def shown(*parts: Any) -> str:
    out = io.StringIO()
    console = Console(file=out, width=100)
    for part in parts:
        console.print(part)
    return out.getvalue()


def test_it_says_by_which_function_it_goes() -> None:
    line = shown(schedule_screen.line(schedule(next_at=SOON)))
    assert line.startswith("lamps  nights.at_sunset Europe/Stockholm  switch  next in ")


def test_what_nobody_can_tell_is_unknown_and_not_ended() -> None:
    stuck = schedule(fault=FAULT)
    assert shown(schedule_screen.line(stuck)).endswith("  unknown\n")
    assert "unknown" in shown(schedule_screen.schedule_list([stuck], width=100))
    whole = shown(*schedule_screen.whole(stuck))
    assert "fault     nights.at_sunset raised ValueError: no" in whole
    assert "\x1b" not in whole


@pytest.mark.parametrize(
    ("fields", "word"), [({"ended": "function"}, "ended"), ({"paused": True}, "paused"), ({"cron": "x"}, "unknown")]
)
def test_what_has_ended_or_is_paused_says_so(fields: dict[str, Any], word: str) -> None:
    assert shown(schedule_screen.line(schedule(**fields))).endswith(f"  {word}\n")


def test_its_end_is_told_in_words() -> None:
    assert "its function has said that there are no more" in shown(*schedule_screen.whole(schedule(ended="function")))
