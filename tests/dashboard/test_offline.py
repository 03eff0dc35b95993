"""A Tickr that is gone, or frozen, is said to be so; the page comes back by itself."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import Board

pytestmark = pytest.mark.slow


def test_a_process_that_is_gone_is_told_at_once_and_its_return_as_well(board: Board) -> None:
    page = board.open("#/jobs")
    status = page.locator("#status")
    expect(status).to_have_text("Live")
    board.node.kill()
    killed_at = time.monotonic()
    expect(status).to_have_text(re.compile(r"Offline\s*(again in \d+ s|asking …)"), timeout=5000)
    assert time.monotonic() - killed_at < 3
    board.node.start()
    expect(status).to_have_text("Live")
    job = board.submit(type="report", delay=60)
    expect(page.locator("tbody tr")).to_contain_text(job["id"][:8])
    board.forgive("ERR_")


@pytest.mark.long
def test_one_that_is_frozen_is_told_when_the_feed_has_been_silent(board: Board) -> None:
    page = board.open("#/queues")
    status = page.locator("#status")
    expect(status).to_have_text("Live")
    board.node.stop()
    expect(status).to_contain_text("Offline", timeout=16_000)
    board.node.cont()
    expect(status).to_have_text("Live")
    board.forgive("ERR_")
