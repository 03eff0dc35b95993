"""Schedules on the dashboard: the list, one of them, and what is done to them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import Board, fits

pytestmark = pytest.mark.slow


def put(board: Board, name: str, **wish: Any) -> None:
    job = {"type": "report", "payload": {"time": 0}}
    answer = board.api.put(f"/schedules/{name}", json={"job": job, **wish})
    assert answer.status_code in (200, 201), answer.text


def schedule(board: Board, name: str) -> dict[str, Any]:
    return dict(board.api.get(f"/schedules/{name}").json())


def test_the_list_says_when_each_comes_and_is_found_in(shared_board: Board) -> None:
    put(shared_board, "nightly", cron="30 2 * * MON-FRI", timezone="Europe/Berlin")
    put(shared_board, "often", every=5)
    page = shared_board.open("#/schedules")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="nightly"))
    expect(row).to_contain_text("at 02:30 Monday to Friday")
    expect(row).to_contain_text("30 2 * * MON-FRI Europe/Berlin")
    expect(row.locator("time")).to_have_text(re.compile(r"^in \d"))
    page.get_by_role("searchbox").fill("berlin night")
    expect(page.get_by_role("link", name="often")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("berlin night")
    expect(row).to_be_visible()
    expect(page.get_by_role("link", name="often")).to_have_count(0)


def test_a_tick_shows_by_itself(shared_board: Board) -> None:
    put(shared_board, "ticking", every=1)
    page = shared_board.open("#/schedules/ticking")
    made = page.locator("dt", has_text="Jobs made").locator("xpath=following-sibling::dd[1]")
    expect(made).not_to_have_text("0")
    seen = int(made.inner_text())
    expect(made).not_to_have_text(str(seen))


def test_its_jobs_are_listed(shared_board: Board) -> None:
    put(shared_board, "listed", cron="@yearly")
    page = shared_board.open("#/schedules/listed")
    its = page.locator("section.card:has(h2:text-is('Its jobs'))")
    expect(its).to_contain_text("None")
    ids = {shared_board.api.post("/schedules/listed/run").json()["id"] for _ in range(2)}
    shared_board.submit(type="report", delay=60)
    shared_board.open("#/schedules")
    shared_board.open("#/schedules/listed")
    expect(its.locator("li")).to_have_count(2)
    expect(its.locator("li").first).to_contain_text("made by hand")
    its.get_by_role("link", name="All its jobs").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    shown = {link.get_attribute("href") for link in page.locator("tbody .named a").all()}
    assert shown == {f"#/job/{one}" for one in ids}


def test_on_a_narrow_page_they_are_put_in_order_by_hand(shared_board: Board) -> None:
    put(shared_board, "a-first", cron="@yearly")
    put(shared_board, "z-last", cron="@yearly")
    shared_board.page.set_viewport_size({"width": 400, "height": 800})
    page = shared_board.open("#/schedules?find=st")
    names = page.locator("tbody tr td:first-child")
    expect(names.first).to_contain_text("a-first")
    name = page.get_by_role("button", name="Name", exact=True)
    box = name.bounding_box()
    assert box is not None
    assert box["height"] > 20
    name.click()
    expect(names.last).to_contain_text("a-first")
    assert fits(page)


def test_pause_resume_and_run_now_ask_first(shared_board: Board) -> None:
    put(shared_board, "asked", cron="@yearly")
    page = shared_board.open("#/schedules")
    page.get_by_role("button", name="Pause asked").click()
    page.get_by_role("button", name="Leave it").click()
    assert not schedule(shared_board, "asked")["paused"]
    page.get_by_role("button", name="Pause asked").click()
    page.get_by_role("button", name="Pause", exact=True).last.click()
    expect(page.get_by_role("button", name="Resume asked")).to_be_visible()
    assert schedule(shared_board, "asked")["paused"]
    page.get_by_role("button", name="Run now asked").click()
    page.get_by_role("button", name="Run now", exact=True).last.click()
    made = page.get_by_role("status").get_by_role("link")
    job = shared_board.until_final(made.inner_text())
    assert (job["state"], job["schedule"]) == ("succeeded", {"name": "asked", "tick": None})
    page.get_by_role("button", name="Resume asked").click()
    page.get_by_role("button", name="Resume", exact=True).last.click()
    expect(page.get_by_role("button", name="Pause asked")).to_be_visible()


def test_one_is_edited_with_the_faults_at_the_fields_and_its_numbers_as_they_are(shared_board: Board) -> None:
    template = '{"type": "report", "payload": {"time": 0, "title": "x", "share": 1.0, "big": 12345678901234567890}}'
    body = f'{{"cron": "0 3 * * *", "job": {template}}}'
    headers = {"Content-Type": "application/json"}
    assert shared_board.api.put("/schedules/edited", content=body, headers=headers).status_code == 201
    page = shared_board.open("#/schedules/edited")
    expect(page.get_by_role("listitem")).to_have_count(10)
    expect(page.locator("pre")).to_contain_text('"share": 1.0')
    page.get_by_role("button", name="Edit edited").click()
    page.locator("[name=cron]").fill("0 12 30 2 *")
    page.locator("[name=timezone]").fill("Berlin")
    page.get_by_role("button", name="Have it be so").click()
    expect(page.locator("[name=timezone]")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert").filter(has_text="never comes")).to_be_visible()
    page.locator("[name=cron]").fill("0 12 * * *")
    page.locator("[name=timezone]").fill("Europe/Berlin")
    written = page.get_by_role("textbox", name="Job")
    written.fill(written.input_value() + "}")
    page.get_by_role("button", name="Have it be so").click()
    expect(page.get_by_role("alert").filter(has_text="is no JSON")).to_be_visible()
    written.fill(written.input_value().removesuffix("}").replace('"x"', '"y"'))
    page.get_by_role("button", name="Have it be so").click()
    expect(page.locator("pre")).to_contain_text('"title": "y"')
    answer = shared_board.api.get("/schedules/edited")
    assert '"share": 1.0' in answer.text.replace('":', '": ').replace("  ", " ")
    assert "12345678901234567890" in answer.text
    assert (answer.json()["cron"], answer.json()["timezone"]) == ("0 12 * * *", "Europe/Berlin")
    shared_board.complaints.clear()  # the browser tells of the one that was refused


def test_a_change_of_what_somebody_else_has_changed_meanwhile_is_refused(shared_board: Board) -> None:
    put(shared_board, "raced", every=60)
    page = shared_board.open("#/schedules/raced")
    page.get_by_role("button", name="Edit raced").click()
    put(shared_board, "raced", every=90)
    page.get_by_label("Or every").fill("120")
    page.get_by_role("button", name="Have it be so").click()
    expect(page.get_by_role("alert").filter(has_text="version")).to_be_visible()
    assert schedule(shared_board, "raced")["every"] == 90
    shared_board.complaints.clear()  # the browser tells of the one that was refused


def test_a_new_one_is_made_and_one_that_is_there_is_not_overwritten(shared_board: Board) -> None:
    put(shared_board, "there", every=60)
    page = shared_board.open("#/schedules")
    page.get_by_role("button", name="New schedule").click()
    page.get_by_label("Name", exact=True).fill("there")
    page.get_by_label("Or every").fill("5")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("alert").filter(has_text="there")).to_be_visible()
    assert schedule(shared_board, "there")["every"] == 60
    page.get_by_label("Name", exact=True).fill("made")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("made")
    assert schedule(shared_board, "made")["every"] == 5
    shared_board.complaints.clear()  # the browser tells of the one that was refused


def test_one_is_deleted(shared_board: Board) -> None:
    put(shared_board, "gone", every=60)
    page = shared_board.open("#/schedules/gone")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete the schedule").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Schedules")
    assert shared_board.api.get("/schedules/gone").status_code == 404


def test_three_hundred_are_listed_and_put_in_order_by_their_next_tick(shared_board: Board) -> None:
    for number in range(300):
        put(shared_board, f"many-{number:03}", every=86_400 + number)
    shared_board.page.set_viewport_size({"width": 400, "height": 800})
    page = shared_board.open("#/schedules?find=many-&sort=-Next")
    expect(page.get_by_text(re.compile(r"^300 of \d+$"))).to_be_visible()
    expect(page.locator("tbody tr").first).to_contain_text("many-299")
    assert fits(page)
