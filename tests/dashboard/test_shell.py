"""The bar, the keys, the themes, the token, and what a page of Tickr's may do in a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import Board, MakeBoard

pytestmark = pytest.mark.slow

SCREENS = ["Overview", "Jobs", "Dead letters", "Queues", "Schedules", "Nodes", "Audit"]


def test_each_screen_is_in_the_bar_and_has_a_key(board: Board) -> None:
    page = board.open()
    for name in SCREENS:
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page.get_by_role("link", name=name, exact=True)).to_have_attribute("aria-current", "page")
    page.keyboard.press("g")
    page.keyboard.press("q")
    expect(page.get_by_role("heading", level=1)).to_have_text("Queues")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Audit")


def test_without_a_slash_one_is_led_to_the_page_wherever_it_stands(board: Board) -> None:
    answer = board.api.get("/ui")
    assert answer.status_code == 307
    assert answer.headers["location"] == "ui/"  # relative: right behind any prefix
    assert board.api.get("/", headers={"Accept": "text/html,*/*;q=0.8"}).headers["location"] == "ui/"
    assert board.api.get("/").json()["links"]["dashboard"] == "/ui"
    assert board.api.get("/ui/nothing.mjs").status_code == 404
    assert board.api.get("/ui/../pyproject.toml").status_code == 404
    assert board.api.get("/ui/%2e%2e/api/app.py").status_code == 404


def test_a_file_that_one_has_is_not_sent_again(board: Board) -> None:
    first = board.api.get("/ui/app.mjs")
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    assert board.api.get("/ui/app.mjs", headers={"If-None-Match": first.headers["etag"]}).status_code == 304


def test_scripts_of_others_do_not_run(board: Board) -> None:
    page = board.open()
    script = "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>')"
    assert "TrustedHTML" in page.evaluate(f"() => {{ try {{ {script} }} catch (error) {{ return error.message }} }}")
    answer = page.evaluate("() => fetch('https://127.0.0.1:9/').then(() => 'sent', (error) => error.message)")
    assert "Failed to fetch" in answer
    assert any("connect-src" in one for one in board.complaints)
    board.complaints.clear()


def test_the_theme_is_the_systems_until_one_chooses(make_board: MakeBoard) -> None:
    board = make_board(tab={"color_scheme": "dark"})
    page = board.open("#/queues")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.keyboard.press("t")
    light = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == light


def test_where_a_token_is_needed_one_signs_in(make_board: MakeBoard) -> None:
    board = make_board(variables={"TICKR_TOKEN": "long-enough-and-secret"})
    page = board.open("#/queues")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("This token is not valid")
    page.get_by_label("Token").fill("long-enough-and-secret")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Queues")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Queues")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    board.complaints.clear()  # the browser tells of each 401


def test_what_is_shown_follows_what_happens_until_one_says_pause(board: Board) -> None:
    page = board.open("#/queues")
    expect(page.get_by_text("No queue yet")).to_be_visible()
    board.submit(type="report", queue="mail", delay=3600)
    expect(page.get_by_role("link", name="mail")).to_be_visible()
    page.keyboard.press(".")
    expect(page.get_by_text("Paused", exact=True)).to_be_visible()
    board.submit(type="report", queue="later", delay=3600)
    page.wait_for_timeout(1500)  # nothing may come of it
    expect(page.get_by_role("link", name="later")).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("link", name="later")).to_be_visible()


def test_a_server_that_dies_is_told_of_and_found_again(board: Board) -> None:
    board.submit(type="report", queue="mail", delay=3600)
    page = board.open("#/queues")
    expect(page.get_by_role("link", name="mail")).to_be_visible()
    board.node.kill()
    page.get_by_role("link", name="Schedules").click()
    page.get_by_role("link", name="Queues").click()
    expect(page.get_by_role("alert")).to_contain_text("gave no answer")
    board.node.start()
    expect(page.get_by_role("link", name="mail")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("alert")).to_have_count(0)
    board.complaints.clear()  # the browser tells of each request that failed


def test_it_works_behind_a_prefix_that_a_proxy_takes_off(board: Board) -> None:
    board.submit(type="report", queue="mail", delay=3600)
    taken_off = f"{board.node.url}/behind/a/proxy"
    board.page.route(
        f"{taken_off}/**", lambda route: route.continue_(url=route.request.url.replace(taken_off, board.node.url))
    )
    board.page.goto(f"{taken_off}/ui/#/queues")
    expect(board.page.get_by_role("link", name="mail")).to_be_visible()
    board.submit(type="report", queue="later", delay=3600)
    expect(board.page.get_by_role("link", name="later")).to_be_visible()
