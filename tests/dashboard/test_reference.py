"""The page about the API, ``/docs``: every call that is described is there, and can be tried; offline, and harmless."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.dashboard.conftest import Board, MakeBoard, fits
from tests.dashboard.test_hostile_texts import TURNED, VECTORS

pytestmark = pytest.mark.slow


def open_docs(board: Board, address: str = "") -> Page:
    board.page.goto(f"{board.node.url}/docs/{address}")
    expect(board.page.get_by_role("heading", level=1)).to_contain_text("The API of Tickr")
    return board.page


def opened(page: Page, name: str) -> Locator:
    """Return the part of the page about a call, which is opened."""
    part = page.locator(f"#call-{name}")
    part.locator("> summary").click()
    return part


def test_it_is_given_to_whoever_asks_and_asks_nobody_else(make_board: MakeBoard) -> None:
    board = make_board(variables={"TICKR_TOKEN": "long-enough-and-secret"})
    asked: list[str] = []
    board.page.on("request", lambda request: asked.append(request.url))
    open_docs(board)
    assert board.api.get("/docs").headers["location"] == "docs/"
    assert [one for one in asked if not one.startswith(board.node.url)] == []
    assert (
        board.api.get("/docs/").headers["content-security-policy"]
        == (board.api.get("/ui/").headers["content-security-policy"])
    )


def test_an_address_that_names_no_call_shows_all_of_them(shared_board: Board) -> None:
    page = open_docs(shared_board, "#%")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator("#call-submit")).to_be_visible()


def test_every_call_is_there_with_all_that_is_said_of_it(shared_board: Board) -> None:
    described: dict[str, Any] = shared_board.api.get("/openapi.json").json()
    page = open_docs(shared_board)
    page.set_viewport_size({"width": 400, "height": 800})
    for calls in described["paths"].values():
        for said in calls.values():
            part = opened(page, said["operationId"])
            expect(part).to_contain_text(said["summary"])
            for one in said.get("parameters", ()):
                expect(part.locator(".name", has_text=one["name"]).first).to_be_visible()
    page.evaluate("document.querySelectorAll('.inside details').forEach((one) => { one.open = true; })")
    expect(page.locator("#call-submit")).to_contain_text("exponential")
    expect(page.locator("#call-submit")).to_contain_text("idempotency_key_reused")
    assert fits(page)


def test_a_call_is_tried_and_told_as_a_command_that_does_the_same(shared_board: Board) -> None:
    page = open_docs(shared_board, "#submit")
    part = page.locator("#call-submit")
    body = '{"type": "report", "delay": 3600, "payload": {"title": "it\'s $HOME `id` \\"so\\""}}'
    part.get_by_label("Body").fill(body)
    part.get_by_role("button", name="Send").click()
    expect(part.locator(".answer .badge")).to_have_text("201")
    expect(part.locator(".answer pre")).to_contain_text('"title": "it\'s $HOME `id` \\"so\\""')
    command = part.locator(".shell").inner_text()
    told = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert told.startswith("HTTP/1.1 201")
    job = told.partition("location: /jobs/")[2].split()[0]
    assert shared_board.api.get(f"/jobs/{job}").json()["payload"] == {"title": 'it\'s $HOME `id` "so"'}
    part = opened(page, "list")
    part.get_by_label("state").fill("scheduled\nready")
    part.locator("[name='payload.']").fill("payload.title=no such")
    part.get_by_role("button", name="Send").click()
    expect(part.locator(".answer pre")).to_contain_text('"items": []')
    assert "/jobs?state=scheduled&state=ready&payload.title=no+such'" in part.locator(".shell").inner_text()
    part = opened(page, "show")
    part.get_by_label("job_id").fill("no id")
    part.get_by_role("button", name="Send").click()
    expect(part.locator(".answer")).to_contain_text('"code": "invalid_id"')
    shared_board.forgive("400")


def test_the_token_is_sent_and_never_shown(make_board: MakeBoard) -> None:
    board = make_board(variables={"TICKR_TOKEN": "long-enough-and-secret"})
    page = open_docs(board, "#queues")
    part = page.locator("#call-queues")
    part.get_by_role("button", name="Send").click()
    expect(part.locator(".answer .badge")).to_have_text("401")
    page.get_by_label("Token").fill("long-enough-and-secret")
    page.get_by_role("button", name="Use").click()
    part.get_by_role("button", name="Send").click()
    expect(part.locator(".answer .badge")).to_have_text("200")
    expect(part.locator(".shell")).to_contain_text('-H "Authorization: Bearer $TICKR_TOKEN"')
    assert "long-enough-and-secret" not in page.locator("body").inner_text()
    page.get_by_role("button", name="Forget the token").click()
    part.get_by_role("button", name="Send").click()
    expect(part.locator(".answer .badge")).to_have_text("401")
    board.forgive("401")


def test_calls_are_found_by_the_keyboard(shared_board: Board) -> None:
    page = open_docs(shared_board)
    page.keyboard.press("/")
    page.keyboard.type("no such call")
    expect(page.locator(".call:visible")).to_have_count(0)
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("run job again")
    expect(page.locator(".call:visible")).to_have_count(1)
    page.keyboard.press("Escape")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.keyboard.press("t")
    assert page.evaluate(ground) != before
    page.locator("#call-retry > summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#call-retry")).to_contain_text("version_mismatch")


def test_what_jobs_hold_is_text_here_too(shared_board: Board) -> None:
    job = shared_board.submit(type="report", payload={"texts": VECTORS, **dict.fromkeys(VECTORS)}, delay=3600)
    page = open_docs(shared_board, "#show")
    part = page.locator("#call-show")
    part.get_by_label("job_id").fill(job["id"])
    part.get_by_role("button", name="Send").click()
    expect(part.locator(".answer pre")).to_contain_text("<script>window.hit=1</script>")
    expect(part.locator(".answer pre")).to_contain_text(TURNED)
    for vector in VECTORS:
        part.get_by_label("job_id").fill(vector)
    for vector in VECTORS:
        page.locator("#search").fill(vector)
        page.evaluate("(one) => { location.hash = one; }", encoded(vector))
    assert page.evaluate("window.hit") is None
    strange = "script, iframe, style, base, math, object, embed, img:not([src='../ui/icon.svg'])"
    assert page.locator(f"body :is({strange})").count() == 0
    assert fits(page)


def encoded(text: str) -> str:
    return "#" + "".join(f"%{byte:02x}" for byte in text.encode())


def test_it_works_behind_a_prefix_that_a_proxy_takes_off(shared_board: Board) -> None:
    url = shared_board.node.url
    taken_off = f"{url}/behind/a/proxy"
    shared_board.page.route(
        f"{taken_off}/**", lambda route: route.continue_(url=route.request.url.replace(taken_off, url))
    )
    shared_board.page.goto(f"{taken_off}/docs/#livez")
    part = shared_board.page.locator("#call-livez")
    part.get_by_role("button", name="Send").click()
    expect(part.locator(".answer pre")).to_contain_text("alive")
    assert f"'{taken_off}/livez'" in part.locator(".shell").inner_text()
