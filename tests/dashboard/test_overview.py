"""The overview: what there is, what was done over a time, marks, and what is wrong."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.children import free_port
from tests.dashboard.conftest import Board, MakeBoard, fits

pytestmark = pytest.mark.slow


def chart(page: Page, title: str) -> Locator:
    return page.get_by_role("figure").filter(has=page.get_by_role("heading", name=title, exact=True))


def some_jobs(board: Board, queue: str) -> None:
    """Have three jobs succeed, one fail and one wait."""
    jobs = [board.submit(type="report", queue=queue, payload={"time": 0}) for _ in range(3)]
    jobs.append(board.submit(type="report", queue=queue, payload={"time": "long"}))
    board.submit(type="report", queue=queue, delay=3600)
    assert [board.until_final(job["id"])["state"] for job in jobs] == ["succeeded"] * 3 + ["failed"]


def test_what_there_is_and_was_done_is_counted_and_leads_to_it(board: Board) -> None:
    some_jobs(board, "mail")
    page = board.open()
    expect(page.get_by_role("link", name="1 scheduled")).to_be_visible()
    expect(page.get_by_role("link", name="1 node", exact=True)).to_have_attribute("href", "#/nodes")
    expect(page.get_by_role("link", name="1 failed")).to_have_attribute("href", "#/failed")
    expect(chart(page, "Jobs").get_by_role("list")).to_contain_text("created5 in all")
    expect(chart(page, "Jobs").get_by_role("list")).to_contain_text("failed1 in all")
    row = page.get_by_role("table", name="Types of jobs").get_by_role("row").nth(1)
    expect(row).to_contain_text(re.compile(r"report\s*5\s*4\s*25 %"))
    failing = page.get_by_role("table", name="Dead letters").get_by_role("row").nth(1)
    expect(failing).to_contain_text("bad_payload")
    board.submit(type="report", queue="mail", delay=3600)
    expect(page.get_by_role("link", name="2 scheduled")).to_be_visible()
    page.get_by_role("link", name="2 scheduled").click()
    expect(page).to_have_url(re.compile(r"#/jobs\?state=scheduled$"))


def test_what_is_counted_outlives_the_node(board: Board) -> None:
    board.api.post("/queues/mail/pause")
    for _ in range(3):
        board.submit(type="report", queue="mail")
    some_jobs(board, "other")
    page = board.open()
    jobs = chart(page, "Jobs").get_by_role("list")
    expect(jobs).to_contain_text("created8 in all")
    tiles = page.locator(".tiles")
    expect(tiles).to_contain_text("3ready1scheduled0retrying1failed")
    counted, drawn = tiles.inner_text(), jobs.inner_text()
    failing = page.get_by_role("table", name="Dead letters").inner_text()
    board.node.kill()
    board.node.start()
    board.forgive("Failed to load resource")
    page = board.open()
    expect(page.locator(".tiles")).to_have_text(re.compile(r"\s*".join(counted.split())))
    expect(chart(page, "Jobs").get_by_role("list")).to_have_text(re.compile(r"\s*".join(drawn.split())))
    expect(page.get_by_role("table", name="Dead letters")).to_contain_text("bad_payload")
    assert "bad_payload" in failing


def test_the_time_shown_and_the_choice_stand_in_the_address(shared_board: Board) -> None:
    some_jobs(shared_board, "chosen")
    some_jobs(shared_board, "other")
    page = shared_board.open()
    expect(chart(page, "Jobs").get_by_role("list")).to_contain_text("created10 in all")
    page.get_by_label("Queue").select_option("chosen")
    expect(chart(page, "Jobs").get_by_role("list")).to_contain_text("created5 in all")
    page.get_by_role("button", name="30 d").click()
    expect(page).to_have_url(re.compile(r"queue=chosen&span=30d$"))
    page.reload()
    expect(page.get_by_role("button", name="30 d")).to_have_attribute("aria-pressed", "true")
    expect(chart(page, "Jobs").get_by_role("list")).to_contain_text("created5 in all")
    expect(page.get_by_label("Queue")).to_have_value("chosen")


def test_a_chart_is_read_by_keys_and_as_a_table(shared_board: Board) -> None:
    some_jobs(shared_board, "read")
    page = shared_board.open("#/?queue=read")
    jobs = chart(page, "Jobs")
    expect(jobs.get_by_role("list")).to_contain_text("created5 in all")
    jobs.locator(".plot").focus()
    page.keyboard.press("Home")
    expect(jobs.get_by_role("list")).to_contain_text("created0")
    page.keyboard.press("ArrowRight")
    told = re.compile(r"^\w+ \d+, \d\d:\d\d, created 0, succeeded 0, failed 0$")
    expect(jobs.locator("[aria-live]")).to_have_text(told)
    page.keyboard.press("Escape")
    expect(jobs.get_by_role("list")).to_contain_text("created5 in all")
    run = chart(page, "Run: from started to ended")
    run.get_by_text("As a table").click()
    expect(run.get_by_role("row")).to_have_count(61)
    expect(run.get_by_role("row").filter(has_text="ms")).not_to_have_count(0)
    expect(run.get_by_role("row").last).to_contain_text("–")


def test_the_age_of_the_backlog_is_drawn_as_it_grows(shared_board: Board) -> None:
    shared_board.submit(type="nobodys", queue="stands")
    page = shared_board.open("#/?queue=stands")
    backlog = chart(page, "Backlog: age of the oldest due job")
    expect(backlog.locator(".plot .line.oldest").locator("circle, path").first).to_be_attached()
    expect(backlog.get_by_role("list")).to_have_text(re.compile(r"^oldest\d.* at most$"))
    first = backlog.get_by_role("list").inner_text()
    expect(backlog.get_by_role("list")).not_to_have_text(first)
    backlog.locator(".plot").focus()
    page.keyboard.press("Home")
    expect(backlog.locator("[aria-live]")).to_have_text(re.compile(r"^\w+ \d+, \d\d:\d\d, oldest –$"))
    backlog.get_by_text("As a table").click()
    expect(backlog.get_by_role("table", name="Backlog: age of the oldest due job")).to_be_visible()
    expect(backlog.get_by_role("row").filter(has_text=re.compile(r"\d s"))).not_to_have_count(0)
    shared_board.submit(type="nobodys", queue="standstill-of-a-type")
    page.get_by_label("Queue").select_option("")
    page.get_by_label("Type").select_option("nobodys")
    expect(backlog.get_by_text("It is known by queue, not by type.")).to_be_visible()


def test_a_mark_is_made_shown_in_every_chart_and_taken_out(shared_board: Board) -> None:
    some_jobs(shared_board, "marked")
    page = shared_board.open("#/?queue=marked")
    expect(chart(page, "Jobs").get_by_role("list")).to_contain_text("created5 in all")
    page.get_by_role("button", name="Mark this moment").click()
    page.get_by_label("Words").fill("Release <b>4.2</b>")
    page.get_by_label("When").fill("yesterday")
    page.get_by_role("button", name="Mark it").click()
    expect(page.get_by_role("alert").filter(has_text="instant")).to_be_visible()
    page.get_by_label("When").fill("")
    page.get_by_role("button", name="Mark it").click()
    expect(page.locator(".mark title")).to_have_text(["Release <b>4.2</b>"] * 5)
    assert [one["text"] for one in shared_board.api.get("/marks").json()["items"]] == ["Release <b>4.2</b>"]
    page.get_by_role("button", name="Delete the mark").click()
    page.get_by_role("button", name="Delete the mark", exact=True).last.click()
    expect(page.locator(".mark")).to_have_count(0)
    assert shared_board.api.get("/marks").json()["items"] == []
    shared_board.complaints.clear()  # the browser tells of the one that was refused


def test_types_are_put_in_order_by_any_column(shared_board: Board) -> None:
    shared_board.submit(type="aardvark", queue="zoo")
    shared_board.submit(type="zebra", queue="zoo")
    shared_board.submit(type="zebra", queue="zoo")
    page = shared_board.open("#/?queue=zoo")
    types = page.get_by_role("table", name="Types of jobs")
    types.get_by_role("button", name="Created").click()
    expect(types.get_by_role("row").nth(1)).to_contain_text("zebra")
    types.get_by_role("button", name="Type").click()
    expect(types.get_by_role("row").nth(1)).to_contain_text("aardvark")
    expect(types.get_by_role("columnheader", name="Type")).to_have_attribute("aria-sort", "ascending")
    page.reload()
    expect(types.get_by_role("row").nth(1)).to_contain_text("aardvark")


def test_what_is_wrong_with_tickr_is_said_above_all(make_board: MakeBoard) -> None:
    board = make_board(index=f"redis://127.0.0.1:{free_port()}/0")
    page = board.open()
    expect(page.get_by_role("alert")).to_contain_text("The index (Redis) is away")


def test_a_paused_queue_with_work_is_named(shared_board: Board) -> None:
    shared_board.submit(type="nobodys", queue="standing")
    assert shared_board.api.post("/queues/standing/pause").status_code == 200
    page = shared_board.open()
    expect(page.get_by_role("status").get_by_role("link", name="standing")).to_have_attribute(
        "href", "#/queues/standing"
    )


def test_on_a_telephone_nothing_sticks_out(shared_board: Board) -> None:
    some_jobs(shared_board, "a-queue-whose-name-is-as-long-as-the-name-of-a-queue-may-be-64ch")
    shared_board.page.set_viewport_size({"width": 400, "height": 800})
    page = shared_board.open()
    expect(page.get_by_role("table", name="Types of jobs").get_by_text("report").first).to_be_visible()
    expect(chart(page, "Jobs").locator("svg").last).to_be_visible()
    assert fits(page)
