"""The tables of ``docs/schedules.md`` are those of the program."""

from __future__ import annotations

import msgspec

from tests.docs.pages import code, table
from tests.docs.test_tables import page, size
from tickr import declared, foresight, missed, schedule_moves, schedules, ticks
from tickr.api import schedule_document, schedule_request
from tickr.api import schedules as api_schedules
from tickr.scheduler import foretell
from tickr.scheduler import schedules as scheduler
from tickr.worker import declarations


def test_the_fields_of_a_schedule_are_those_of_the_program() -> None:
    rows = {code(row[0])[0]: row for row in table(page("schedules.md"), "field", "default", "rule")}
    fields = {field.name: field for field in msgspec.structs.fields(schedule_request.Description)}
    assert list(rows) == list(fields)
    for name, rule in schedule_request.RULES.items():
        assert rows[name][2].startswith(rule), name
    for name in ("missed", "overlap"):
        assert code(rows[name][1]) == [fields[name].default]
    shown = [name for row in table(page("schedules.md"), "field of a schedule") for name in code(row[0])]
    assert shown == [field.name for field in msgspec.structs.fields(schedule_document.ScheduleDocument)]


LIMITS_OF_SCHEDULES = {
    "schedules": f"{schedules.MAX_SCHEDULES:,}",
    "body of a schedule": size(schedule_request.MAX_BODY_BYTES),
    "shortest and longest interval": f"{ticks.MIN_EVERY_S:g} s, {ticks.MAX_AHEAD_S / 86_400 / 365:g} years",
    "length of a cron expression": f"{ticks.MAX_CRON_LENGTH} characters",
    "`times`": f"{schedules.MAX_TIMES:,}",
    "schedules that a program declares": f"{declarations.MAX_DECLARED:,}",
    "of them by a function": f"{declarations.MAX_FUNCTIONS}",
    "how long a function may take to answer": f"{foretell.ANSWER_S:g} s",
    "from a tick by function to the next, at least": f"{ticks.SECOND_US // 1_000_000} s",
    "ticks by function that are known ahead": f"{foresight.AHEAD}",
    "how far ahead ticks are looked for": f"{ticks.HORIZON_US / 1_000_000 / 86_400 / 366:g} years",
    "ticks that are shown": f"{api_schedules.MAX_TICKS}",
    "schedules on a page of a list": f"{api_schedules.MAX_LIMIT}",
    "lateness of a tick with `missed: skip`": f"{missed.LATE_US / 1_000_000:g} s",
    "ticks made up for with `missed: all`": f"{missed.MOST_MISSED:,}",
}


def test_the_words_and_declarations_of_schedules_are_those_of_the_program() -> None:
    words = {word: code(row[1]) for row in table(page("schedules.md"), "word", "is") for word in code(row[0])}
    assert words == {word: [written] for word, written in ticks.WORDS.items()}
    text = " ".join(page("schedules.md").split())
    assert f"The last {schedule_moves.MOST_MARKS} declarations of a schedule are known" in text
    assert f"two looks in a row, {declared.AGAIN_S:g} seconds apart, of which there is one a minute" in text
    assert declared.WATCH_S == 60
    assert f"{foresight.AHEAD} ticks, and again when fewer than {foresight.FEW} of them are left" in text
    assert f"when it is more than {missed.LATE_US / 1_000_000:g} seconds late" in text
    assert f"does not answer within {foretell.ANSWER_S:g} seconds" in text
    assert (foretell.AGAIN_S, foretell.LONGEST_AGAIN_S) == (1, 5 * 60)


def test_the_limits_of_schedules_are_those_of_the_program() -> None:
    assert {row[0]: row[1] for row in table(page("schedules.md"), "what", "at most")} == LIMITS_OF_SCHEDULES
    text = " ".join(page("schedules.md").split())
    assert f"it is at most {scheduler.LONGEST_SLEEP_S:g} s" in text
    assert f"Ticks of a cron expression are counted to {missed.MOST_MISSED:,} at a time." in text
    assert f"Up to {scheduler.PAGE} schedules go in one transaction." in " ".join(page("architecture.md").split())
