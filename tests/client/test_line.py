"""The line of submissions by itself: who comes in, whose turn it is, and what is left when somebody goes."""

from __future__ import annotations

import threading

from tickr.client.bodies import Body
from tickr.client.errors import ClientError
from tickr.client.line import MAX_BATCH, MAX_BYTES, MAX_JOBS, RARE, Line, Party, Ticket
from tickr.client.records import Submitted

STORED = Submitted("x", "a")


def party() -> Party:
    return Party(threading.Event())


def ticket(of: Party, text: bytes = b"{}") -> Ticket:
    made = Ticket(of, Body("x", "a", text, True), deadline=30.0)
    of.tickets.append(made)
    return made


def called(one: Party) -> bool:
    assert isinstance(one.signal, threading.Event)
    was = one.signal.is_set()
    one.signal.clear()
    return was


def test_batches_are_taken_from_the_front_and_put_back_there() -> None:
    line, one = Line(flights=2), party()
    tickets = [ticket(one) for _ in range(MAX_BATCH + 10)]
    assert all(line.enter(each) for each in tickets)
    assert line.board()
    first = line.take()
    assert first == tickets[:MAX_BATCH]
    line.settle([(first[5], STORED)])
    line.land(first)
    assert line.board()
    assert line.take() == [*first[:5], *first[6:], tickets[MAX_BATCH]]
    assert len(line) == MAX_BATCH + 9


def test_there_are_so_many_flights_and_who_is_first_is_called_when_one_is_free() -> None:
    line, one, other = Line(flights=1), party(), party()
    line.enter(ticket(one))
    assert line.board()
    batch = line.take()
    line.enter(ticket(other))
    assert not line.board()
    assert not called(other)
    line.land(batch)
    assert called(one)  # its job was put back, so it is the first again
    line.leave(one)
    assert called(other)


def test_a_halved_batch_is_taken_in_halves() -> None:
    line, one = Line(), party()
    tickets = [ticket(one) for _ in range(8)]
    for index, each in enumerate(tickets):
        each.most = 2 if index >= 4 else MAX_BATCH
        line.enter(each)
    assert [len(line.take()) for _ in range(3)] == [4, 2, 2]


def test_a_full_line_lets_in_as_others_leave_in_order_of_arrival() -> None:
    line, many, early, late = Line(), party(), party(), party()
    for _ in range(MAX_JOBS):
        assert line.enter(ticket(many))
    first, second = ticket(early), ticket(late)
    assert not line.enter(first)
    assert not line.enter(second)
    line.settle([(many.tickets[0], STORED), (many.tickets[1], STORED)])
    assert called(early)
    assert not called(late)
    assert line.enter(first)  # and calls the next
    assert called(late)
    assert line.enter(second)
    assert len(line) == MAX_JOBS


def test_who_is_called_in_and_goes_leaves_his_place_to_the_next() -> None:
    line, many, early, late = Line(), party(), party(), party()
    for _ in range(MAX_JOBS):
        line.enter(ticket(many))
    line.enter(ticket(early))
    line.enter(ticket(late))
    line.settle([(many.tickets[0], STORED)])
    line.leave(early)
    assert called(late)


def test_the_line_is_bounded_in_bytes() -> None:
    line, one = Line(), party()
    assert line.enter(ticket(one, b"x" * MAX_BYTES))
    assert not line.enter(ticket(one))


def test_those_who_left_are_swept_out() -> None:
    line, stays = Line(), party()
    line.enter(ticket(stays))
    for _ in range(3 * RARE):
        goes = party()
        line.enter(ticket(goes))
        line.leave(goes)
    assert len(line) == 1
    assert len(line._waiting) <= RARE + 1
    assert line.take() == [stays.tickets[0]]


def test_an_answer_that_came_first_stays() -> None:
    line, one = Line(), party()
    line.enter(ticket(one))
    late = ClientError("too late")
    line.settle([(one.tickets[0], late)])
    line.settle([(one.tickets[0], STORED)])
    assert list(one.answered()) == [late]
    assert len(line) == 0


def test_in_a_closed_line_everybody_is_answered_those_at_the_door_too() -> None:
    line, many, late = Line(), party(), party()
    for _ in range(MAX_JOBS):
        line.enter(ticket(many))
    assert line.board()
    line.take()
    at_door = ticket(late)
    assert not line.enter(at_door)
    closed = ClientError("closed")
    line.close(lambda each: closed)
    assert set(many.answered()) == {closed}
    assert called(late)
    assert line.enter(at_door)
    assert at_door.answer is closed
    assert len(line) == 0
