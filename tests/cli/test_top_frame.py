"""What ``tickr top`` looks like: the facts are on the screen, it fits every terminal, and no job steers one."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import Raw

from tests.cli.shown import NOW, ROOM, URL, at, console, drawn, job, node, pressed, queue, schedule, state_of
from tests.cli.watched import EVIL
from tickr.cli.remote_nodes import RemoteRunning
from tickr.cli.remote_records import RemoteAttempt, RemoteError, RemoteExplanation, RemoteRate, RemoteReason
from tickr.cli.subscription import EventData, EventJob, RemoteEvent
from tickr.cli.top.frame import once
from tickr.cli.top.model import Act, Link, Room, Said, State, View, Whole, heard, linked, taken, wanted
from tickr.cli.top.rates import Rate, Rates

UNSAFE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

QUEUES = state_of(
    View.QUEUES,
    queue("default", ready=1234, running=3, oldest_due_at=at(-90)),
    queue("mail", paused=True, paused_until=at(600), max_running=2),
    queue("reports", scheduled=4, retrying=1, rate=RemoteRate(5, 60)),
)
JOBS = state_of(
    View.JOBS,
    job(1, progress=0.5, progress_message="half"),
    job(2, state="failed", error=RemoteError("timeout", "took too long"), attempt=3, finished_at=at(-30)),
    job(3, state="succeeded", labels={"customer": "42"}, finished_at=at(-7200), queue="mail"),
)
NODES = state_of(View.NODES, node(1), node(2, state="quiet", lease_age=14.0, queues=["mail"]), here=node(1).id)
SCHEDULES = state_of(
    View.SCHEDULES, schedule("nightly", last_tick=at(-40), fired=17), schedule("weekly", paused=True, next_at=None)
)


class Ascii(io.StringIO):
    encoding = "ascii"


def opened(state: State, *keys: str, whole: Whole) -> State:
    state = pressed(state, *keys, "enter")
    return taken(state, wanted(state, ROOM), whole, ROOM)


def happened(what: str, job_id: str = job(1).id, **fields: object) -> RemoteEvent:
    told = EventJob(job_id, "report", "default", "running", 2, 1, 3, at(0))
    return RemoteEvent(f"{job_id}.2", f"tickr.job.{what}", at(-2), EventData(told, **fields), job_id)  # type: ignore[arg-type]


def row(lines: list[str], words: str) -> str:
    (found,) = (line for line in lines if words in line)
    return found


# -- what is shown ----------------------------------------------------------------------------------------------------


def test_queues_with_all_that_is_known_of_them() -> None:
    rates = Rates(True, Rate(12.5, 11), {"default": Rate(12.5, 11.04)})
    lines = drawn(replace(QUEUES, rates=rates))
    assert lines[3].split() == ["QUEUE", "DUE", "RUNNING", "LATER", "OLDEST", "IN/s", "OUT/s", "SET"]
    assert row(lines, "default").split() == ["default", "1,234", "3", "0", "90", "s", "12.5", "11.0"]
    assert row(lines, "mail  ").split()[:4] == ["mail", "0", "0", "0"]
    assert "paused for 10 min" in row(lines, "mail  ")
    assert row(lines, "reports").split()[3] == "5"
    assert "3 queues, 1,234 due, 3 running, 1 paused" in lines[2]
    assert "in 12.5/s  out 11.0/s" in lines[0]
    wide = drawn(QUEUES, 160, 50)
    assert wide[3].split()[2:5] == ["RUNNING", "SCHEDULED", "RETRYING"]
    assert "paused for 10 min, 2 at once" in row(wide, "mail  ")
    assert row(wide, "reports").split() == ["reports", "0", "0", "4", "1", "-", "-", "5", "in", "60", "s"]


def test_jobs_with_how_far_they_are_and_what_went_wrong() -> None:
    lines = drawn(JOBS)
    assert lines[3].split() == ["ID", "TYPE", "QUEUE", "STATE", "TRY", "WHEN", "SAYS"]
    assert re.search(r"…00000001 +report +default +running +1/3 +for 4.0 s +50% +half$", row(lines, "00001 "))
    assert re.search(r"failed +3/3 +30 s ago +timeout: took too long$", row(lines, "00002 "))
    assert re.search(r"mail +succeeded +1/3 +2 h ago +customer=42$", row(lines, "00003 "))
    assert "running, retrying, failed jobs, newest first" in lines[2]
    wide = drawn(JOBS, 160, 50)
    assert "━━━━────  50%  half" in row(wide, "00001 ")
    assert job(2).id in row(wide, "00002 ")


def test_nodes_with_how_busy_they_are_and_how_old_their_leases() -> None:
    lines = drawn(NODES)
    assert re.search(r"000000000001\* +host:4001 +running +2/8 +1.0 s ago +60 min +all$", row(lines, "host:4001"))
    assert re.search(r"000000000002 +host:4002 +quiet +2/8 +14 s ago +60 min +mail$", row(lines, "host:4002"))
    assert "2 nodes, 4 of 16 workers busy" in lines[2]
    assert drawn(NODES, 160)[3].split()[6:] == ["VERSION", "ROLES", "QUEUES", "RUNS"]


def test_schedules_with_their_next_and_last_ticks() -> None:
    lines = drawn(SCHEDULES)
    assert re.search(r"nightly +every 30 s +.* 40 s ago +17 +report$", row(lines, "nightly"))
    assert "paused" in row(lines, "weekly")


def test_a_job_with_why_it_waits_its_attempts_its_error_and_its_events() -> None:
    error = RemoteError("exception", "ValueError: no paper", "Traceback (most recent call last):\n  File x, line 1")
    it = job(1, state="retrying", error=error, payload=Raw(b'{"n":1.10}'))
    why = RemoteExplanation(it.id, "retrying", [RemoteReason("paused", 'The queue "default" is paused.')])
    state = opened(JOBS, whole=Whole(it, (RemoteAttempt(1, "retrying", error=error),), why))
    state = heard(state, [happened("started"), happened("retrying", error=error), happened("started", job(2).id)])
    for width, height in ((80, 40), (160, 50)):
        text = "\n".join(drawn(state, width, height))
        for fact in ('{"n": 1.10}', "1 of 3", "no paper", "File x, line 1", "paused", 'The queue "default" is paused.'):
            assert fact in text
        assert text.index("retrying   1/3") < text.index("started    1/3"), "the last event comes first"
        assert text.count("started    1/3") == 1, "those of other jobs are not told"


def test_what_is_opened_of_nodes_and_schedules() -> None:
    running = [RemoteRunning(job(1).id, "report", "default", 1, at(-4))]
    assert job(1).id in "\n".join(drawn(opened(NODES, whole=Whole(node(1, jobs=running)))))
    ticks = "\n".join(drawn(opened(SCHEDULES, whole=Whole(schedule("nightly", next=[at(20), at(50)])))))
    assert ticks.count("2030-01-31") >= 2


def test_more_lines_than_there_is_room_for_are_scrolled() -> None:
    lines = "\n".join(f"line {number}" for number in range(100))
    state = opened(JOBS, whole=Whole(job(1, state="failed", error=RemoteError("exception", "no", lines))))
    assert "lines 1 to 19 of" in drawn(state)[2]
    assert "line 99" not in "\n".join(drawn(state))
    assert "line 99" in "\n".join(drawn(pressed(state, "end", room=Room(80, 24, 112))))


def test_a_large_payload_is_shown_in_part() -> None:
    state = opened(JOBS, whole=Whole(job(1, payload=Raw(b'"' + b"x" * 1_000_000 + b'"'))))
    text = "\n".join(drawn(state, 80, 400))
    assert 7_900 < text.count("x") < 8_100
    assert "… and 992,002 signs more" in " ".join(text.split())


def test_of_many_attempts_and_a_long_traceback_the_last_and_the_first_are_shown() -> None:
    attempts = tuple(RemoteAttempt(number, "failed") for number in range(1, 201))
    it = job(1, state="failed", error=RemoteError("exception", "no", "first\n" + "z" * 100_000))
    text = "\n".join(drawn(opened(JOBS, whole=Whole(it, attempts)), 80, 400))
    assert re.findall(r"^ (\d+) +failed", text, re.MULTILINE) == [str(number) for number in range(151, 201)]
    assert text.count("z") < 8_000


def test_the_selected_row_is_in_reverse_and_on_the_screen() -> None:
    many = state_of(View.QUEUES, *(queue(f"q{number:02}") for number in range(60)))
    for keys, name in (([], "q00"), (["pgdn"], "q18"), (["end"], "q59")):
        lines = drawn(pressed(many, *keys), force_terminal=True, no_color=True)
        (marked,) = (line for line in lines[2:] if "\x1b[7m" in line)
        assert name in marked
    assert "60 queues, 0 due, 0 running, 43 to 60" in drawn(pressed(many, "end"))[2]


def test_what_is_not_there_is_said() -> None:
    for view, words in ((View.QUEUES, "No queue has been used yet."), (View.JOBS, "No such jobs.")):
        assert words in drawn(state_of(view))[3]
        assert "reading …" in drawn(State(view=view))[3]
    # A page of a filter that few jobs pass may be empty, and not the last.
    none_yet = state_of(View.JOBS, more="c1")
    assert "None so far; PgDn looks further." in drawn(none_yet)[3]
    assert wanted(pressed(none_yet, "pgdn"), ROOM).cursor == "c1"


def test_one_picture_of_an_empty_page_says_that_there_are_more() -> None:
    on = console(width=80)
    for more, words in (("c1", "None so far; there are more to look through."), (None, "No such jobs.")):
        with on.capture() as captured:
            on.print(once(state_of(View.JOBS, more=more), ROOM, on, url=URL, now=NOW))
        assert captured.get().splitlines()[-1] == words


# -- what is said -----------------------------------------------------------------------------------------------------


def test_how_the_connection_is_stands_in_the_head() -> None:
    assert "connecting …" in drawn(QUEUES)[0]
    assert "● live" in drawn(linked(QUEUES, Link.LIVE, NOW))[0]
    assert "* live" in drawn(linked(QUEUES, Link.LIVE, NOW), file=Ascii())[0]
    lost = linked(QUEUES, Link.LOST, NOW - timedelta(seconds=12))
    assert "○ not connected for 12 s, trying again" in drawn(lost)[0]
    refused = drawn(linked(QUEUES, Link.REFUSED, NOW, "needs the scope events:read"))
    assert "no feed, looks every 3 s" in refused[0]
    assert "needs the scope events:read" in refused[-2]
    assert "held" in drawn(replace(QUEUES, held=True))[0]
    assert URL in drawn(linked(QUEUES, Link.LIVE, NOW))[0]


def test_below_the_list_stands_the_question_or_the_answer_and_then_the_keys() -> None:
    assert "Pause the queue default?  y/n" in drawn(pressed(QUEUES, "p"))[-2]
    assert "pause default …" in drawn(replace(QUEUES, doing=Act(View.QUEUES, "pause", "default")))[-2]
    assert "/mai" in drawn(pressed(QUEUES, "/", *"mai"))[2]
    assert "no answer" in drawn(replace(QUEUES, failing="no answer"))[-2]
    both = replace(QUEUES, failing="no answer", said=Said("done", True))
    assert [line.strip() for line in drawn(both)[-3:-1]] == ["done", "no answer"]
    refused = Said(f"Job {job(1).id} has not ended.\nCancel it first, or together with deleting it.", False)
    lines = drawn(replace(QUEUES, said=refused))
    assert " ".join(lines[-3:-1]).split() == refused.words.split()
    keys = {View.QUEUES: "p pause  r resume", View.JOBS: "c cancel  R retry  d delete"}
    keys |= {View.NODES: "p quiet  r resume  s stop", View.SCHEDULES: "n run  p pause  r resume"}
    assert all(words in drawn(state_of(view))[-1] for view, words in keys.items())


def test_the_help_has_every_key_and_fits() -> None:
    lines = drawn(pressed(QUEUES, "?"))
    assert "of" not in lines[2], "all of it is there"
    text = "\n".join(lines)
    for words in ("d delete", "p quiet", "s stop", "n run", "PgUp", "Ctrl-C", "payload.order.id=7", "y does it"):
        assert words in text


# -- everywhere -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50), (250, 80), (40, 12), (20, 7), (10, 4)])
@pytest.mark.parametrize("state", [QUEUES, JOBS, NODES, SCHEDULES, pressed(QUEUES, "?"), pressed(JOBS, "d")])
def test_a_picture_fits_its_terminal(state: State, width: int, height: int) -> None:
    for shown in (state, replace(state, said=Said("long words " * 40, False))):
        lines = drawn(shown, width, max(height, 7))
        assert max(map(len, lines)) <= width


def test_no_text_from_others_steers_the_terminal() -> None:
    error = RemoteError(f"k{EVIL}", f"m{EVIL}", f"t{EVIL}")
    evil = job(
        1, type=f"t{EVIL}", queue=f"q{EVIL}", labels={f"a{EVIL}": EVIL}, error=error, notice=EVIL, state=f"s{EVIL}",
        payload=Raw(b'"\\u001b[2J\\u202e"'), progress=0.5, progress_message=EVIL,
    )  # fmt: skip
    states = [
        state_of(View.JOBS, evil, job(2, state="failed", error=error), job(3, progress=0.5, progress_message=EVIL)),
        state_of(View.QUEUES, queue(f"q{EVIL}")),
        state_of(View.NODES, node(name=EVIL, version=EVIL, roles=[EVIL], queues=[EVIL], types=[EVIL], state=EVIL)),
        state_of(View.SCHEDULES, schedule(EVIL, cron=EVIL, timezone=EVIL, overlap=EVIL, missed=EVIL)),
    ]
    why = RemoteExplanation(evil.id, EVIL, [RemoteReason(EVIL, EVIL)])
    states.append(opened(states[0], whole=Whole(evil, (RemoteAttempt(1, EVIL, EVIL, error=error),), why)))
    states[-1] = heard(states[-1], [happened("log", message=EVIL), happened("emitted", name=EVIL, data=Raw(b"1"))])
    states += [pressed(state, "c") for state in (states[0], states[-1])]
    states += [pressed(states[1], "p"), replace(QUEUES, said=Said(EVIL, True)), replace(QUEUES, failing=EVIL)]
    states += [pressed(QUEUES, "/", "\u202e")]
    for state in states:
        for width in (80, 160):
            text = "\n".join(drawn(state, width, 60))
            assert not UNSAFE.search(text), repr(UNSAFE.search(text))
            assert "\\x1b[2J" in text or "\\u202e" in text


def test_one_picture_has_neither_keys_nor_empty_lines() -> None:
    on = console(width=80)
    with on.capture() as captured:
        on.print(once(QUEUES, ROOM, on, url=URL, now=NOW))
    lines = captured.get().splitlines()
    assert len(lines) == 6
    assert URL in lines[0]
    assert "3 queues" in lines[1]
    assert lines[3].startswith(" default")
