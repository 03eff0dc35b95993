"""The job that is followed: what each event makes of it, and the picture of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from tests.cli.test_lines import ERROR, event
from tests.cli.test_screen import NOW, at, job, shown
from tickr.cli import audience
from tickr.cli.audience import picture
from tickr.cli.follow import after
from tickr.cli.remote_records import RemoteError

NEW = job(version=1)


def told(what: str, state: str, version: int | None, **fields: Any) -> Any:
    about = {"version": version, "attempt": fields.pop("attempt", 1)}
    return event(what, state=state, job=about, **fields)


def test_a_job_is_what_its_events_say() -> None:
    running = after(NEW, told("started", "running", 2, node="n-1"))
    assert (running.state, running.version, running.attempt, running.node) == ("running", 2, 1, "n-1")
    assert running.started_at == "2030-01-31T12:00:00Z"
    halfway = after(running, told("progress", "running", None, progress=0.5, message="half"))
    assert (halfway.progress, halfway.progress_message, halfway.version) == (0.5, "half", 2)
    waiting = after(halfway, told("retrying", "retrying", 3, error=ERROR))
    assert waiting.error == RemoteError("exception", "ValueError: no paper\nin the printer")
    assert waiting.run_at == "2030-01-31T12:00:30Z"
    again = after(waiting, told("started", "running", 4, attempt=2))
    assert (again.progress, again.progress_message, again.attempt, again.error) == (None, None, 2, None)
    done = after(again, told("succeeded", "succeeded", 5, attempt=2, result={"n": 1.10}))
    assert (done.state, bytes(done.result), done.finished_at) == ("succeeded", b'{"n": 1.1}', "2030-01-31T12:00:00Z")


@pytest.mark.parametrize(
    "old",
    [
        told("created", "ready", 1),
        told("failed", "failed", 4, error=ERROR),
        told("progress", "running", None, progress=0.9),  # of the attempt before
        told("log", "running", None, message="x", attempt=2),
    ],
)
def test_what_is_older_than_the_job_changes_nothing(old: Any) -> None:
    known = job(version=4, attempt=2, state="running", progress=0.1)
    assert after(known, old) == known


def test_a_notice_is_over_when_something_happens() -> None:
    assert after(job(version=1, notice="No live node"), told("started", "running", 2)).notice is None


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(datetime):
        now = staticmethod(lambda _: NOW)

    monkeypatch.setattr(audience, "datetime", Stopped)


def test_the_picture_shows_what_matters_at_the_moment() -> None:
    assert shown(*picture(job(state="scheduled", run_at=at(30)), width=80)).endswith("report  scheduled  in 30 s\n")
    assert shown(*picture(job(state="retrying", attempt=1, run_at=at(-2)), width=80)).endswith(
        "report  ready  1/3  due 2.0 s ago\n"
    )
    running = job(state="running", attempt=2, started_at=at(-3), progress=0.5, progress_message="half")
    first, second = shown(*picture(running, width=80)).splitlines()
    assert first.endswith("report  running  2/3  for 3.0 s")
    assert second == "━" * 15 + "─" * 15 + "  50%  half"
    assert len(picture(msgspec.structs.replace(running, state="retrying"), width=80)) == 1
    assert shown(*picture(job(notice="No live node."), width=80)).splitlines()[-1] == "No live node."


@pytest.mark.parametrize("width", [40, 80, 140])
def test_the_picture_fits_and_is_harmless(width: int) -> None:
    evil = "\x1b[2J\x9b\r\u202e" * 40
    loaded = job(
        type=evil,
        state="running",
        started_at=at(-3),
        notice=evil,
        progress=0.5,
        progress_message=evil,
        result=Raw(b"1"),
    )
    parts = picture(loaded, width=width, ascii_only=True)
    assert all(part.cell_len <= width for part in parts[:2])
    text = shown(*parts, width=width)
    assert not [sign for sign in text if sign != "\n" and not sign.isprintable()]
