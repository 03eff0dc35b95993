"""``tickr submit --watch``: it tells what happens to its job, misses nothing, and exits with the outcome."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import signal
import sqlite3
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.children import free_port
from tests.cli.running import Running
from tests.processes import TickrProcess
from tickr.cli import main
from tickr.cli.exits import CANCELLED, FAILED, INTERRUPTED
from tickr.cli.remote import Remote

pytestmark = pytest.mark.slow

APP = "tests.cli.watched:jobs"
ID = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6"


@pytest.fixture(scope="module")
def server() -> Iterator[TickrProcess]:
    with TickrProcess(store="memory:", app=APP) as process:
        yield process


Follow = Callable[..., Result]


@pytest.fixture
def follow(server: TickrProcess) -> Follow:
    """Run ``tickr submit --watch`` against the server; ``code`` is the exit code it must have."""
    surroundings = {"TICKR_URL": server.url, "FORCE_COLOR": "1"}

    def run(*words: str, code: int = 0) -> Result:
        done = CliRunner().invoke(main, ["submit", "--watch", *words], env=surroundings, prog_name="tickr")
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done

    return run


def following(node: TickrProcess, *words: str, **options: Any) -> Running:
    return Running("submit", "--watch", *words, TICKR_URL=node.url, **options)


def documents(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def whats(lines: list[str]) -> list[str]:
    return [line.split()[1] for line in lines]


# -- to the end -------------------------------------------------------------------------------------------------------


def test_in_a_pipe_it_tells_all_and_ends_with_the_result(follow: Follow) -> None:
    done = follow("render", "pause:=0.4", "--id", ID + "0")  # said too soon, the next would replace it
    assert done.stderr == ""
    first, *events, last, result = done.stdout.splitlines()
    assert first == f"{ID}0  render  ready"
    steps = ["progress", "log"]
    assert whats(events) == ["created", "started", *steps, *steps, *steps, *steps, "succeeded"]
    assert all(line.split()[2] == ID + "0" for line in events)
    assert re.search(r"50%  frame 2\\x1b\[2J", done.stdout)
    assert re.fullmatch(rf"{ID}0  render  succeeded  1/3  took \d\.\d s", last)
    assert result == '{"frames":4}'
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.stdout)


def test_a_job_that_fails_is_exit_code_4_with_its_error(follow: Follow) -> None:
    done = follow("broken", code=FAILED)
    text = done.stdout
    assert whats(text.splitlines()[1:6]) == ["created", "started", "retrying", "started", "failed"]
    _, _, end = text.partition("broken  failed  2/2")
    assert "exception: ValueError: no paper\\x1b[2J" in end
    assert "Traceback (most recent call last)" in end
    assert done.stderr == ""


def test_a_job_that_is_cancelled_is_exit_code_5(server: TickrProcess) -> None:
    with following(server, "work", "--delay", "60") as command:
        command.until(lambda: "created" in command.out)
        with Remote(server.url) as remote:
            remote.cancel(command.out.split()[0])
        assert command.end() == CANCELLED
    assert re.search(r"\n\S+  work  cancelled", command.out)


def test_with_json_the_job_comes_first_and_then_its_events_as_they_are(follow: Follow, server: TickrProcess) -> None:
    job, *events = documents(follow("work", "--json").stdout)
    assert job["state"] == "ready"
    assert [event["data"]["job"]["version"] for event in events] == [1, 2, 3]
    assert {event["subject"] for event in events} == {job["id"]}
    assert events[-1]["data"]["result"] == "done"


def test_it_listens_before_it_submits(follow: Follow) -> None:
    """However soon the job ends, each of its events is told."""
    for _ in range(10):
        _, *events = documents(follow("work", "--json").stdout)
        assert [event["type"].rpartition(".")[2] for event in events] == ["created", "started", "succeeded"]


def test_a_result_too_long_for_the_feed_is_shown_all_the_same(follow: Follow) -> None:
    out = follow("large", "size:=300000").stdout
    assert "300,002 bytes of result" in out
    assert out.splitlines()[-1] == '"' + "x" * 300_000 + '"'


@pytest.mark.parametrize(("type", "code"), [("work", 0), ("broken", FAILED)])
def test_a_job_that_has_ended_already_is_told_at_once(follow: Follow, type: str, code: int) -> None:
    job_id = follow(type, code=code).stdout.split()[0]
    again = follow(type, "--id", job_id, code=code).stdout.splitlines()
    assert re.match(rf"{job_id}  {type}  (succeeded|failed)", again[0])
    assert again[0] in again[1]
    (document,) = documents(follow(type, "--id", job_id, "--json", code=code).stdout)
    assert document["id"] == job_id


def test_a_job_that_runs_already_is_followed_to_its_end(follow: Follow, server: TickrProcess) -> None:
    with Remote(server.url) as remote:
        remote.submit(f'{{"type":"work","payload":{{"seconds":1}},"id":"{ID}1"}}'.encode(), ID + "1")
    out = follow("work", '{"seconds":1}', "--id", (ID + "1").upper()).stdout
    assert out.splitlines()[-1] == '"done"'


def test_the_holder_of_a_unique_key_is_followed_in_its_place(follow: Follow, server: TickrProcess) -> None:
    with Remote(server.url) as remote:
        body = f'{{"type":"work","payload":{{"seconds":1}},"id":"{ID}3","unique":{{"key":"k"}}}}'
        remote.submit(body.encode(), ID + "3")
    done = follow("broken", "--unique-key", "k")
    assert done.stderr.startswith(f"Nothing was submitted: job {ID}3 holds this unique key")
    assert done.stdout.startswith(f"{ID}3  work")
    assert done.stdout.splitlines()[-1] == '"done"'


def test_with_an_idempotency_key_the_job_of_the_first_time_is_followed(follow: Follow) -> None:
    words = ("work", '{"seconds":0.5}', "--idempotency-key", "k")
    first = follow(*words).stdout.splitlines()
    assert (first[0].split()[1], first[-1]) == ("work", '"done"')
    again = follow(*words).stdout.splitlines()
    assert (again[0].split()[0], again[-1]) == (first[0].split()[0], '"done"')


# -- when it cannot begin, or is left ---------------------------------------------------------------------------------


def test_what_is_refused_is_not_followed(follow: Follow) -> None:
    done = follow("work", "--priority", "12", code=2)
    assert (done.stdout, "\n  /priority must be" in done.stderr) == ("", True)
    assert "must be a UUID" in follow("work", "--id", "42", code=2).stderr


def test_nobody_answers() -> None:
    done = CliRunner().invoke(main, ["submit", "--watch", "work", "--url", f"http://127.0.0.1:{free_port()}"])
    assert done.exit_code == 3


def test_ctrl_c_leaves_the_job_alone_and_says_how_to_go_on(server: TickrProcess) -> None:
    with following(server, "wrok", "--url", server.url) as command:
        command.until(lambda: "No live node" in command.err and "created" in command.out)
        assert command.interrupt() == INTERRUPTED
    job_id = command.out.split()[0]
    notice, farewell = command.err.splitlines()
    assert notice == 'No live node handles the type "wrok"; the job waits until one does. Did you mean "work"?'
    words = shlex.split(farewell.partition("tickr ")[2])
    with Remote(server.url) as remote:
        assert remote.cancel(job_id).job.state == "cancelled"
    with Running(*words) as watch:
        watch.until(lambda: '"tickr.job.cancelled"' in watch.out and watch.out.endswith("\n"))
    # What was told when Ctrl-C came may be told once more, but nothing from before it.
    assert {event["subject"] for event in documents(watch.out)} == {job_id}


# -- when the connection is lost --------------------------------------------------------------------------------------


def test_no_event_is_lost_or_repeated_when_the_server_is_shot() -> None:
    with TickrProcess(app=APP, arguments=["--log-level", "warning"]) as node:
        with following(node, "work", "seconds:=2", "--json") as command:
            command.until(lambda: "tickr.job.started" in command.out)
            node.kill()
            node.start()
            assert command.end() == 0
        _, *events = documents(command.out)
    names = [event["type"].rpartition(".")[2] for event in events]
    assert names == ["created", "started", "released", "started", "succeeded"]
    assert all(
        later["data"]["job"]["version"] - event["data"]["job"]["version"] == 1 for event, later in pairwise(events)
    )
    assert command.err.splitlines() == ["connection lost; trying again …", "back; nothing was missed"]


@pytest.mark.parametrize("flags", [["--json"], []])
def test_an_end_that_was_missed_is_asked_for(flags: list[str]) -> None:
    """Frozen while the server dies, another history begins and the job ends."""
    words = ("work", "--delay", "1", "--id", ID + "2", *flags)
    with TickrProcess(app=APP, arguments=["--log-level", "warning"]) as node, following(node, *words) as command:
        command.until(lambda: "created" in command.out)
        command.process.send_signal(signal.SIGSTOP)
        node.kill()
        with contextlib.closing(sqlite3.connect(node.folder / "tickr.db")) as store, store:
            assert store.execute("UPDATE meta SET value = '000000000000' WHERE name = 'history'").rowcount == 1
        node.start()
        with Running("watch", "--after", "earliest", TICKR_URL=node.url) as watch:
            watch.until(lambda: "succeeded" in watch.out)
        command.process.send_signal(signal.SIGCONT)
        assert command.end() == 0
    assert "some were missed; on from now" in command.err
    last = command.out.splitlines()[-1]
    assert json.loads(last)["state"] == "succeeded" if flags else last == '"done"'


def test_a_job_that_is_gone_with_its_store_is_told() -> None:
    with TickrProcess(store="memory:", app=APP) as node, following(node, "work", "--delay", "60") as command:
        command.until(lambda: "created" in command.out)
        node.kill()
        node.start()
        assert command.end() == 7
    assert command.err.splitlines()[-1] == f"Error: There is no job {command.out.split()[0]}."


# -- on a terminal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 140])
def test_on_a_terminal_there_is_a_picture_and_what_must_stay_above_it(server: TickrProcess, columns: int) -> None:
    with following(server, "render", "pause:=0.4", columns=columns) as command:
        assert command.end() == 0
    text = command.out
    assert re.search(r"running.*?1/3", text)
    assert re.search(r"━{15}\x1b[^━─]*─{15}.*?50%  frame 2", text)
    assert text.count("wrote ") >= 4
    assert "\x1b[2J" not in text
    assert not re.search(r"\x9b|\u202e|Traceback", text)
    assert max(map(len, command.lines)) <= columns
    *_, last, result = command.lines
    assert re.search(r"render  succeeded  1/3  took \d\.\d s$", last)
    assert result == '{"frames": 4}'


def test_on_a_terminal_waiting_and_lost_connections_are_in_the_picture() -> None:
    with TickrProcess(app=APP) as node, following(node, "wrok", "--delay", "60", columns=80) as command:
        command.until(lambda: "No live node handles" in command.out)
        assert re.search(r"scheduled.*in \d\d s", command.out)
        node.kill()
        command.until(lambda: "connection lost; trying again" in command.out)
        node.start()
        command.until(lambda: "back; nothing was missed" in command.out)
        assert command.interrupt() == INTERRUPTED
    assert "tickr watch --job" in command.out
