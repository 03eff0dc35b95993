"""Signing in with tokens: what each may see and do, and what is said when one is good no longer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard.conftest import Board, fits
from tests.processes import TickrProcess

pytestmark = pytest.mark.slow

OWNER = "long-enough-and-secret"
CHANGING = ["Pause", "Limit", "Empty", "Submit a job", "New schedule", "Quiet", "Stop", "Slots", "Mark this moment"]


@pytest.fixture(scope="module")
def locked_node() -> Iterator[TickrProcess]:
    with TickrProcess(variables={"TICKR_TOKEN": OWNER}) as node:
        yield node


@pytest.fixture
def locked(browser: Browser, locked_node: TickrProcess) -> Iterator[Board]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    board = Board(context.new_page(), locked_node)
    board.api.headers["Authorization"] = f"Bearer {OWNER}"
    yield board
    context.close()
    board.api.close()
    assert [one for one in board.complaints if "401" not in one] == []  # the browser tells of each 401


def made(board: Board, name: str, *scopes: str, **given: Any) -> dict[str, Any]:
    answer = board.api.post("/tokens", json={"name": name, "scopes": scopes, **given})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def sign_in(board: Board, text: str, address: str = "#/queues") -> Page:
    page = board.open(address)
    page.get_by_label("Token").fill(text)
    page.get_by_role("button", name="Sign in").click()
    return page


def test_a_viewer_sees_everything_and_can_change_nothing(locked: Board) -> None:
    viewer = made(locked, "anna", "jobs:read", "events:read", expires_in=86_400 * 30)
    job = locked.submit(type="report", queue="mail", delay=3600)
    page = sign_in(locked, viewer["token"])
    expect(page.get_by_text("read-only")).to_be_visible()
    expect(page.get_by_text("anna")).to_be_visible()
    expect(page.locator(".who")).to_contain_text("ends in 29 d")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Audit")).to_have_count(0)
    for address in ("", "jobs", f"job/{job['id']}", "failed", "queues", "queues/mail", "schedules", "nodes"):
        with page.expect_response(lambda answer: "/ui/" not in answer.url and "whoami" not in answer.url):
            page.goto(f"{locked.node.url}/ui/#/{address}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert not any(page.get_by_role("alert").all_inner_texts()), address
        for name in [*CHANGING, "Retry", "Edit", "Cancel", "Delete", "Resume"]:
            for button in page.locator("#main").get_by_role("button", name=re.compile(rf"^{name}\b")).all():
                assert button.is_disabled(), (address, button.inner_text())
    page.goto(f"{locked.node.url}/ui/#/queues")
    assert "jobs:read" not in (page.get_by_role("button", name="Pause mail").get_attribute("title") or "")
    expect(page.get_by_role("button", name="Pause mail")).to_have_attribute(
        "title", "Read-only: your token has not the scope queues:admin"
    )
    page.set_viewport_size({"width": 400, "height": 800})
    assert fits(page)


def test_who_may_change_queues_does_it_and_is_in_the_audit(locked: Board) -> None:
    operator = made(locked, "olga", "jobs:read", "jobs:write", "queues:admin", "events:read")
    locked.submit(type="report", queue="post", delay=3600)
    page = sign_in(locked, operator["token"])
    page.get_by_role("button", name="Pause post").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume post")).to_be_enabled()
    expect(page.get_by_text("read-only")).to_have_count(0)
    page.goto(f"{locked.node.url}/ui/#/nodes")
    expect(page.get_by_role("button", name="Stop").first).to_be_disabled()
    page.get_by_role("button", name="Sign out").click()
    page = sign_in(locked, OWNER, "#/audit")
    row = page.get_by_role("row").filter(has_text="pause queue")
    expect(row).to_contain_text("olga")
    expect(row.get_by_role("link", name="post")).to_be_visible()
    page.get_by_label("Who, by name").fill("nobody")
    page.get_by_label("Who, by name").press("Enter")
    expect(page.get_by_text("Nothing was changed so.")).to_be_visible()
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(f"{locked.node.url}/ui/#/audit")
    expect(page.get_by_role("table")).to_be_visible()
    assert fits(page)


def test_the_audit_is_live(locked: Board) -> None:
    locked.submit(type="report", queue="watched", delay=3600)
    page = sign_in(locked, OWNER, "#/audit")
    expect(page.locator("#status")).to_have_text("Live")
    rows = page.locator("tbody tr")
    for change in (lambda: locked.api.post("/queues/watched/pause"), lambda: made(locked, "watcher", "jobs:read")):
        with page.expect_response("**/audit?*"):
            pass
        count = rows.count()
        with page.expect_response("**/audit?*", timeout=8_000):  # otherwise it is read every 10 s
            change()
        expect(rows).to_have_count(count + 1)
    expect(rows.filter(has_text="watched")).to_contain_text("done")
    expect(rows.first).to_contain_text("make token")


def test_a_token_that_is_revoked_while_one_looks_leads_back_with_a_word(locked: Board) -> None:
    token = made(locked, "petra", "jobs:read", "events:read")
    page = sign_in(locked, token["token"])
    expect(page.get_by_role("heading", level=1)).to_have_text("Queues")
    assert locked.api.delete(f"/tokens/{token['id']}").status_code == 200
    expect(page.get_by_role("alert")).to_contain_text("This token was revoked.")
    expect(page.get_by_text("petra")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_empty()


def test_a_token_that_ends_while_one_looks_leads_back_with_a_word(locked: Board) -> None:
    token = made(locked, "quick", "jobs:read", "events:read", expires_in=8)
    page = sign_in(locked, token["token"])
    expect(page.get_by_role("heading", level=1)).to_have_text("Queues")
    expect(page.get_by_role("alert")).to_contain_text("This token has expired.")


def test_a_token_that_can_not_be_one_is_told_before_it_is_sent(locked: Board) -> None:
    page = sign_in(locked, "tickr_…")
    expect(page.get_by_role("alert")).to_contain_text("No token has “…” in it")
    page.get_by_label("Token").fill("tickr_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("This token is not valid.")


def test_who_may_not_even_look_is_told_what_is_lacking(locked: Board) -> None:
    token = made(locked, "robot", "jobs:write")
    page = sign_in(locked, token["token"])
    expect(page.get_by_role("alert")).to_contain_text("This needs the scope jobs:read")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    locked.forgive("403")
