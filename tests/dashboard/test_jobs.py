"""The list of jobs: filters, pages, what is done to many, and a job by hand."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_plus

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Board, fits

pytestmark = pytest.mark.slow
APP = "tests.dashboard.handlers:jobs"

LATER = {"delay": 3600}


def submit_many(board: Board, count: int, **job: Any) -> list[str]:
    answer = board.api.post("/jobs/batch", json={"jobs": [job] * count})
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["results"]]


def shown(page: Page) -> list[str]:
    """Return the ids of the jobs in the list."""
    return list(page.locator("tbody tr span[title].mono").evaluate_all("(cells) => cells.map((one) => one.title)"))


def add_filter(page: Page, kind: str, value: str) -> None:
    page.get_by_label("Filter by").select_option(label=kind)
    page.get_by_label("Value of the filter").fill(value)
    page.keyboard.press("Enter")


def states(board: Board, ids: list[str]) -> list[str]:
    return [board.api.get(f"/jobs/{one}").json()["state"] for one in ids]


def test_filters_stand_in_the_address_and_come_off_again(shared_board: Board) -> None:
    wanted = shared_board.submit(
        type="echo", queue="filters", labels={"customer": "7"}, payload={"order": {"id": 7}}, **LATER
    )
    other = shared_board.submit(
        type="echo", queue="filters", labels={"customer": "8"}, payload={"order": {"id": 8}}, **LATER
    )
    page = shared_board.open("#/jobs")
    add_filter(page, "Queue", "filters")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("button", name="scheduled").click()
    expect(page.get_by_role("button", name="scheduled")).to_be_focused()
    page.get_by_role("button", name="failed").click()
    expect(page.get_by_role("button", name="failed")).to_be_focused()
    expect(page.get_by_role("button", name="scheduled")).to_have_attribute("aria-pressed", "true")
    add_filter(page, "Payload has", "order.id=7")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert shown(page) == [wanted["id"]]
    assert "queue=filters" in page.url
    assert "state=scheduled&state=failed" in page.url
    assert "payload.order.id=7" in unquote_plus(page.url)
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Take off payload.order.id").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    add_filter(page, "Label", "customer=8")
    add_filter(page, "Payload contains", '"id"')
    expect(page.locator("tbody tr")).to_have_count(1)
    assert shown(page) == [other["id"]]
    page.go_back()
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(2)


def test_what_is_wrong_with_a_filter_is_said_at_the_filter(shared_board: Board) -> None:
    page = shared_board.open("#/jobs?queue=default&label==x&nonsense=1")
    expect(page.locator("[data-filter=nonsense]")).to_contain_text("is not a parameter of this call")
    page.get_by_role("button", name="Take off nonsense").click()
    expect(page.locator("[data-filter=nonsense]")).to_have_count(0)
    expect(page.locator("[data-filter=label]")).to_contain_text("must be name or name=value")
    expect(page.locator("[data-filter=queue] .fault")).to_have_count(0)
    page.get_by_role("button", name="Take off Label: =x").click()
    add_filter(page, "Payload has", "nothing")
    expect(page.get_by_role("alert").first).to_contain_text("order.id=7")
    page = shared_board.open("#/jobs?constructor=2")
    expect(page.locator("[data-filter=constructor]")).to_contain_text("constructor: 2")
    page = shared_board.open("#/jobs?cursor=nonsense")
    expect(page.get_by_text("is not a cursor of this list")).to_be_visible()
    page.get_by_role("button", name="First page").click()
    expect(page.get_by_text("is not a cursor of this list")).to_have_count(0)
    shared_board.forgive("status of 400")


def test_an_id_leads_to_its_job_and_keys_from_row_to_row(shared_board: Board) -> None:
    jobs = [shared_board.submit(type="echo", queue="keys", **LATER) for _ in range(2)]
    page = shared_board.open("#/jobs?queue=keys")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_text(jobs[0]["id"], exact=True)).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("j")
    add_filter(page, "Type", jobs[1]["id"])
    expect(page.get_by_text(jobs[1]["id"], exact=True)).to_be_visible()


def test_a_thousand_jobs_page_by_page_and_a_later_page_stays(shared_board: Board) -> None:
    ids = set(submit_many(shared_board, 1000, type="echo", queue="thousand", **LATER))
    page = shared_board.open("#/jobs?queue=thousand")
    found: list[str] = []
    while True:
        expect(page.locator("tbody tr")).to_have_count(50)
        expect(page.locator(f"tbody span[title='{found[-1] if found else 'none'}']")).to_have_count(0)
        found += shown(page)
        if page.get_by_role("button", name="Next").count() == 0:
            break
        page.get_by_role("button", name="Next").click()
    assert len(found) == 1000
    assert set(found) == ids
    page.get_by_role("button", name="Previous").click()
    expect(page.locator(f"tbody span[title='{found[900]}']")).to_be_visible()
    new = shared_board.submit(type="echo", queue="thousand", **LATER)
    page.wait_for_timeout(1000)  # nothing may come of it
    assert shown(page) == found[900:950]
    page.get_by_role("button", name="First page").click()
    expect(page.locator(f"tbody span[title='{new['id']}']")).to_be_visible()


def test_the_first_page_is_live(shared_board: Board) -> None:
    page = shared_board.open("#/jobs?queue=live")
    expect(page.get_by_text("No job matches.")).to_be_visible()
    job = shared_board.submit(type="hold", queue="live", labels={"customer": "9"})
    row = page.locator("tbody tr")
    expect(row).to_contain_text("50 %, half of it")
    expect(row.get_by_role("progressbar")).to_have_attribute("value", "0.5")
    expect(row.get_by_role("link", name="customer=9")).to_be_visible()
    shared_board.api.post(f"/jobs/{job['id']}/cancel")
    expect(row).to_contain_text("cancelled")


def test_what_is_chosen_is_retried_and_nothing_else(shared_board: Board) -> None:
    ids = submit_many(shared_board, 3, type="echo", queue="chosen", **LATER)
    for one in ids:
        shared_board.api.post(f"/jobs/{one}/cancel")
    page = shared_board.open("#/jobs?queue=chosen")
    boxes = page.locator("tbody input[type=checkbox]")
    expect(boxes).to_have_count(3)
    picked = shown(page)[:2]
    boxes.nth(0).check()
    boxes.nth(1).check()
    expect(page.get_by_text("2 chosen")).to_be_visible()
    page.get_by_role("button", name="Retry …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("row").nth(1)).to_contain_text("cancelled")
    dialog.get_by_role("button", name="Retry 2 jobs").click()
    expect(page.get_by_role("row").filter(has_text="retry")).to_contain_text("2 of 2")
    assert {shared_board.until_final(one)["state"] for one in picked} == {"succeeded"}
    assert sorted(states(shared_board, ids)) == ["cancelled", "succeeded", "succeeded"]
    expect(page.get_by_text("All that match:")).to_be_visible()


def test_all_that_match_are_changed_then_cancelled_then_deleted(shared_board: Board) -> None:
    ids = submit_many(shared_board, 60, type="echo", queue="matching", **LATER)
    kept = shared_board.submit(type="echo", queue="others", **LATER)
    page = shared_board.open("#/jobs?queue=matching&state=scheduled&state=running")
    page.get_by_role("button", name="Edit …").click()
    page.get_by_label("Priority").fill("2")
    page.get_by_role("button", name="Edit 60 jobs").click()
    expect(page.get_by_role("row").filter(has_text="changing priority")).to_contain_text("60 of 60")
    page.get_by_role("button", name="Cancel …").click()
    page.get_by_label("Reason").fill("no more of it")
    page.get_by_role("button", name="Cancel 60 jobs").click()
    expect(page.get_by_role("row").filter(has_text="no more of it")).to_contain_text("60 of 60")
    job = shared_board.until_final(ids[0])
    assert (job["state"], job["priority"]) == ("cancelled", 2)
    assert job["error"]["message"] == "Cancelled on request: no more of it"
    expect(page.get_by_text("No job matches.")).to_be_visible()
    page.get_by_role("button", name="Delete …").click()
    expect(page.get_by_text("There is no job to delete")).to_be_visible()
    page.get_by_role("button", name="cancelled", exact=True).click()
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="Delete 60 jobs").click()
    expect(page.get_by_text("No job matches.")).to_be_visible()
    assert shared_board.api.get("/jobs", params={"queue": "matching"}).json()["items"] == []
    assert shared_board.api.get(f"/jobs/{kept['id']}").json()["state"] == "scheduled"


def test_a_job_by_hand_is_sent_to_the_letter(shared_board: Board) -> None:
    page = shared_board.open("#/jobs")
    page.get_by_role("button", name="Submit a job").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("#known-types option[value=echo]")).to_have_count(1)
    dialog.get_by_role("combobox", name="Type").fill("echo")
    dialog.get_by_label("Payload").fill('{"amount": 1.0,\n "x": }')
    dialog.get_by_role("button", name="Submit").click()
    expect(dialog.get_by_role("alert").filter(has_text="line 2, column 7")).to_be_visible()
    expect(dialog.get_by_label("Payload")).to_be_focused()
    written = '{"amount": 1.0, "big": 12345678901234567890, "small": -0.10}'
    dialog.get_by_label("Payload").fill(written)
    dialog.get_by_label("Priority").fill("3")
    dialog.get_by_label("Labels").fill('{"no label": "x"}')
    dialog.get_by_label("Due in").fill("60")
    dialog.get_by_role("button", name="Submit").click()
    expect(dialog.get_by_role("alert").filter(has_text="must be an object of at most 16 strings")).to_be_visible()
    dialog.get_by_label("Labels").fill("")
    dialog.get_by_role("button", name="Submit").click()
    page.locator("#notices").get_by_role("link", name="echo").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("echo")
    text = shared_board.api.get(f"/jobs/{page.url.rpartition('/')[2]}").text
    assert f'"payload":{written}' in text
    assert '"priority":3' in text
    shared_board.forgive("status of 422")


def test_on_a_narrow_screen_nothing_sticks_out(shared_board: Board) -> None:
    shared_board.page.set_viewport_size({"width": 400, "height": 800})
    shared_board.submit(type="x" * 128, queue="q" * 64, labels={"n" * 64: "v" * 256}, limit_key="k" * 128, **LATER)
    page = shared_board.open(f"#/jobs?queue={'q' * 64}&label={'n' * 64}")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert fits(page)
    page.get_by_role("button", name="Edit …").click()
    expect(page.get_by_role("button", name="Edit 1 job")).to_be_visible()
    assert fits(page)
    page.keyboard.press("Escape")
    page.get_by_role("link", name="x" * 128).click()
    expect(page.get_by_role("heading", name="Attempts")).to_be_visible()
    assert fits(page)
