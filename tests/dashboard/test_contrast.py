"""What is written can be read: contrast as WCAG 2.2 AA wants it, on every screen, in both themes; full and empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Board, MakeBoard, fits
from tests.dashboard.test_access import OWNER, made, sign_in

pytestmark = pytest.mark.slow

SCREENS = ["", "jobs", "failed", "queues", "queues/mail", "schedules", "schedules/nightly", "nodes", "audit"]

POOR = (Path(__file__).parent / "contrast.js").read_text()


def poor(page: Page) -> list[str]:
    """Return what can hardly be read on the page as it is. Dots that breathe and buttons that are off are left out."""
    found: dict[str, Any] = page.evaluate(POOR)
    assert found["seen"] > 5
    return list(found["found"])


def visit(board: Board, screens: list[str]) -> None:
    """Look at each of ``screens`` in both themes, wide and narrow."""
    page, faults = board.page, list[str]()
    page.emulate_media(reduced_motion="reduce")
    for screen in screens:
        board.open(f"#/{screen}")
        expect(page.get_by_role("heading", level=1).first).to_be_attached()
        expect(page.locator("#status")).to_have_text("Live")
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            for width in (1280, 400):
                page.set_viewport_size({"width": width, "height": 800})
                where = f"{screen or 'overview'}, {theme}, {width}"
                faults += [f"{where}: {one}" for one in poor(page)]
                faults += [] if fits(page) else [f"{where}: it sticks out"]
    assert not faults, "\n".join(faults)


def furnish(board: Board) -> str:
    """Have something on every screen. Returns the id of a job that failed."""
    schedule = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "job": {"type": "report"}}
    assert board.api.put("/schedules/nightly", json=schedule).status_code == 201
    assert board.api.post("/marks", json={"text": "Release 4.2"}).status_code == 201
    board.submit(type="report", queue="mail", payload={"time": 0})
    failed = board.submit(type="report", queue="mail", payload={"time": "long"}, labels={"customer": "7"})
    board.until_final(failed["id"])
    board.submit(type="report", queue="mail", delay=3600)
    for queue in ("mail", "idle"):
        assert board.api.post(f"/queues/{queue}/pause").status_code == 200
    board.submit(type="report", queue="mail")
    return str(failed["id"])


def test_everything_can_be_read(board: Board) -> None:
    job = furnish(board)
    visit(board, [*SCREENS, f"job/{job}"])
    page = board.open("#/jobs")
    page.get_by_role("button", name="Submit a job").click()
    assert poor(page) == []


def test_where_there_is_nothing_yet_that_can_be_read_too(board: Board) -> None:
    visit(board, [screen for screen in SCREENS if "/" not in screen])


def test_whoever_may_only_look_can_read_everything(make_board: MakeBoard) -> None:
    board = make_board(variables={"TICKR_TOKEN": OWNER})
    board.api.headers["Authorization"] = f"Bearer {OWNER}"
    job = furnish(board)
    page = sign_in(board, OWNER)
    assert poor(page) == []
    page.get_by_role("button", name="Sign out").click()
    assert poor(page) == []
    sign_in(board, made(board, "anna", "jobs:read", "events:read")["token"])
    visit(board, [*(screen for screen in SCREENS if screen != "audit"), f"job/{job}"])
    board.forgive("401")
