"""What each key of ``tickr top`` does to what is shown, and what it has done."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from tests.cli.shown import NOW, ROOM, act_of, job, node, pressed, queue, schedule, state_of
from tickr.cli.top.keys import VERBS, Leave, press
from tickr.cli.top.model import (
    STATES,
    Act,
    Link,
    Page,
    Room,
    Row,
    Said,
    State,
    View,
    Wanted,
    Whole,
    done,
    failed,
    id_of,
    linked,
    selected,
    shown,
    taken,
    wanted,
)

FIRST = {View.QUEUES: queue("mail"), View.JOBS: job(7), View.NODES: node(7), View.SCHEDULES: schedule("nightly")}
QUEUES = [queue(name) for name in ("default", "mail", "reports")]


def id_at(state: State) -> str:
    row = selected(state)
    assert row
    return id_of(row)


def read_again(state: State, *rows: Row, more: str | None = None, room: Room = ROOM) -> State:
    return taken(state, wanted(state, room), Page(rows, more), room)


# -- acting -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("view", "key"), [(view, key) for view, verbs in VERBS.items() for key in verbs])
def test_what_changes_something_asks_first_and_is_about_the_selected_row(view: View, key: str) -> None:
    state = state_of(view, FIRST[view])
    asking = pressed(state, key)
    assert asking.question
    assert act_of(state, key, "y") == Act(view, VERBS[view][key].word, id_of(FIRST[view]))
    for no in ("n", "esc", "q"):
        assert pressed(asking, no) == replace(asking, question=None)
    assert pressed(asking, "down", "enter", "2", "space") == asking, "only an answer is taken for one"


def test_the_question_stays_with_its_row_wherever_the_selection_goes() -> None:
    state = pressed(state_of(View.QUEUES, *QUEUES), "down", "p")
    state = read_again(state, queue("an earlier one"), queue("reports"))
    assert press(state, "y", ROOM).request == Act(View.QUEUES, "pause", "mail")


def test_where_there_is_no_row_no_key_asks() -> None:
    for view, verbs in VERBS.items():
        for key in verbs:
            assert pressed(state_of(view), key).question is None
            assert pressed(State(view=view), key, "enter").question is None


def test_one_thing_is_done_at_a_time_and_its_answer_is_shown_until_the_next() -> None:
    state, request = press(pressed(state_of(View.QUEUES, *QUEUES), "p"), "y", ROOM)
    assert isinstance(request, Act)
    again = pressed(state, "r")
    assert again.question is None
    assert again.said
    assert not again.said.well
    state = done(state, request, Said("default  paused", True))
    assert (state.doing, state.said) == (None, Said("default  paused", True))
    assert pressed(state, "down", "up").said == state.said
    assert pressed(state, "r").said is None


def test_a_job_that_was_deleted_is_no_longer_looked_at() -> None:
    state = pressed(state_of(View.JOBS, job(1)), "enter")
    state = taken(state, wanted(state, ROOM), Whole(job(1)), ROOM)
    act = act_of(state, "d", "y")
    assert act == Act(View.JOBS, "delete", job(1).id)
    assert done(state, act, Said("no", False)).opened
    assert done(state, act, Said("deleted", True)).opened is None
    assert done(state, act._replace(id="another"), Said("deleted", True)).opened


# -- moving -----------------------------------------------------------------------------------------------------------


def test_the_selection_moves_and_stays_within_the_list() -> None:
    state = state_of(View.QUEUES, *(queue(f"q{number:02}") for number in range(40)))
    for keys, name in (
        (["up"], "q00"),
        (["j", "down", "k"], "q01"),
        (["pgdn"], "q18"),
        (["pgdn", "pgdn", "pgdn"], "q39"),
        (["end", "up"], "q38"),
        (["end", "home"], "q00"),
    ):
        assert id_at(pressed(state, *keys)) == name


def test_the_selection_stays_with_its_row_and_where_that_is_gone_with_its_place() -> None:
    state = pressed(state_of(View.QUEUES, *QUEUES), "down")
    assert id_at(read_again(state, queue("a"), queue("b"), *QUEUES)) == "mail"
    assert id_at(read_again(state, queue("default"), queue("reports"))) == "reports"
    assert id_at(read_again(state, queue("default"))) == "default"
    assert selected(read_again(state)) is None


def test_past_its_end_a_list_of_pages_goes_on_with_the_next_and_back() -> None:
    rows = [job(number) for number in range(ROOM.rows)]
    state = state_of(View.JOBS, *rows, more="c1")
    assert pressed(state, "end").listing.cursors == ()
    state = pressed(state, "end", "down")
    assert wanted(state, ROOM).cursor == "c1"
    assert pressed(state, "down", "pgdn", "c") == state, "nothing can be done before the page is there"
    state = read_again(state, job(90), job(91), more="c2")
    assert id_at(state) == job(90).id
    deeper = read_again(pressed(state, "pgdn", "pgdn"), job(95))
    assert wanted(deeper, ROOM).cursor == "c2"
    assert wanted(pressed(deeper, "home"), ROOM).cursor is None
    assert pressed(deeper, "down", "pgdn").listing.cursors == ("c1", "c2"), "the last page is the last"
    back = read_again(pressed(state, "up"), *rows, more="c1")
    assert (wanted(back, ROOM).cursor, id_at(back)) == (None, rows[-1].id)
    assert id_at(read_again(pressed(state, "pgup"), *rows)) == rows[0].id


def test_no_more_is_asked_for_than_is_on_the_screen() -> None:
    for view in (View.JOBS, View.SCHEDULES):
        assert wanted(State(view=view), Room(80, 24)).limit == 18
        assert wanted(State(view=view), Room(80, 50)).limit == 44
        assert wanted(State(view=view), Room(20, 3)).limit == 1


# -- views ------------------------------------------------------------------------------------------------------------


def test_keys_switch_between_the_lists_and_each_keeps_its_place() -> None:
    state = pressed(state_of(View.QUEUES, *QUEUES), "down")
    assert [pressed(state, key).view for key in "1234"] == list(View)
    assert pressed(state, "tab").view is View.JOBS
    assert pressed(state, "shift-tab").view is View.SCHEDULES
    assert id_at(pressed(state, "tab", "tab", "tab", "tab")) == "mail"


def test_enter_opens_and_esc_goes_back() -> None:
    for view in (View.JOBS, View.NODES, View.SCHEDULES):
        state = state_of(view, FIRST[view])
        opened = pressed(state, "enter")
        assert wanted(opened, ROOM) == Wanted(view, id_of(FIRST[view]))
        assert selected(opened) is None, "nothing is done to what has not been read"
        opened = taken(opened, wanted(opened, ROOM), Whole(FIRST[view]), ROOM)
        assert selected(opened) == FIRST[view]
        assert pressed(opened, "esc") == state
        assert pressed(opened, "1").opened is None


def test_enter_on_a_queue_shows_all_its_jobs() -> None:
    state = pressed(state_of(View.QUEUES, *QUEUES), "down", "enter")
    assert wanted(state, ROOM) == Wanted(View.JOBS, None, "queue=mail", (), None, ROOM.rows)


def test_what_is_opened_scrolls_as_far_as_it_has_lines() -> None:
    state, room = pressed(state_of(View.JOBS, job()), "enter"), Room(80, 24, lines=60)
    assert [pressed(state, *keys, room=room).scroll for keys in (["down"], ["pgdn"], ["end"], ["up"])] == [1, 19, 41, 0]
    assert pressed(state, "end", "up", room=room).scroll == 40
    assert pressed(state, "end", room=Room(80, 24, lines=5)).scroll == 0


def test_help_comes_and_goes_and_lets_nothing_be_done() -> None:
    state = state_of(View.QUEUES, *QUEUES)
    helped = pressed(state, "?")
    assert helped.helping
    assert pressed(helped, "p").question is None
    assert [pressed(helped, key).helping for key in ("?", "esc", "enter")] == [False] * 3


def test_q_leaves_from_everywhere_but_where_one_types() -> None:
    state = state_of(View.JOBS, job())
    for keys in ([], ["enter"], ["?"], ["3"], ["space"]):
        assert press(pressed(state, *keys), "q", ROOM).request is Leave.LEAVE
    assert pressed(state, "/", "q").typing == "q"


def test_space_holds_and_goes_on() -> None:
    assert [pressed(State(), *keys).held for keys in (["space"], ["space", "space"])] == [True, False]


# -- filters ----------------------------------------------------------------------------------------------------------


def test_a_filter_is_typed_mended_and_left() -> None:
    state = pressed(state_of(View.QUEUES, *QUEUES), "/", *"maik", "backspace", "l", "space")
    assert (state.typing, len(shown(state))) == ("mail ", 3)
    state = pressed(state, "enter")
    assert (state.typing, state.listing.filter) == (None, "mail")
    assert pressed(state, "/").typing == "mail"
    assert pressed(state, "/", "ctrl-u", "x", "esc").listing.filter == "mail"
    assert pressed(state, "/", *"a" * 300).typing == "mail" + "a" * 196
    assert pressed(state, "/", "up", "pgdn", "ctrl-l").typing == "mail", "other keys are no text"
    assert pressed(state, "esc").listing.filter == ""


@pytest.mark.parametrize(
    ("text", "names"),
    [("MAI", ["mail"]), ("t", ["default", "reports"]), ("paused", ["reports"]), ("mail paused", []), ("", None)],
)
def test_lists_that_are_read_whole_are_filtered_here(text: str, names: list[str] | None) -> None:
    state = state_of(View.QUEUES, queue("default"), queue("mail"), queue("reports", paused=True))
    state = replace(state, lists={**state.lists, View.QUEUES: replace(state.listing, filter=text)})
    assert [id_of(row) for row in shown(state)] == (["default", "mail", "reports"] if names is None else names)
    assert wanted(state, ROOM).filter == ""


def test_nodes_and_schedules_are_found_by_what_their_rows_show() -> None:
    nodes = state_of(View.NODES, node(1, queues=["mail"]), node(2, state="quiet"))
    for text, found in (("mail", 1), ("quiet", 1), ("host:4002", 1), ("report", 2), ("nothing", 0)):
        assert len(shown(pressed(nodes, "/", *text, "enter"))) == found, text
    schedules = state_of(View.SCHEDULES, schedule("a", paused=True), schedule("b"))
    assert [id_of(row) for row in shown(pressed(schedules, "/", *"paused", "enter"))] == ["a"]


def test_the_states_of_jobs_go_round() -> None:
    state = state_of(View.JOBS, job())
    assert wanted(state, ROOM).states == ("running", "retrying", "failed")
    assert wanted(pressed(state, "s"), ROOM).states == ()
    assert wanted(pressed(state, *"s" * len(STATES)), ROOM).states == wanted(state, ROOM).states
    assert wanted(pressed(state, "S"), ROOM).states == STATES[-1]
    assert pressed(state_of(View.QUEUES, *QUEUES), "s").states == 0


# -- answers ----------------------------------------------------------------------------------------------------------


def test_an_answer_to_what_is_no_longer_wanted_changes_nothing() -> None:
    state = state_of(View.QUEUES, *QUEUES)
    asked = wanted(state, ROOM)
    elsewhere = pressed(state, "2")
    assert taken(elsewhere, asked, Page((queue("new"),)), ROOM) == elsewhere
    assert failed(elsewhere, asked, "no", ROOM) == elsewhere


def test_what_was_read_stays_when_a_reading_fails_and_the_next_takes_the_fault_away() -> None:
    state = state_of(View.QUEUES, *QUEUES)
    wrong = failed(state, wanted(state, ROOM), "no answer", ROOM)
    assert (wrong.failing, shown(wrong)) == ("no answer", tuple(QUEUES))
    assert read_again(wrong, *QUEUES) == state


def test_the_link_is_as_it_is_since_it_became_so() -> None:
    state = linked(State(), Link.LOST, NOW)
    later = msgspec.json.decode(b'"2030-01-31T13:00:00Z"', type=type(NOW))
    assert linked(state, Link.LOST, later) == state
    assert linked(state, Link.LIVE, later).since == later


# -- pasting ----------------------------------------------------------------------------------------------------------


def test_what_is_pasted_is_no_key_and_says_so() -> None:
    state = state_of(View.JOBS, job(7))
    for pasted in ("pasted dy", "pasted d\ry", "pasted q", "pasted 4p"):
        step = press(state, pasted, ROOM)
        assert step.request is None
        assert step.state.said
        assert replace(step.state, said=None) == state
    asking = pressed(state, "d")
    assert press(asking, "pasted y", ROOM).request is None
    assert press(asking, "pasted y", ROOM).state.question == asking.question


def test_what_is_pasted_into_a_filter_is_its_text() -> None:
    state = pressed(state_of(View.JOBS, job(7)), "/")
    assert press(state, "pasted queue=mail\t", ROOM).state.typing == "queue=mail"
    ended = press(state, "pasted queue=mail\r", ROOM).state
    assert (ended.typing, ended.listing.filter) == (None, "queue=mail")
