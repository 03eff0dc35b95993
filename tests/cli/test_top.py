"""``tickr top`` as a person has it: on a terminal of its own, against real servers."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from tests.children import POLL_S, free_port
from tests.cli.running import Running
from tests.cli.screens import CTRL_C, DOWN, ENTER, ESCAPE, PAGE_DOWN, UP, OnScreen
from tests.cli.watched import EVIL
from tests.processes import TickrProcess
from tickr.cli import main
from tickr.cli.exits import INTERRUPTED, MISUSED, NOT_ALLOWED, UNREACHABLE

pytestmark = pytest.mark.slow

APP = "tests.cli.watched:jobs"
TOKEN = "s3cret-of-the-test"
http = httpx2.Client(headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.fixture(scope="module", autouse=True)
def _hang_up() -> Iterator[None]:
    with http:
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[TickrProcess]:
    with TickrProcess(store="memory:", app=APP, workers=4, variables={"TICKR_TOKEN": TOKEN}) as process:
        yield process


def submit(node: TickrProcess, type: str = "work", **fields: Any) -> str:
    answer = http.post(f"{node.url}/jobs", json={"type": type, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def get(node: TickrProcess, path: str) -> Any:
    return http.get(f"{node.url}{path}").json()


def put_schedule(node: TickrProcess, name: str) -> None:
    body = {"cron": "@yearly", "job": {"type": "work", "queue": name}}
    assert http.put(f"{node.url}/schedules/{name}", json=body).is_success


def eventually(fact: Callable[[], Any]) -> None:
    until = time.monotonic() + 20
    while not fact():
        assert time.monotonic() < until
        time.sleep(POLL_S)


def watching(node: TickrProcess, *words: str, **options: Any) -> OnScreen:
    return OnScreen("top", *words, TICKR_URL=node.url, TICKR_TOKEN=TOKEN, **options)


def live(top: OnScreen) -> None:
    top.until(lambda: "● live" in top.lines[0])


def filtered(top: OnScreen, text: str) -> None:
    """Type a filter and wait until it holds."""
    top.press("/", "\x15", text, ENTER)
    top.until(lambda: top.lines[2].endswith(f"/{text}"))


def run(*words: str, **variables: str) -> Result:
    done = CliRunner().invoke(main, ["top", *words], env=variables, prog_name="tickr")
    assert not done.exception or isinstance(done.exception, SystemExit), done.exception
    return done


# -- acting -----------------------------------------------------------------------------------------------------------


def test_a_queue_is_paused_and_resumed_by_keys(server: TickrProcess) -> None:
    for name in ("a-first", "mail"):
        submit(server, queue=name, delay=600)
    with watching(server) as top:
        live(top)
        filtered(top, "mail")
        top.press("p")
        top.until(lambda: "Pause the queue mail?  y/n" in top.text)
        assert not get(server, "/queues/mail")["paused"], "it asks first"
        top.press("n")
        top.until(lambda: "y/n" not in top.text)
        top.press("p", "y")
        top.until(lambda: "1 later paused" in top.text)
        assert get(server, "/queues/mail")["paused"]
        top.until(lambda: top.marked.endswith("paused"))
        assert not get(server, "/queues/a-first")["paused"]
        top.press("r", "y")
        top.until(lambda: not top.marked.endswith("paused"))
        assert not get(server, "/queues/mail")["paused"]


def test_jobs_are_cancelled_retried_and_deleted_by_keys(server: TickrProcess) -> None:
    job_id = submit(server, queue="acted", payload={"seconds": 600})
    with watching(server, "--view", "jobs", "--filter", "queue=acted") as top:
        top.until(lambda: "running" in top.marked and job_id[-8:] in top.marked)
        top.press("c", "y")
        top.until(lambda: f"{job_id} is running; its worker has been told to stop it" in " ".join(top.text.split()))
        eventually(lambda: get(server, f"/jobs/{job_id}")["state"] == "cancelled")
        top.press("s")  # all states
        top.until(lambda: "cancelled" in top.marked)
        top.press("R", "y")
        top.until(lambda: "runs again" in top.text)
        top.until(lambda: "running" in top.marked)
        top.press(ENTER)
        top.until(lambda: f"job {job_id}" in top.lines[2] and "tries" in top.text)
        top.press("d", "y")
        top.until(lambda: f"Job {job_id} is running. Cancel it" in " ".join(top.text.split()))
        top.press("c", "y")
        top.until(lambda: "cancelled  1/3" in top.text)
        top.press("d", "y")
        top.until(lambda: "deleted" in top.text and "No such jobs." in top.text)
        assert http.get(f"{server.url}/jobs/{job_id}").status_code == 404


def test_schedules_run_now_pause_and_resume_by_keys(server: TickrProcess) -> None:
    put_schedule(server, "yearly")
    with watching(server, "--view", "schedules") as top:
        top.until(lambda: "yearly" in top.marked)
        top.press("n", "y")
        top.until(lambda: re.search(r"made \S+ work ready", top.text))
        (made,) = get(server, "/jobs?queue=yearly")["items"]
        assert made["id"] in " ".join(top.lines)
        top.press("p", "y")
        top.until(lambda: "paused" in top.marked)
        assert get(server, "/schedules/yearly")["paused"]
        top.press("r", "y")
        top.until(lambda: "paused" not in top.marked)
        assert not get(server, "/schedules/yearly")["paused"]


def test_nodes_are_quieted_resumed_and_stopped_by_keys() -> None:
    with (
        TickrProcess(app=APP, workers=3, variables={"TICKR_TOKEN": TOKEN}) as node,
        watching(node, "--view", "nodes") as top,
    ):
        top.until(lambda: re.search(r"\* +\S+:\d+ +running +0/3", top.marked))
        top.press("p", "y")
        top.until(lambda: " quiet " in top.marked)
        assert get(node, "/nodes/self")["state"] == "quiet"
        top.press("r", "y")
        top.until(lambda: " running " in top.marked)
        top.press("s")
        top.until(lambda: "Stop the node" in top.text)
        top.press("y")
        top.until(lambda: "not connected" in top.lines[0])
        top.until(lambda: "No Tickr answers" in top.text)
        assert node.wait() == 0


# -- looking ----------------------------------------------------------------------------------------------------------


def test_rates_come_from_the_feed(server: TickrProcess) -> None:
    with watching(server) as top:
        live(top)
        filtered(top, "counted")
        top.until(lambda: "in 0.0/s" in top.lines[0])
        for _ in range(20):
            submit(server, queue="counted")
        top.until(lambda: re.search(r"counted +0 +0 +0 +[1-9]\d*\.\d +[1-9]\d*\.\d", top.text))
        assert re.search(r"in [1-9]\S+/s  out [1-9]", top.lines[0])


def test_a_job_is_followed_live(server: TickrProcess) -> None:
    job_id = submit(server, "render", queue="followed", payload={"pause": 0.7})
    with watching(server, "--view", "jobs", "--filter", "queue=followed") as top:
        live(top)
        top.press(ENTER)
        top.until(lambda: "what happens to it" in top.text)
        top.until(lambda: re.search(r"progress +━+─* +\d+%  frame", top.text))
        top.until(lambda: re.search(r"log +wrote \d.png", top.text))
        top.until(lambda: "succeeded  1/3" in top.text)
        assert "\\x1b[2J" in top.text
        assert EVIL.encode() not in top.heard
        assert job_id in top.lines[2]


def test_why_a_job_does_not_run_and_what_went_wrong_with_another(server: TickrProcess) -> None:
    submit(server, queue="stuck", delay=600)
    assert http.post(f"{server.url}/queues/stuck/pause").is_success
    broken = submit(server, "broken", queue="failing")
    eventually(lambda: get(server, f"/jobs/{broken}")["state"] == "failed")
    with watching(server) as top:
        live(top)
        filtered(top, "stuck")
        top.press(ENTER)
        top.until(lambda: "/queue=stuck" in top.lines[2] and "scheduled" in top.marked)
        top.press(ENTER)
        top.until(lambda: "why it is not running" in top.text and 'queue "stuck" is paused' in top.text)
        top.press(ESCAPE)
        filtered(top, "type=broken error=exception")
        top.until(lambda: "failed" in top.marked)
        top.press(ENTER)
        top.until(lambda: "TRY  OUTCOME" in top.text)
        top.press(*[PAGE_DOWN] * 3)
        top.until(lambda: "raise ValueError" in top.text)


def test_a_job_of_thousands_of_signs_on_80_by_24(server: TickrProcess) -> None:
    fields = {"queue": "large", "delay": 600, "labels": {"long": "l" * 200}}
    submit(server, payload={"text": "x" * 5000 + EVIL, "many": {str(n): EVIL for n in range(300)}}, **fields)
    with watching(server, "--view", "jobs", "--filter", "queue=large state=scheduled") as top:
        top.until(lambda: "scheduled" in top.marked)
        top.press(ENTER)
        top.until(lambda: re.search(r"lines 1 to 19 of \d+", top.lines[2]))
        assert top.lines[0].startswith(" tickr top")
        assert top.lines[-1].startswith(" c cancel")
        top.press("\x1b[F")
        top.until(lambda: "nothing since this is open" in top.text)
        assert EVIL.encode() not in top.heard
        assert not re.search(rb"\x1b\[2J|\xc2\x9b|\xe2\x80\xae", top.heard)


def test_a_list_is_read_page_by_page(server: TickrProcess) -> None:
    ids = [submit(server, queue="long", delay=600) for _ in range(40)][::-1]
    with watching(server, "--view", "jobs", "--filter", "queue=long state=scheduled") as top:
        top.until(lambda: ids[0][-8:] in top.marked)
        top.until(lambda: ids[17][-8:] in top.text)
        top.press(PAGE_DOWN, DOWN)
        top.until(lambda: "page 2" in top.lines[2] and ids[18][-8:] in top.marked)
        top.press(UP)
        top.until(lambda: ids[17][-8:] in top.marked)
        top.resize(100, 60)
        top.until(lambda: ids[-1][-8:] in top.text)
        assert "more below" not in top.lines[2]


def test_held_it_stays_as_it_is(server: TickrProcess) -> None:
    with watching(server, "--view", "jobs", "--filter", "queue=holding state=scheduled") as top:
        live(top)
        top.press(" ")
        top.until(lambda: "held" in top.lines[0])
        submit(server, queue="holding", delay=600)
        seconds = top.lines[0][-8:]
        top.until(lambda: top.lines[0][-8:] not in (seconds, ""))
        assert "No such jobs." in top.text
        top.press(" ")
        top.until(lambda: "scheduled" in top.marked)


# -- the terminal -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leave", "code"),
    [
        (lambda top: top.press("q"), 0),
        (lambda top: top.press(CTRL_C), INTERRUPTED),
        (lambda top: top.process.send_signal(signal.SIGTERM), 143),
        (lambda top: top.process.send_signal(signal.SIGHUP), 129),
    ],
)
def test_the_terminal_is_as_it_was_however_it_ends(
    server: TickrProcess, leave: Callable[[OnScreen], None], code: int
) -> None:
    with watching(server) as top:
        live(top)
        assert not top.is_restored
        leave(top)
        assert top.end() == code
        top.until(lambda: top.is_restored)
        assert b"Traceback" not in top.heard


def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(server: TickrProcess) -> None:
    with watching(server) as top:
        live(top)
        top.press("\x1a")
        _, status = os.waitpid(top.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        top.until(lambda: top.is_restored)
        top.process.send_signal(signal.SIGCONT)
        top.until(lambda: top.heard.count(b"\x1b[?1049h") == 2)
        top.press("2")
        top.until(lambda: "newest first" in top.text)
        top.press("q")
        assert top.end() == 0
        top.until(lambda: top.is_restored)


def test_it_fits_a_terminal_that_changes_its_size_and_colours_only_where_that_is_wanted(server: TickrProcess) -> None:
    with watching(server, NO_COLOR="1") as top:
        live(top)
        top.resize(120, 40)
        top.until(lambda: "SCHEDULED" in top.text and top.lines[-1].startswith(" p pause"))
        top.resize(50, 10)
        top.until(lambda: top.lines[-1].startswith(" p pause"))
        assert not re.search(rb"\x1b\[[0-9;]*3[0-7][;m]", top.heard)
    with watching(server) as top:
        live(top)
        assert re.search(rb"\x1b\[[0-9;]*3[0-7][;m]", top.heard)


# -- when the server goes away ----------------------------------------------------------------------------------------


def test_it_comes_back_by_itself_when_the_server_is_shot() -> None:
    with TickrProcess(app=APP, variables={"TICKR_TOKEN": TOKEN}) as node, watching(node) as top:
        submit(node, queue="kept", delay=600)
        live(top)
        top.until(lambda: "kept" in top.text)
        node.kill()
        top.until(lambda: "not connected for" in top.lines[0] and "trying again" in top.lines[0])
        assert "kept" in top.text, "what was known stays"
        top.until(lambda: "No Tickr answers at" in top.text)
        top.press("p", "y")
        top.until(lambda: "whether it was done is not known" in top.text or "Start one with" in top.text)
        node.start()
        live(top)
        top.until(lambda: "No Tickr answers at" not in top.lines[-2])
        submit(node, queue="later", delay=600)
        top.until(lambda: "later" in top.line("later "))
        top.press("q")
        assert top.end() == 0


def test_a_server_that_refuses_it_for_a_while_is_asked_again() -> None:
    with TickrProcess(store="memory:", app=APP, variables={"TICKR_TOKEN": TOKEN}) as node, watching(node) as top:
        live(top)
        for token, head in (("another", "no feed"), (TOKEN, "● live")):
            node.kill()
            node.variables["TICKR_TOKEN"] = token
            node.start()
            top.until(lambda head=head: head in top.lines[0])
            top.until(lambda refused=token != TOKEN: ("TICKR_TOKEN" in top.text) == refused)


def test_who_is_not_there_or_says_no_is_told_at_once(server: TickrProcess) -> None:
    with OnScreen("top", "--url", f"http://127.0.0.1:{free_port()}") as top:
        assert top.end() == UNREACHABLE
        top.until(lambda: "No Tickr answers at" in top.text)
        assert b"\x1b[?1049h" not in top.heard
    with OnScreen("top", TICKR_URL=server.url, TICKR_TOKEN="wrong") as top:
        assert top.end() == NOT_ALLOWED
        top.until(lambda: "TICKR_TOKEN" in top.text)


# -- without a terminal -----------------------------------------------------------------------------------------------


def test_without_a_terminal_it_says_what_to_do(server: TickrProcess) -> None:
    done = run(TICKR_URL=server.url)
    assert (done.exit_code, done.stdout) == (MISUSED, "")
    assert "needs a terminal" in done.stderr
    assert "tickr top --once" in done.stderr
    with watching(server, TERM="dumb") as top:
        assert top.end() == MISUSED
    assert run("--json").exit_code == MISUSED


def test_once_prints_one_picture(server: TickrProcess) -> None:
    submit(server, queue="once", delay=600)
    with Running(
        "top", "--once", "--filter", "once", TICKR_URL=server.url, TICKR_TOKEN=TOKEN, COLUMNS="100"
    ) as command:
        assert command.end() == 0
        head, about, header, row = command.lines
        assert server.url in head
        assert about == " 1 queue, 0 due, 0 running   /once"
        assert header.split()[:4] == ["QUEUE", "DUE", "RUNNING", "SCHEDULED"]
        assert row.split()[:4] == ["once", "0", "0", "1"]
        assert max(map(len, command.lines)) <= 100
        assert "\x1b" not in command.out


@pytest.mark.parametrize("view", ["queues", "jobs", "nodes", "schedules"])
def test_once_with_json_is_what_the_server_sent(server: TickrProcess, view: str) -> None:
    put_schedule(server, "for-json")
    submit(server, queue="for-json", payload={"seconds": 600})
    done = run("--once", "--json", "--view", view, TICKR_URL=server.url, TICKR_TOKEN=TOKEN, LINES="30")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["url"], told["view"]) == (0, server.url, view)
    key = "id" if view in ("jobs", "nodes") else "name"
    assert 1 <= len(told["items"]) <= 24
    assert {item[key] for item in told["items"]} <= {
        item[key] for item in get(server, f"/{view}" + "?limit=200" * (view == "jobs"))["items"]
    }
