"""The board: figures of several processes, by killed writers and for readers that come at any moment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tickr.metrics.board import HALF_BYTES, NOTHING_SAID, PLACE_BYTES, Board, Said, board_file
from tickr.metrics.snapshot import Snapshot, decode, encode, joined, lasting

JOBS, SLOTS, UP, LAG = (
    "tickr_jobs_started_total",
    "tickr_node_slots",
    "tickr_index_up",
    "tickr_event_loop_lag_seconds",
)


@pytest.fixture
def board() -> Iterator[Board]:
    with board_file(3) as file:
        yield Board(file, 3)


def test_each_place_has_what_was_written_last(board: Board) -> None:
    assert [board.read(place) for place in range(3)] == [NOTHING_SAID] * 3
    for text in (b"long" * 1000, b"short", b""):
        board.write(1, text)
        board.write(2, b"other")
        assert [board.read(place) for place in range(3)] == [NOTHING_SAID, Said(text, True), Said(b"other", True)]


def test_what_the_dead_have_said_stays_and_is_known_to_be_theirs(board: Board) -> None:
    board.write(0, b"said")
    board.bury(0)
    assert board.read(0) == Said(b"said", False)
    board.bury(1)
    assert board.read(1) == NOTHING_SAID
    board.write(0, b"anew")
    assert board.read(0) == Said(b"anew", True)


def test_more_than_a_place_holds_is_refused_and_harms_nobody(board: Board) -> None:
    board.write(0, b"first")
    board.write(1, b"second")
    with pytest.raises(ValueError, match="more than a process may have to say"):
        board.write(0, b"x" * HALF_BYTES)
    assert (board.read(0).text, board.read(1).text) == (b"first", b"second")
    most = HALF_BYTES - 9
    board.write(0, b"y" * most)
    board.write(0, b"z" * most)
    assert (board.read(0).text, board.read(1).text) == (b"z" * most, b"second")


WRITER = """
import sys
from tickr.metrics.board import Board
board, number = Board(int(sys.argv[1]), 1), 0
while True:
    number += 1
    board.write(0, bytes([number % 251 + 1]) * (number * 7919 % 300_000 + 1))
    if number == 5:
        print(flush=True)
"""


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_something_whole() -> None:
    with board_file(1) as file:
        board, number = Board(file, 1), file.fileno()
        for _ in range(6):
            command = [sys.executable, "-c", WRITER, str(number)]
            with subprocess.Popen(command, pass_fds=[number], stdout=subprocess.PIPE) as writer:
                assert writer.stdout is not None
                writer.stdout.read(1)
                writer.kill()
            said = board.read(0).text
            assert said
            assert said == said[:1] * len(said)


def test_a_torn_text_is_never_read(board: Board) -> None:
    board.write(0, b"whole")
    at = 3 + HALF_BYTES  # the half that is read: the first was written second
    board._map[at + 9] ^= 1
    assert board.read(0) == NOTHING_SAID


def test_the_file_is_as_large_as_its_places() -> None:
    with board_file(2) as file:
        assert os.fstat(file.fileno()).st_size == 2 * (1 + PLACE_BYTES)


# -- what stands on it ------------------------------------------------------------------------------------------------


def of_process(jobs: float, slots: float, up: float, lag: list[float]) -> Snapshot:
    return {JOBS: {("a", "q"): jobs}, SLOTS: {(): slots}, UP: {(): up}, LAG: {(): lag}}


ONE, OTHER = of_process(3, 50, 1, [1.0] * 15), of_process(4, 50, 0, [2.0] * 15)


def test_processes_together_say_the_sum_or_what_else_their_figures_mean() -> None:
    assert joined([ONE, OTHER]) == of_process(7, 100, 0, [3.0] * 15)
    assert joined([ONE, {JOBS: {("b", "q"): 1.0}}])[JOBS] == {("a", "q"): 3.0, ("b", "q"): 1.0}
    assert joined([]) == {}


def test_of_the_dead_only_what_counts_stays() -> None:
    assert lasting(ONE).keys() == {JOBS, LAG}
    assert joined([OTHER, lasting(ONE)])[SLOTS] == {(): 50.0}


def test_a_snapshot_comes_back_as_it_was() -> None:
    assert decode(encode(ONE)) == ONE
    assert decode(b"") == {}


def test_what_another_version_has_counted_otherwise_is_left_out() -> None:
    others: Snapshot = {"tickr_unknown_total": {(): 1.0}, LAG: {(): [1.0] * 9}, JOBS: {("a", "q"): 2.0}}
    assert decode(encode(others)) == {JOBS: {("a", "q"): 2.0}}
