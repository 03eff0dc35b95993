"""One queue on the dashboard: what it holds, why it stands still, what is done to it; and many queues."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import Board, fits

pytestmark = pytest.mark.slow


def test_a_queue_says_why_its_jobs_wait(shared_board: Board) -> None:
    shared_board.submit(type="nobodys", queue="waits")
    shared_board.api.post("/queues/waits/pause", json={"for": 3600})
    page = shared_board.open("#/queues/waits")
    hints = page.locator(".hints li")
    expect(hints).to_have_count(2)
    expect(hints.first).to_contain_text("It is paused: none of its jobs starts until it goes on in")
    expect(hints.last).to_have_text("No live node that takes this queue handles the type nobodys.")
    expect(page.get_by_role("link", name="1 ready")).to_have_attribute("href", "#/jobs?queue=waits&state=ready")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause waits")).to_be_visible()
    assert not shared_board.api.get("/queues/waits").json()["paused"]


def test_its_charts_are_of_this_queue_alone(shared_board: Board) -> None:
    shared_board.until_final(shared_board.submit(type="report", queue="one", payload={"time": 0})["id"])
    shared_board.until_final(shared_board.submit(type="report", queue="another", payload={"time": 0})["id"])
    page = shared_board.open("#/queues/one")
    expect(page.get_by_role("figure").first.get_by_role("list")).to_contain_text("succeeded1 in all")
    expect(page.get_by_label("Queue")).to_have_count(0)


def test_one_is_limited_emptied_and_taken_away(shared_board: Board) -> None:
    for _ in range(3):
        shared_board.submit(type="nobodys", queue="emptied")
    page = shared_board.open("#/queues/emptied")
    page.get_by_role("button", name="Limit").click()
    page.get_by_label("Running at once, over all nodes").fill("2")
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_text("2 at once")).to_be_visible()
    page.get_by_role("button", name="Empty").click()
    expect(page.get_by_text("All that waits in it is cancelled: 3 jobs just now.")).to_be_visible()
    page.get_by_label("Delete the jobs for good as well").check()
    page.get_by_role("button", name="Cancel what waits").click()
    expect(page.get_by_role("table", name="Operations")).to_contain_text("3 of 3")
    expect(page.get_by_role("link", name="0 ready")).to_be_visible()
    assert shared_board.api.get("/jobs", params={"queue": "emptied"}).json()["items"] == []
    page.get_by_role("button", name="Take away").click()
    page.get_by_role("button", name="Take it away").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Queues")
    assert shared_board.api.get("/queues/emptied").status_code == 404
    shared_board.complaints.clear()  # a look that was under way finds the queue gone


def test_one_that_holds_something_is_not_taken_away(shared_board: Board) -> None:
    shared_board.submit(type="nobodys", queue="held")
    page = shared_board.open("#/queues/held")
    page.get_by_role("button", name="Take away").click()
    page.get_by_role("button", name="Take it away").click()
    expect(page.locator(".notice.bad")).to_be_visible()
    assert shared_board.api.get("/queues/held").json()["ready"] == 1
    shared_board.complaints.clear()  # the browser tells of the one that was refused


def test_two_hundred_are_found_in_and_put_in_order(shared_board: Board) -> None:
    jobs = [{"type": "nobodys", "queue": f"shop-{number:03}"} for number in range(200)]
    jobs += [{"type": "nobodys", "queue": "shop-150"}]
    assert shared_board.api.post("/jobs/batch", json={"jobs": jobs}).status_code in (200, 201)
    page = shared_board.open("#/queues?find=shop-")
    expect(page.get_by_text("200 of")).to_be_visible()
    page.get_by_role("button", name="Ready").click()
    expect(page.locator("tbody tr").first).to_contain_text("shop-150")
    page.keyboard.press("/")
    page.keyboard.type("199")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("shop-199")
    page.set_viewport_size({"width": 400, "height": 800})
    assert fits(page)
