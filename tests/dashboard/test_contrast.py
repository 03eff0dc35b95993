"""What is written can be read: contrast as WCAG 2.2 AA wants it, on every screen, in both themes; full and empty."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Board, MakeBoard, fits
from tests.dashboard.test_access import OWNER, made, sign_in

pytestmark = pytest.mark.slow

SCREENS = ["", "jobs", "failed", "queues", "queues/mail", "schedules", "schedules/nightly", "nodes", "audit"]

POOR = """() => {
  const channels = (colour) => {
    const numbers = (colour.match(/-?[\\d.]+(e-?\\d+)?/g) ?? []).map(Number);
    if (colour.startsWith("color(srgb")) return [...numbers.slice(0, 3).map((one) => one * 255), numbers[3] ?? 1];
    return [...numbers.slice(0, 3), numbers[3] ?? 1];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((one, at) => one * a + under[at] * (1 - a));
  const light = (colour) => {
    const [r, g, b] = colour.map((one) => (one / 255 <= 0.04045 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [less, more] = [light(one), light(other)].sort((a, b) => a - b);
    return (more + 0.05) / (less + 0.05);
  };
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(channels(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const opacity = (element) => {
    let all = 1;
    for (let at = element; at; at = at.parentElement) all *= Number(getComputedStyle(at).opacity);
    return all;
  };
  const found = [];
  const judge = (element, colour, words, least, more = 1) => {
    const [behind, [r, g, b, a]] = [ground(element), channels(colour)];
    const got = ratio(over([r, g, b, a * more * opacity(element)], behind), behind);
    if (!(got >= least)) found.push(`${words.trim().slice(0, 40)} (${element.tagName} ${element.getAttribute("class") ?? ""}): ${got.toFixed(2)}`);
    return 1;
  };
  const large = ({ fontSize, fontWeight }) => parseFloat(fontSize) >= 24 || (parseFloat(fontSize) >= 18.66 && Number(fontWeight) >= 700);
  let seen = 0;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const element = text.parentElement;
    if (!text.data.trim() || !element.checkVisibility() || element.closest(".hidden, :disabled, option, script, .skip")) continue;
    const style = getComputedStyle(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    seen += judge(element, colour, text.data, large(style) ? 3 : 4.5);
  }
  for (const field of document.querySelectorAll("input:not([type=checkbox]), select, textarea")) {
    if (!field.checkVisibility() || field.matches(":disabled")) continue;
    seen += judge(field, getComputedStyle(field).borderTopColor, "an edge", 3);
  }
  for (const field of document.querySelectorAll("[placeholder]:not(:disabled)")) {
    const style = getComputedStyle(field, "::placeholder");
    seen += judge(field, style.color, field.placeholder, 4.5, Number(style.opacity));
  }
  for (const line of document.querySelectorAll(".line path, .line circle, .axis")) {
    seen += judge(line.closest("figure") ?? line.parentElement, getComputedStyle(line).stroke, "a line", 3, Number(getComputedStyle(line).strokeOpacity));
  }
  return { seen, found: [...new Set(found)] };
}"""


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
