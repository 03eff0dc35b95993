"""Nodes on the dashboard: who is there, what each of them runs, and what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import Board, MakeBoard, fits

pytestmark = pytest.mark.slow


def test_the_list_shows_what_a_node_runs(shared_board: Board) -> None:
    job = shared_board.submit(type="report", payload={"title": "Slow", "time": 600})
    page = shared_board.open("#/nodes")
    row = page.get_by_role("table").get_by_role("row").nth(1)
    expect(row).to_contain_text("1 of 50")
    expect(row).to_contain_text("api, scheduler, worker · answers here")
    expect(row.get_by_role("link", name="report")).to_have_attribute("href", f"#/job/{job['id']}")
    row.get_by_role("link").first.click()
    expect(page.get_by_role("table", name="Running jobs").get_by_role("row").nth(1)).to_contain_text("report")
    assert shared_board.api.post(f"/jobs/{job['id']}/cancel").status_code in (200, 202)
    expect(page.get_by_text("Nothing just now.")).to_be_visible()


def test_a_node_is_quieted_resumed_and_given_other_slots(shared_board: Board) -> None:
    page = shared_board.open("#/nodes/self")
    page.get_by_role("button", name="Slots").click()
    page.get_by_label("Jobs at once").fill("7")
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_text("0 of 7")).to_be_visible()
    page.get_by_role("button", name="Quiet").click()
    page.get_by_role("button", name="Quiet", exact=True).last.click()
    expect(page.get_by_text("quiet", exact=True)).to_be_visible()
    assert shared_board.api.get("/nodes/self").json()["state"] == "quiet"
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Resume", exact=True).last.click()
    expect(page.get_by_text("running", exact=True)).to_be_visible()
    node = shared_board.api.get("/nodes/self").json()
    assert (node["state"], node["slots"]) == ("running", 7)


def test_a_remote_worker_is_shown_and_told_nothing(shared_board: Board) -> None:
    lease = shared_board.api.post(
        "/leases", json={"types": ["resize"], "max": 0, "wait": 0, "slots": 3, "name": "gpu-7"}
    ).json()
    page = shared_board.open("#/nodes?find=gpu")
    row = page.get_by_role("table").get_by_role("row").nth(1)
    expect(row).to_contain_text("remote worker")
    expect(row).to_contain_text("0 of 3")
    expect(row.get_by_role("button")).to_have_count(0)
    shared_board.page.set_viewport_size({"width": 400, "height": 800})
    assert fits(page)
    shared_board.api.delete(f"/leases/{lease['lease']}")
    expect(page.get_by_text("No node is called so.")).to_be_visible()


def test_a_node_that_is_stopped_ends_and_its_page_says_so(make_board: MakeBoard, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/shared.db"
    board, other = make_board(store=store), make_board(store=store)
    node = other.api.get("/nodes/self").json()["id"]
    page = board.open(f"#/nodes/{node}")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("there is no way back")).to_be_visible()
    page.get_by_role("button", name="Stop the node").click()
    expect(page.get_by_text("There is no live node of this id")).to_be_visible()
    board.complaints.clear()  # the browser tells of each 404
    page.get_by_role("link", name="Nodes", exact=True).click()
    expect(page.get_by_role("table").get_by_role("row")).to_have_count(2)
