"""Whatever a job holds or says is text on every screen: nothing of it is run, hides what is beside it, or gets lost."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Board, fits

pytestmark = pytest.mark.slow
APP = "tests.dashboard.handlers:jobs"

VECTORS = [
    "<script>window.hit=1</script>",
    "<img src=x onerror=window.hit=1>",
    '"><svg onload=window.hit=1>',
    "' onfocus=window.hit=1 autofocus x='",
    "javascript:window.hit=1",
    "</textarea><script>window.hit=1</script>",
    "</pre></td></table><iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "{{constructor.constructor('window.hit=1')()}}",
    "${window.hit=1}",
    "<a href=javascript:window.hit=1>here</a>",
    "<style>*{display:none}</style>",
    "<details open ontoggle=window.hit=1>",
    '<math><mi xlink:href="data:x,<script>window.hit=1</script>">',
    "<base href=//evil.example><form action=//evil.example><input autofocus>",
    "&lt;script&gt;window.hit=1&lt;/script&gt;&#60;",
    "__proto__",
    "constructor",
    "%3Cscript%3E",
    "'; alert(1) //",
    "\u202egnp.exe\u2066\u200b\u061c",
]
TURNED = r"\u202egnp.exe\u2066\u200b\u061c"
LONG = "W" * 20_000


def inert(page: Page) -> None:
    """Check that nothing was made of the texts but text, and that the page has nothing but what the dashboard makes."""
    assert page.evaluate("window.hit") is None
    strange = "script:not([src='app.mjs']), iframe, img:not([src='icon.svg']), style, base, math, object, embed"
    assert page.locator(f"body :is({strange})").count() == 0
    attributes = "[...document.body.querySelectorAll('*')].flatMap((one) => one.getAttributeNames())"
    assert [one for one in page.evaluate(attributes) if one.startswith("on")] == []
    assert page.locator("a[href^='javascript'], form[action]").count() == 0
    assert not any(turn in page.locator("body").inner_text() for turn in "\u202e\u2066\u200b\u061c")
    assert fits(page)


def test_in_payload_result_and_labels(shared_board: Board) -> None:
    held = {one: {one: [one, LONG]} for one in VECTORS}
    labels = {f"label{n}": one[:256] for n, one in enumerate(VECTORS[:16])}
    key = "<svg/onload=window.hit=1>"
    job = shared_board.submit(
        type="echo", queue="held", payload={"texts": held}, labels=labels, limit_key=key, sequence=key
    )
    shared_board.until_final(job["id"])
    page = shared_board.open(f"#/job/{job['id']}")
    for name in ("Payload", "Result"):
        block = page.locator(f".job-{name.lower()}")
        block.get_by_role("button", name="Show all").click()
        for one in VECTORS[:-1]:
            expect(block).to_contain_text(json.dumps(one))
        expect(block).to_contain_text(TURNED)
    expect(page.locator(".job-facts")).to_contain_text("label1=<img src=x onerror=")
    expect(page.locator(".job-facts")).to_contain_text(key)
    inert(page)
    page.get_by_role("button", name="Edit and retry …").click()
    assert VECTORS[5] in page.get_by_role("dialog").get_by_label("Payload").input_value()
    inert(page)
    page.keyboard.press("Escape")
    page = shared_board.open("#/jobs?queue=held")
    expect(page.get_by_role("link", name="label1=<img src=x")).to_be_visible()
    inert(page)
    page.get_by_role("link", name="label1=<img src=x").click()
    expect(page.get_by_role("listitem").filter(has_text="Label: label1=<img")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(1)
    inert(page)


def test_in_errors_tracebacks_log_progress_and_events(shared_board: Board) -> None:
    job = shared_board.submit(type="say", queue="said", payload={"texts": VECTORS}, delay=1.5)
    page = shared_board.open(f"#/job/{job['id']}")
    shared_board.until_final(job["id"])
    expect(page.locator(".job-events")).to_contain_text("running → failed")
    for place in (".job-error .words", ".job-error pre", ".job-attempts pre", ".job-log", ".job-events"):
        for one in (*VECTORS[:-1], TURNED):
            expect(page.locator(place).first).to_contain_text(one)
    inert(page)
    page = shared_board.open("#/failed?queue=said")
    expect(page.locator("tbody")).to_contain_text("ValueError: <script>window.hit=1</script>")
    inert(page)
    page = shared_board.open("#/jobs?queue=said&state=failed")
    expect(page.locator("tbody tr")).to_have_count(1)
    inert(page)


def test_in_reasons_keys_and_what_runs(shared_board: Board) -> None:
    page = shared_board.open("#/jobs?queue=reasons")
    for one in (*VECTORS[:6], VECTORS[-1]):
        job = shared_board.submit(type="hold", queue="reasons", payload={"lines": [one]}, unique={"key": one[:255]})
        shared_board.api.post(f"/jobs/{job['id']}/cancel", json={"reason": one})
        shared_board.until_final(job["id"])
        page = shared_board.open(f"#/job/{job['id']}")
        shown = TURNED if one == VECTORS[-1] else one
        expect(page.locator(".job-error")).to_contain_text(shown)
        expect(page.locator(".job-facts")).to_contain_text(shown)
        inert(page)
    which = {"queue": "reasons", "payload~": VECTORS[:3]}
    shared_board.api.post("/operations", json={"action": "delete", "filter": which, "reason": VECTORS[1]})
    page = shared_board.open("#/failed")
    expect(page.get_by_role("table", name="Operations")).to_contain_text(f"“{VECTORS[1]}”")
    inert(page)


def test_in_the_address(shared_board: Board) -> None:
    page = shared_board.open("#/jobs")
    for one in VECTORS:
        page.evaluate(
            "(one) => location.hash = '#/jobs?' + new URLSearchParams([['payload~', one], ['label', 'a=' + one]])", one
        )
        expect(page.locator("[data-filter=label]")).to_contain_text(TURNED if one == VECTORS[-1] else one[:60])
        expect(page.get_by_text("No job matches.")).to_be_visible()
        inert(page)
    for one in ("#/job/%3Cimg%20src=x%20onerror=hit=1%3E", "#/<script>", "#/__proto__", "#/constructor/x?__proto__=1"):
        page.evaluate("(one) => location.hash = one", one)
        expect(page.get_by_role("heading", level=1)).to_contain_text("No such")
        inert(page)


def test_in_the_audit(shared_board: Board) -> None:
    for one in (*VECTORS, LONG[:7_000]):
        shared_board.api.post(f"/queues/{quote(one.replace('/', '|'), safe='')}/pause")
        shared_board.api.post(f"/jobs/{quote(one.replace('/', '|'), safe='')}/cancel")
    shared_board.api.post("/queues/%0A/pause")
    page = shared_board.open("#/audit")
    for one in (*VECTORS[:-1], TURNED):
        expect(page.get_by_role("table")).to_contain_text(one.replace("/", "|"))
    inert(page)
    page.set_viewport_size({"width": 400, "height": 800})
    inert(page)
