"""What jobs look like: readable at 80 columns, nothing cut in a pipe, and no job steers the terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from rich.console import Console

from tickr.cli import screen
from tickr.cli.remote_records import RemoteAttempt, RemoteError, RemoteJob

NOW = datetime(2030, 1, 31, 12, 0, 0, tzinfo=UTC)
ID = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def job(**fields: Any) -> RemoteJob:
    plain = RemoteJob(
        id=ID,
        type="report",
        queue="default",
        priority=5,
        state="ready",
        payload=Raw(b"{}"),
        labels={},
        attempt=0,
        max_attempts=3,
        run_at=at(0),
        created_at=at(-60),
    )
    return msgspec.structs.replace(plain, **fields)


def shown(*parts: Any, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    for part in parts:
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.04, "0.0 s"), (-9.94, "9.9 s"), (10, "10 s"), (99, "99 s"), (100, "2 min"), (5999, "100 min"), (6000, "2 h"),
        (172_799, "48 h"), (172_800, "2 d"), (86_400 * 400, "400 d"),
    ],
)  # fmt: skip
def test_a_span_is_told_as_a_person_would(seconds: float, told: str) -> None:
    assert screen.span(seconds) == told


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"state": "scheduled", "run_at": at(30)}, "in 30 s"),
        ({"state": "retrying", "run_at": at(300)}, "in 5 min"),
        ({"state": "ready", "run_at": at(-5)}, "due 5.0 s ago"),
        ({"state": "running", "started_at": at(-20)}, "for 20 s"),
        ({"state": "succeeded", "finished_at": at(-7200)}, "2 h ago"),
    ],
)
def test_the_instant_that_matters_in_each_state(fields: dict[str, Any], told: str) -> None:
    assert screen.when(job(**fields), NOW) == told


@pytest.mark.parametrize("evil", ["\x1b[2J", "\x9b2J", "a\rb", "\x00", "\x08", "\u202eabc", "\u2066"])
def test_no_text_of_a_job_steers_the_terminal(evil: str) -> None:
    error = RemoteError("exception", evil, traceback=f"Traceback\n{evil}")
    loaded = job(
        type=evil,
        queue=evil,
        state=evil,
        labels={evil: evil},
        notice=evil,
        node=evil,
        error=error,
        payload=Raw(msgspec.json.encode({"x": evil})),
        result=Raw(msgspec.json.encode(evil)),
    )
    attempt = RemoteAttempt(1, evil, evil, at(0), at(1), error)
    text = shown(*screen.whole(loaded, [attempt]), screen.line(loaded), screen.job_list([loaded], width=200), width=200)
    assert not [sign for sign in text if sign != "\n" and not sign.isprintable()]


def test_a_list_fits_80_columns_with_its_ids_whole() -> None:
    far = datetime.now(UTC) + timedelta(days=11)
    name = "a-rather-long-type-name"
    jobs = [
        job(type=name, state=state, attempt=10, max_attempts=10, run_at=far.isoformat()) for state in screen.COLOURS
    ]
    text = shown(screen.job_list(jobs, width=80))
    assert text.count(ID) == len(jobs)
    assert "a-rather" in text
    assert max(map(len, text.splitlines())) <= 80
    assert (text.count("in 11 d"), text.count("after others")) == (len(jobs) - 1, 1)
    assert len(text.splitlines()) == len(jobs) + 1
    assert "QUEUE" not in text
    assert "QUEUE" in shown(screen.job_list(jobs, width=screen.WIDE), width=screen.WIDE)


def test_in_a_pipe_nothing_is_cut_or_coloured() -> None:
    pipe = io.StringIO()
    console = screen.console(pipe)
    console.print(screen.job_list([job(type="t" * 128, state="failed")], width=console.width))
    assert "t" * 128 in pipe.getvalue()
    assert "\x1b" not in pipe.getvalue()
    assert max(map(len, pipe.getvalue().splitlines())) < 300


def test_a_whole_job_shows_everything_a_person_asks_for() -> None:
    failed = job(
        state="failed",
        attempt=2,
        crashes=1,
        labels={"customer": "42"},
        payload=Raw(b'{"n":12345678901234567890.10}'),
        error=RemoteError("exception", "ValueError: no [bold]paper[/bold] :smile:", "Traceback …"),
        started_at=at(-3),
        finished_at=at(-1),
        node="n-1",
    )
    attempts = [
        RemoteAttempt(1, "retrying", "n-1", at(-60), at(-58), failed.error),
        RemoteAttempt(2, "failed", "n-1", at(-3), at(-1), failed.error),
    ]
    text = shown(*screen.whole(failed, attempts))
    for part in (ID, "2 of 3, and lost with its node once", "customer=42", "12345678901234567890.10", "n-1"):
        assert part in text
    for part in ("no [bold]paper[/bold] :smile:", "retrying", "2.0 s", "Traceback …"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"progress": 0.4, "progress_message": "resizing"}, ["progress  40 % resizing"]),
        ({"progress": 0.0}, ["progress  0 %"]),
        ({"progress": 1.0, "progress_message": "\x1b[2J"}, ["progress  100 % \\x1b[2J"]),
        ({}, []),
    ],
)
def test_a_whole_job_shows_how_far_it_is(fields: dict[str, Any], told: list[str]) -> None:
    text = shown(*screen.whole(job(**fields), []))
    assert [line.rstrip() for line in text.splitlines() if line.startswith("progress")] == told


def test_a_whole_job_shows_the_data_of_its_progress_below_it() -> None:
    text = shown(*screen.whole(job(progress=0.4, progress_data=msgspec.Raw(b'{"rows":7}')), []))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[lines.index("progress 40 %") + 1] == '{"rows": 7}'


def test_a_long_error_of_an_attempt_is_cut_and_whole_above() -> None:
    error = RemoteError("exception", "word " * 200)
    text = shown(*screen.whole(job(error=error), [RemoteAttempt(1, "retrying", "n", at(0), at(1), error)]))
    above, _, table = text.partition("TRY")
    assert above.count("word") == 200
    assert table.count("word") < 40
    assert max(map(len, text.splitlines())) <= 80


def test_a_notice_stands_right_below_the_title() -> None:
    text = shown(*screen.whole(job(notice="No live node handles it."), []))
    assert text.splitlines()[1] == "No live node handles it."


def test_long_json_is_indented_and_its_numbers_stay() -> None:
    assert screen.pretty(b'{"a" :1.10, "b":[1,2]}') == '{"a": 1.10, "b": [1, 2]}'
    assert screen.pretty(b"[" + b"1," * 40 + b"1]").count("\n") == 0
    long = screen.pretty(b'{"a":"' + b"x" * 80 + b'","b":1.10}')
    assert long.splitlines()[2] == '  "b": 1.10'
