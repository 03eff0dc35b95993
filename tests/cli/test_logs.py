"""Logging as a node has it, each test in a process of its own, as it is set up for a whole process."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.slow

PROGRAM = """
import logging, sys, warnings
import structlog
from tickr.cli.logs import logging_on_stderr

log = structlog.get_logger("tickr.early")
with logging_on_stderr(level="info", form=sys.argv[1]):
    {body}
"""
JOB = 'log.info("job.started", node="n", job="0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c", type="report", attempt=1)'


def program(body: str, form: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM.format(body=body.replace("\n", "\n    ")), form]


def logged(body: str, form: str) -> str:
    done = subprocess.run(program(body, form), capture_output=True, text=True, cwd=ROOT, timeout=30, check=True)
    assert done.stdout == ""
    return done.stderr


def logged_json(body: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in logged(body, "auto").splitlines()]


def test_json_is_one_line_an_event_with_the_standard_keys_first() -> None:
    (line,) = logged_json(f'log.debug("no")\n{JOB}')
    assert list(line) == ["event", "level", "timestamp", "node", "job", "type", "attempt"]
    assert (line["event"], line["level"], line["attempt"]) == ("job.started", "info", 1)
    assert line["timestamp"].endswith("Z")
    assert len(line["timestamp"]) == len("2030-01-31T12:00:00.000000Z")


def test_what_is_bound_to_the_context_is_on_every_line() -> None:
    (line,) = logged_json('structlog.contextvars.bind_contextvars(node="n1")\nlog.info("x")')
    assert line["node"] == "n1"


def test_exceptions_are_one_field_without_anybodys_local_variables() -> None:
    told = logged_json(
        "try:\n    1 / 0\nexcept Exception as e:\n    log.error('a', exc_info=e)\n    log.exception('b')"
    )
    assert [line["event"] for line in told] == ["a", "b"]
    for line in told:
        assert line["exception"].endswith("ZeroDivisionError: division by zero")
        assert "exc_info" not in line
    text = logged("secret = 'cana' + 'ry'\ntry:\n    1 / 0\nexcept Exception:\n    log.exception('b')", "text")
    assert "ZeroDivisionError" in text
    assert "canary" not in text


def test_libraries_are_heard_from_warning_on() -> None:
    told = logged_json(
        'logging.getLogger("lib").info("no")\nlogging.getLogger("lib").error("yes %s", 1)\nwarnings.warn("mind")'
    )
    assert [(line["event"][:5], line["level"]) for line in told if line["logger"] == "lib"] == [("yes 1", "error")]
    assert [line["level"] for line in told if line["logger"] == "py.warnings"] == ["warning"]


def test_values_that_are_no_json_do_not_lose_the_line() -> None:
    (line,) = logged_json('log.info("x", path=__import__("pathlib").Path("/a"), error=ValueError("b"), big=2**70)')
    assert (line["path"], line["error"]) == ("/a", "b")
    assert int(line["big"]) == 2**70


def test_text_fits_80_columns_and_steers_no_terminal() -> None:
    first, second, third = logged(
        f'{JOB}\nlog.warning("index.away", reason="\\x1b[2J why")\nlog.info("a\\x9bb")', "text"
    ).splitlines()
    assert first[8:] == " job.started   0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c report attempt=1"
    assert len(first) <= 80
    assert second[8:] == " WARNING index.away    reason='\\x1b[2J why'"
    assert third[8:] == " a\\x9bb"


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_text_and_colour_unless_it_is_unwanted(no_color: str, coloured: bool) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
    subprocess.run(
        program('log.warning("x", a=1)', "auto"), stderr=theirs, cwd=ROOT, env=environment, timeout=30, check=True
    )
    os.close(theirs)
    told = os.read(ours, 4096).decode()
    os.close(ours)
    assert "WARNING x" in told
    assert ("\x1b[33m" in told) == coloured


def test_a_reader_that_does_not_read_holds_nobody_up_and_what_was_lost_is_told() -> None:
    many = 30_000  # more than the pipe and the line of waiting lines hold
    body = f'for n in range({many}):\n    log.info("x", n=n)\nprint("done", flush=True)'
    with subprocess.Popen(program(body, "json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"  # although nobody has read a line of the log
        _, told = process.communicate(timeout=30)
    lines = [json.loads(line) for line in told.splitlines()]
    lost = sum(line["lines"] for line in lines if line["event"] == "log.dropped")
    written = sum(line["event"] == "x" for line in lines)
    assert lost > 0
    assert written + lost == many


def test_nobody_reading_any_more_is_no_reason_to_stop() -> None:
    body = 'import os\nfor n in range(100):\n    log.info("x" * 1000)\nprint("done")'
    with subprocess.Popen(program(body, "json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        process.stderr.close()
        assert process.stdout.read() == b"done\n"
        assert process.wait(30) == 0


def test_a_process_that_just_ends_gets_its_lines_written_by_the_usual_shutdown() -> None:
    body = 'import os\nfor n in range(500):\n    log.info("x", n=n)\nlogging.shutdown()\nlog.info("late")\nos._exit(0)'
    told = logged_json(body)
    assert len(told) == 501
    assert told[-1]["event"] == "late"


def test_lines_of_processes_that_share_a_full_pipe_stay_whole_and_say_whose_they_are() -> None:
    program = (
        "import sys, structlog\nfrom tickr.cli.logs import logging_on_stderr\nlog = structlog.get_logger()\n"
        "with logging_on_stderr(level='info', form='json', process=int(sys.argv[1])):\n"
        "    for n in range(3000): log.info('line', n=n, text='x' * (n % 97))\n"
        "    print(flush=True)\n"
    )
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    writers = [
        subprocess.Popen([sys.executable, "-c", program, number], stdout=subprocess.PIPE, stderr=theirs, cwd=ROOT)
        for number in ("1", "2")
    ]
    os.close(theirs)
    for writer in writers:
        assert writer.stdout
        with writer.stdout as stdout:
            stdout.readline()  # then all its lines wait for room
    with open(ours) as pipe:
        lines = [json.loads(line) for line in pipe]
    assert [writer.wait(30) for writer in writers] == [0, 0]
    for number in (1, 2):
        assert [line["n"] for line in lines if line["process"] == number] == list(range(3000))


def test_a_line_of_text_says_whose_it_is() -> None:
    told = logged(JOB, "text")
    assert "process=" not in told
    named = program(JOB, "text")
    named[2] = named[2].replace("form=sys.argv[1]", "form=sys.argv[1], process=2")
    done = subprocess.run(named, capture_output=True, text=True, cwd=ROOT, timeout=30, check=True)
    assert done.stderr.rstrip().endswith("report attempt=1 process=2")
