"""In which order a node looks into its queues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tickr.queues import MAX_WEIGHT
from tickr.worker.turns import Turn, Turns

NAMES = ["a", "b", "c", "d"]


def test_without_an_order_each_has_its_turn_in_front() -> None:
    turns = Turns()
    found = [turns.next(NAMES) for _ in range(8)]
    assert Counter(turn.others[0] for turn in found) == dict.fromkeys(NAMES, 2)
    assert all(not turn.ranked and sorted(turn.others) == NAMES for turn in found)


def test_ranks_are_in_front_always_and_the_others_have_turns_behind() -> None:
    turns = Turns((("c", None), ("gone", None), ("a", None)))
    found = [turns.next(NAMES) for _ in range(8)]
    assert {tuple(turn.ranked) for turn in found} == {("c", "a")}
    assert {tuple(turn.others) for turn in found} == {("b", "d"), ("d", "b")}


def look(turns: Turns, having: Sequence[str], names: Sequence[str] = NAMES, count: int = 1) -> str:
    """Look into ``names``, of which ``having`` have jobs, and take ``count``."""
    taken = next(name for name in turns.next(names).others if name in having)
    turns.took(taken, count)
    return taken


def test_weights_are_spread_evenly() -> None:
    turns = Turns((("a", 5), ("b", 1), ("gone", 100)))
    assert "".join(look(turns, "abc", ["a", "b", "c"]) for _ in range(7)) == "aabacaa"


@given(weights=st.lists(st.integers(1, MAX_WEIGHT), min_size=1, max_size=6), count=st.integers(1, 3))
def test_each_gives_as_many_as_it_weighs(weights: list[int], count: int) -> None:
    names = [f"q{number}" for number, _ in enumerate(weights)]
    order = tuple(zip(names, weights, strict=True))
    turns = Turns(order)
    found = Counter(look(turns, names, names, count) for _ in range(sum(weights)))
    assert found == dict(order)


def test_those_with_nothing_leave_their_shares_to_the_others_and_save_nothing_up() -> None:
    turns = Turns((("a", 3), ("b", 1), ("c", 1_000)))
    assert [look(turns, "ab") for _ in range(400)].count("a") in range(299, 302)
    assert [look(turns, "abc") for _ in range(1_000)].count("c") < 1_000
    assert [look(turns, "a") for _ in range(20)] == ["a"] * 20
    assert [look(turns, "ab") for _ in range(40)].count("a") in range(29, 32)


def test_a_queue_that_comes_later_is_taken_in() -> None:
    turns = Turns((("a", 2),))
    assert turns.next(["a"]) == Turn([], ["a"])
    assert Counter(look(turns, "ab", "ab") for _ in range(30)) == {"a": 20, "b": 10}


def test_what_a_direct_start_or_a_late_answer_brings_counts_for_nobody() -> None:
    turns = Turns((("a", 2),))
    turns.took("x", 5)
    assert look(turns, "ab", "ab") == "a"
