"""What events look like: one line that fits the terminal, tells what matters, and cannot steer it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from rich.text import Text

from tickr.cli import lines, screen
from tickr.cli.subscription import RemoteEvent

ID = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"


def event(
    what: str = "started", *, state: str = "running", job: dict[str, Any] | None = None, **data: Any
) -> RemoteEvent:
    about = {"id": ID, "type": "report", "queue": "default", "state": state, "version": 2, "attempt": 1}
    about |= {"max_attempts": 3, "run_at": "2030-01-31T12:00:30Z", **(job or {})}
    document = {"id": f"{ID}.2", "type": f"tickr.job.{what}", "time": "2030-01-31T12:00:00Z"}
    return msgspec.json.decode(json.dumps({**document, "data": {"job": about, **data}}), type=RemoteEvent)


ERROR = {"kind": "exception", "message": "ValueError: no paper\nin the printer", "traceback": None}
LONG = {"type": "t" * 128, "queue": "q" * 64, "attempt": 100, "max_attempts": 100}


@pytest.mark.parametrize(
    ("told", "parts"),
    [
        (event(), ["started", "report", "1/3"]),
        (event("created", state="scheduled", job={"attempt": 0}), ["created", "report", "in 30 s"]),
        (
            event("retrying", state="retrying", error=ERROR),
            ["retrying", "in 30 s: ValueError: no paper in the printer"],
        ),
        (event("failed", state="failed", error=ERROR), ["failed", "ValueError: no paper in the printer"]),
        (event("failed", state="failed", error={"kind": "timeout", "message": ""}), ["failed", "timeout"]),
        (event("succeeded", state="succeeded", result={"n": 1}), ["succeeded", '{"n": 1}']),
        (event("succeeded", state="succeeded", result_bytes=300_000), ["succeeded", "300,000 bytes of result"]),
        (event("progress", progress=0.4, message="resizing"), ["progress", "━━━━────── ", " 40%  resizing"]),
        (event("progress", progress=1, message=None), ["━━━━━━━━━━ 100%"]),
        (event("log", message="a line\nand another"), ["log", "a line and another"]),
        (event("log", message="more", dropped=12), ["(12 left out) more"]),
        (event(job={"queue": "mail"}), ["report @mail"]),
    ],
)
def test_an_event_tells_what_matters_of_it(told: RemoteEvent, parts: list[str]) -> None:
    text = lines.line(told, width=140).plain
    assert [part for part in parts if part not in text] == []
    assert text.split()[2] == ID
    assert "\n" not in text


def thing(what: str, **data: Any) -> RemoteEvent:
    document = {"id": "schedule/nightly/1.2", "type": f"tickr.{what}", "subject": "nightly"}
    return msgspec.json.decode(
        json.dumps({**document, "time": "2030-01-31T12:00:00Z", "data": {"schedule": {"name": "nightly"}, **data}}),
        type=RemoteEvent,
    )


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (thing("schedule.paused"), ["paused", "schedule", "nightly"]),
        (thing("node.quieted", node={"id": "1", "state": "quiet"}), ["quieted", "node", "nightly"]),
        (thing("schedule.skipped", reason="overlap", count=3), ["skipped", "schedule", "nightly", "3", "×", "overlap"]),
        (thing("queue.paused"), ["paused", "queue", "nightly"]),
        (thing("something.new"), ["new", "something", "nightly"]),
    ],
)
def test_what_happens_to_something_else_tells_what_it_is(told: RemoteEvent, words: list[str]) -> None:
    for width in (60, 140):
        assert lines.line(told, width=width).plain.split()[1:] == words


@pytest.mark.parametrize("width", [40, 80, 119, 120, 200])
@pytest.mark.parametrize(
    "told",
    [
        event(job=LONG),
        event("failed", state="failed", job=LONG, error={"kind": "k", "message": "word " * 200}),
        event("log", message="漢字 " * 100),
        event("progress", progress=0.123, message="m" * 300),
        event("succeeded", state="succeeded", result="r" * 1000),
    ],
)
def test_a_line_is_never_wider_than_the_terminal(told: RemoteEvent, width: int) -> None:
    line = lines.line(told, width=width)
    assert line.cell_len <= width
    assert line.plain.endswith("…") or line.cell_len < width


def test_columns_stand_below_each_other_and_ids_are_whole_where_there_is_room() -> None:
    told = [event(), event("succeeded", job=LONG, state="succeeded", result=1), event("created", job={"attempt": 0})]
    narrow = [lines.line(one, width=80).plain for one in told]
    assert {line.index("…3f4a5b6c") for line in narrow} == {21}
    assert narrow[0].index("1/3") == narrow[1].index("100/1")
    assert all(ID in lines.line(one, width=lines.WHOLE_IDS).plain for one in told)


def test_in_a_pipe_nothing_is_cut() -> None:
    text = lines.line(event(job=LONG), width=screen.PIPED_WIDTH).plain
    assert LONG["type"] in text
    assert LONG["queue"] in text
    assert text.endswith("100/100")


def test_without_the_signs_a_bar_is_made_of_others() -> None:
    assert lines.line(event("progress", progress=0.5, message="x"), width=80, ascii_only=True).plain.endswith(
        "#####-----  50%  x"
    )


@pytest.mark.parametrize(("fraction", "bar"), [(0, "----"), (0.5, "##--"), (1, "####"), (-3, "----"), (7, "####")])
def test_a_bar_stays_within_its_bounds(fraction: float, bar: str) -> None:
    assert lines.progress(fraction, None, 4, ascii_only=True).plain.startswith(f"{bar} ")


@pytest.mark.parametrize("evil", ["\x1b[2J", "\x9b2J", "a\rb", "\x00", "\x08", "\u202eabc", "\u2066", "a\nb", "\x85"])
def test_no_text_of_an_event_steers_the_terminal(evil: str) -> None:
    job = {"id": evil, "type": evil, "queue": evil, "state": evil}
    error = {"kind": evil, "message": evil}
    for what in (evil, "started", "progress", "log", "failed", "succeeded"):
        told = event(what, job=job, error=error if what == "failed" else None, message=evil, result=evil)
        for width in (80, screen.PIPED_WIDTH):
            assert lines.line(told, width=width).plain.isprintable()
    assert lines.progress(0.5, evil, 10, ascii_only=False).plain.isprintable()


def test_errors_and_progress_are_coloured_and_logs_are_dim() -> None:
    def styles(line: Text) -> set[str]:
        return {str(span.style) for span in line.spans}

    assert "bold red" in styles(lines.line(event("failed", state="failed", error=ERROR), width=80))
    assert "cyan" in styles(lines.line(event("progress", progress=0.5), width=80))
    assert styles(lines.line(event("log", message="x"), width=80)) == {"dim"}
