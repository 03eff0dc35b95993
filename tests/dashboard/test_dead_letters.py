"""Dead letters: groups of jobs that are alike, and what is done to a whole group."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.dashboard.conftest import Board, MakeBoard, fits

pytestmark = pytest.mark.slow
APP = "tests.dashboard.handlers:jobs"


def fail(board: Board, count: int, queue: str) -> list[str]:
    """Have so many jobs fail in a queue of their own, and return their ids."""
    job = {"type": "mend", "queue": queue, "payload": {"cents": 0}}
    ids = [one["id"] for one in board.api.post("/jobs/batch", json={"jobs": [job] * count}).json()["results"]]
    assert {board.until_final(one)["state"] for one in ids} == {"failed"}
    return ids


def operation(page: Page, words: str) -> Locator:
    return page.get_by_role("table", name="Operations").get_by_role("row").filter(has_text=words)


def test_groups_tell_how_many_since_when_and_why(shared_board: Board) -> None:
    fail(shared_board, 3, "groups")
    other = shared_board.submit(type="fail", queue="groups", payload={"why": "the disk is full"})
    shared_board.until_final(other["id"])
    page = shared_board.open("#/failed?queue=groups")
    expect(page.get_by_text("4 jobs", exact=True)).to_be_visible()
    row = page.get_by_role("row").filter(has_text="mend")
    expect(row.get_by_role("cell").nth(2)).to_have_text("3")
    expect(row).to_contain_text("ValueError: nothing to charge")
    assert len(row.locator("time").all()) == 2
    expect(page.get_by_role("row").filter(has_text="the disk is full")).to_contain_text("exception")
    row.get_by_role("link", name="mend").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    expect(page.locator("tbody tr")).to_have_count(3)
    for part in ("queue=groups", "state=failed", "type=mend", "error=exception"):
        assert part in page.url


def test_a_group_is_mended_and_retried_and_another_is_not(shared_board: Board) -> None:
    ids = fail(shared_board, 4, "mended")
    kept = fail(shared_board, 1, "kept")
    page = shared_board.open("#/failed?queue=mended")
    page.get_by_role("button", name="Edit and retry mend, exception").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Payload").fill('{"cents": 50')
    dialog.get_by_role("button", name="Retry 4 jobs").click()
    expect(dialog.get_by_role("alert").filter(has_text="column 13")).to_be_visible()
    dialog.get_by_label("Payload").fill('{"cents": 50}')
    dialog.get_by_role("button", name="Retry 4 jobs").click()
    expect(operation(page, "changing payload")).to_contain_text("4 of 4")
    expect(page.get_by_text("No job has failed.")).to_be_visible()
    assert [shared_board.until_final(one)["result"] for one in ids] == [50] * 4
    assert shared_board.api.get(f"/jobs/{kept[0]}").json()["version"] == 3


def test_where_not_all_are_counted_none_is_not_said(make_board: MakeBoard) -> None:
    board = make_board(app=APP, workers=50)
    job = {"type": "mend", "payload": {"cents": 0}, "labels": {"is": "first"}}
    for _ in range(5):
        last = board.api.post("/jobs/batch", json={"jobs": [job] * 1000}).json()["results"][-1]["id"]
    board.until_final(last)
    board.until_final(board.submit(**job | {"queue": "z", "labels": {"is": "last"}})["id"])
    page = board.open("#/failed?label=is%3Dlast")
    expect(page.get_by_text("None among the jobs that were counted.")).to_be_visible()
    page.get_by_role("button", name="Retry all", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("None is among the jobs that were counted")
    dialog.get_by_role("button", name="Retry 0 or more jobs").click()
    expect(operation(page, "is=last")).to_contain_text("1 of 1 or more")


def test_a_retry_is_paced_and_can_be_stopped(shared_board: Board) -> None:
    fail(shared_board, 8, "paced")
    page = shared_board.open("#/failed?queue=paced")
    page.get_by_role("button", name="Retry mend, exception", exact=True).click()
    page.get_by_label("At most so many jobs a second").fill("0.5")
    page.get_by_role("button", name="Retry 8 jobs").click()
    row = operation(page, "paced")
    expect(row).to_contain_text("running")
    row.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Stop it").click()
    expect(row).to_contain_text("stopped")
    (told,) = [
        one for one in shared_board.api.get("/operations").json()["items"] if one["filter"].get("queue") == ["paced"]
    ]
    assert (told["state"], told["rate"], told["total"]) == ("stopped", 0.5, 8)
    assert told["done"] < 8
    expect(row.get_by_role("button", name="Stop")).to_have_count(0)


def test_a_group_is_deleted(shared_board: Board) -> None:
    ids = fail(shared_board, 2, "deleted")
    page = shared_board.open("#/failed?queue=deleted")
    page.get_by_role("button", name="Delete mend, exception").click()
    page.get_by_label("Reason").fill("of no use")
    page.get_by_role("button", name="Delete 2 jobs").click()
    expect(page.get_by_text("No job has failed.")).to_be_visible()
    assert [shared_board.api.get(f"/jobs/{one}").status_code for one in ids] == [404, 404]


def test_it_is_live_and_narrow(shared_board: Board) -> None:
    shared_board.page.set_viewport_size({"width": 400, "height": 800})
    page = shared_board.open("#/failed?queue=narrow")
    expect(page.get_by_text("No job has failed.")).to_be_visible()
    job = shared_board.submit(type="fail", queue="narrow", payload={"why": "x" * 3000})
    expect(page.get_by_role("link", name="fail", exact=True)).to_be_visible()
    expect(page.get_by_text("xxxx").first).to_be_visible()
    assert fits(page)
    shared_board.open(f"#/job/{job['id']}")
    expect(page.get_by_role("heading", name="Why it failed")).to_be_visible()
    assert fits(page)
