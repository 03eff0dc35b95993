"""Presses that last, as a hand's do, while what is pressed is made anew; and questions whose answer is on its way."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.dashboard.conftest import Board

pytestmark = pytest.mark.slow


def made_anew(board: Board, button: Locator) -> None:
    """Have the screen be redrawn, and wait until the button is another one."""
    before = button.element_handle()
    board.submit(type="report", queue="mail", delay=3600)
    board.page.wait_for_function("(one) => !one.isConnected", arg=before)


def pressed(board: Board) -> tuple[Page, Locator]:
    """Press the button by which a queue is paused, have it be redrawn, and return the page and the button."""
    for name in ("mail", "other"):
        board.submit(type="report", queue=name, delay=3600)
    page = board.open("#/queues")
    button = page.get_by_role("row", name="mail").get_by_role("button", name="Pause")
    button.hover()
    page.mouse.down()
    made_anew(board, button)
    return page, button


def test_a_press_counts_though_its_button_is_redrawn_meanwhile(shared_board: Board) -> None:
    page, button = pressed(shared_board)
    page.mouse.up()
    expect(page.get_by_role("dialog")).to_contain_text("mail")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    button.focus()
    page.keyboard.down(" ")
    made_anew(shared_board, button)
    page.keyboard.up(" ")
    expect(page.get_by_role("dialog")).to_have_count(1)


def test_a_press_that_ends_elsewhere_is_none(shared_board: Board) -> None:
    page, _ = pressed(shared_board)
    page.get_by_role("row", name="other").get_by_role("button", name="Pause").hover()
    page.mouse.up()
    page.wait_for_timeout(200)  # nothing may come of it
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_what_is_on_its_way_cannot_be_left_and_is_never_stored_twice(shared_board: Board) -> None:
    page = shared_board.open("#/jobs")
    asked: list[Route] = []

    def lose(route: Route) -> None:
        """The first is done, and its answer is lost; so are all that come within the time of one call."""
        if route.request.method != "POST":
            return route.fallback()
        if not asked:
            route.fetch()
        asked.append(route)
        return None

    page.route("**/jobs", lose)
    page.get_by_role("button", name="Submit a job").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("[name=type]").fill("report")
    dialog.locator("[name=queue]").fill("once")
    dialog.locator("[type=submit]").click()
    expect(page.get_by_role("button", name="Leave it")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(dialog.get_by_role("alert")).to_contain_text("is not known")
    expect(page.get_by_role("button", name="Leave it")).to_be_enabled()
    page.unroute("**/jobs")
    dialog.locator("[type=submit]").click()
    expect(dialog).to_have_count(0)
    assert len(shared_board.api.get("/jobs", params={"queue": "once"}).json()["items"]) == 1
    shared_board.forgive("ERR_")


def test_an_answer_that_refuses_is_an_answer(shared_board: Board) -> None:
    page = shared_board.open("#/queues/nowhere")
    expect(page.get_by_role("alert")).to_contain_text("nothing is set on it")
    expect(page.locator("#status")).to_have_text("Not shown")
    shared_board.forgive("404")


def test_what_was_wrong_is_told_once(shared_board: Board) -> None:
    page = shared_board.open("#/jobs")
    page.evaluate("""async () => {
      const [{ attempt }, { connect }] = await Promise.all([import("./notices.mjs"), import("./session.mjs")]);
      await attempt(() => connect().submit("re port"));
    }""")
    notice = page.locator(".notice.bad")
    expect(notice).to_contain_text("/type must be")
    assert notice.inner_text().count("/type") == 1
    shared_board.forgive("422")
