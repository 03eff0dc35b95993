"""One job: what is shown of it, and what can be done to it."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Board, MakeBoard

pytestmark = pytest.mark.slow
APP = "tests.dashboard.handlers:jobs"
KEYS = f"spring:{base64.b64encode(bytes(range(32))).decode()}"

EXACT = '{"big": 12345678901234567890, "small": -0.10, "one": 1.0, "much": 1E2, "text": "\\u00e9", "list": []}'


def submit_text(board: Board, payload: str, **job: Any) -> str:
    """Submit a job whose payload is sent as it is written, and return its id."""
    text = f'{json.dumps(job)[:-1]}, "payload": {payload}}}'
    answer = board.api.post("/jobs", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def payload_of(board: Board, job_id: str) -> str:
    """Return the payload as the server has it, to the letter."""
    return board.api.get(f"/jobs/{job_id}").text.partition('"payload":')[2].partition(',"result":')[0]


def sent(page: Page) -> list[tuple[str, str | None]]:
    """Return the changes that the page asks for from now on: method and path, body."""
    found: list[tuple[str, str | None]] = []

    def note(request: Any) -> None:
        if request.method != "GET":
            found.append((f"{request.method} /{request.url.split('/', 3)[3]}", request.post_data))

    page.on("request", note)
    return found


def test_what_a_failed_job_has_been_through(shared_board: Board) -> None:
    job = shared_board.submit(type="fail", payload={"why": "the disk is full"}, labels={"customer": "7"})
    shared_board.until_final(job["id"])
    page = shared_board.open(f"#/job/{job['id']}")
    expect(page.get_by_role("heading", name="Why it failed")).to_be_visible()
    expect(page.locator(".job-error")).to_contain_text("exception ValueError: the disk is full")
    expect(page.locator(".job-error pre")).to_contain_text("in fail")
    rows = page.locator(".job-attempts tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("retrying")
    expect(rows.nth(1)).to_contain_text("failed")
    expect(rows.nth(0).get_by_role("img")).to_have_attribute("aria-label", "waited, then retrying")
    assert rows.nth(1).locator("rect").count() == 2
    expect(page.get_by_role("log")).to_contain_text("try 1")
    expect(page.get_by_role("log")).to_contain_text("try 2")
    page.get_by_role("button", name="Retry", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(rows).to_have_count(4)
    expect(rows.nth(2)).to_contain_text("life 2")
    expect(page.locator(".job-events")).to_contain_text("redriven")
    expect(page.locator(".job-events")).to_contain_text("running → failed")


def test_what_it_holds_is_shown_to_the_letter(shared_board: Board) -> None:
    job = submit_text(shared_board, EXACT, type="echo")
    shared_board.until_final(job)
    page = shared_board.open(f"#/job/{job}")
    for said in ("12345678901234567890", "-0.10", "1.0", "1E2", r'"\u00e9"', "[]"):
        expect(page.locator(".job-payload pre")).to_contain_text(said)
    expect(page.locator(".job-result pre")).to_contain_text("12345678901234567890")
    large = json.dumps({"rows": [f"row {n}" for n in range(2000)]})
    other = submit_text(shared_board, large, type="echo", delay=3600)
    page = shared_board.open(f"#/job/{other}")
    payload = page.locator(".job-payload")
    expect(payload).to_contain_text("row 17")
    expect(payload).not_to_contain_text("row 1999")
    payload.get_by_role("button", name="Show all 2 004 lines").click()
    expect(payload).to_contain_text("row 1999")


def test_edit_and_retry_changes_what_was_changed_and_nothing_else(shared_board: Board) -> None:
    options = {"queue": "mended", "labels": {"customer": "7"}, "limit_key": "seven", "max_attempts": 1, "timeout": 77}
    job = submit_text(shared_board, '{"cents": 0, "note":  "a \\u00e9 1.0"}', type="mend", **options)
    before = shared_board.until_final(job)
    page = shared_board.open(f"#/job/{job}")
    requests = sent(page)
    page.get_by_role("button", name="Edit and retry …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Priority").fill("2")
    dialog.get_by_role("button", name="Retry so").click()
    expect(page.locator(".job-attempts tbody tr")).to_have_count(2)
    assert requests == [(f"POST /jobs/{job}/retry", '{"priority":2}')]
    assert payload_of(shared_board, job) == '{"cents": 0, "note":  "a \\u00e9 1.0"}'
    shared_board.until_final(job)
    requests.clear()
    expect(page.locator(".badge").first).to_have_text("failed")
    page.get_by_role("button", name="Edit and retry …").click()
    dialog.get_by_label("Payload").fill('{"cents": 40, "note": }')
    dialog.get_by_role("button", name="Retry so").click()
    expect(dialog.get_by_role("alert").filter(has_text="column 23")).to_be_visible()
    dialog.get_by_label("Priority").fill("12")
    dialog.get_by_label("Payload").fill('{"cents": 40, "note": "-0.10"}')
    page.evaluate("document.querySelector('dialog form').noValidate = true")  # what the server says of it
    dialog.get_by_role("button", name="Retry so").click()
    expect(dialog.get_by_role("alert").filter(has_text="from 0 (runs first) to 9")).to_be_visible()
    dialog.get_by_label("Priority").fill("2")
    dialog.get_by_role("button", name="Retry so").click()
    expect(page.locator(".job-result")).to_contain_text("40")
    assert requests[-1] == (f"POST /jobs/{job}/retry", '{"payload":{"cents": 40, "note": "-0.10"}}')
    after = shared_board.api.get(f"/jobs/{job}").json()
    same = ("type", "queue", "labels", "limit_key", "max_attempts", "id", "created_at")
    assert [after[name] for name in same] == [before[name] for name in same]
    assert (after["state"], after["priority"]) == ("succeeded", 2)
    shared_board.forgive("status of 422")


def test_a_change_by_somebody_else_is_noticed(shared_board: Board) -> None:
    job = shared_board.submit(type="echo", payload={"n": 1}, queue="twice", delay=3600)
    page = shared_board.open(f"#/job/{job['id']}")
    page.get_by_role("button", name="Edit …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Attempts").fill("9")
    assert shared_board.api.patch(f"/jobs/{job['id']}", json={"priority": 1}).status_code == 200
    dialog.get_by_role("button", name="Change it").click()
    expect(dialog.get_by_role("alert")).to_contain_text("the job has changed meanwhile")
    expect(dialog.get_by_role("alert")).to_contain_text("priority: 5 → 1.")
    assert shared_board.api.get(f"/jobs/{job['id']}").json()["max_attempts"] == 3
    dialog.get_by_role("button", name="Change it").click()
    expect(page.locator(".job-facts")).to_contain_text("0 of 9")
    expect(page.locator(".job-facts")).to_contain_text("Version3")
    shared_board.forgive("status of 412")


def test_a_running_job_is_heard_and_stopped(shared_board: Board) -> None:
    job = shared_board.submit(type="hold", payload={"lines": ["opened the file"]})
    page = shared_board.open(f"#/job/{job['id']}")
    expect(page.get_by_role("log")).to_contain_text("opened the file")
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "0.5")
    page.get_by_role("button", name="Cancel …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("it was withdrawn")
    dialog.get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".job-error")).to_contain_text("Cancelled on request: it was withdrawn")
    expect(page.locator(".job-events")).to_contain_text("running → cancelled")
    assert shared_board.until_final(job["id"])["error"]["message"] == "Cancelled on request: it was withdrawn"


def test_why_it_waits_and_that_it_may_be_run_at_once(shared_board: Board) -> None:
    first = shared_board.submit(type="echo", delay=3600)
    second = shared_board.submit(type="echo", depends_on=[first["id"]])
    page = shared_board.open(f"#/job/{second['id']}")
    expect(page.locator(".job-why")).to_contain_text("It waits for 1 job")
    page.locator(".job-why").get_by_role("link", name="echo").click()
    expect(page.locator(".job-why")).to_contain_text("not_due")
    page.get_by_role("button", name="Run now").click()
    page.get_by_role("dialog").get_by_role("button", name="Run now").click()
    expect(page.locator(".badge").first).to_have_text("succeeded")
    assert shared_board.until_final(second["id"])["state"] == "succeeded"
    page = shared_board.open(f"#/job/{shared_board.submit(type='repotr')['id']}")
    expect(page.locator(".job-why")).to_contain_text('No live node handles the type "repotr"')


def test_a_running_job_on_a_silent_node_is_said_to_be(make_board: MakeBoard) -> None:
    # Without a scheduler it takes nothing back: so it stays silent for as long as anybody looks.
    board = make_board(variables={"TICKR_LEASE": "4", "TICKR_ROLES": "api"})
    job = board.submit(type="elsewhere")
    page = board.open(f"#/job/{job['id']}")
    expect(page.locator(".job-why")).to_contain_text("No live node handles the type")
    body = {"types": ["elsewhere"], "name": "mute", "max": 1, "wait": 20}
    assert board.api.post("/leases", json=body).json()["jobs"][0]["id"] == job["id"]
    expect(page.locator(".job-why")).to_be_empty()
    first = f"fetch('/jobs/{job['id']}/explain').then(found => found.json()).then(found => found.reasons[0].code)"
    page.wait_for_function(f"() => {first}.then(code => code === 'node_silent')")
    page.reload()
    expect(page.locator(".job-why")).to_contain_text("which runs it, was last heard of")
    expect(page.get_by_role("heading", name="Its node is silent")).to_be_visible()


def test_a_deleted_job_and_one_that_never_was(shared_board: Board) -> None:
    job = shared_board.submit(type="echo", delay=3600)
    page = shared_board.open(f"#/job/{job['id']}")
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("heading", name="No such job")).to_be_visible()
    assert shared_board.api.get(f"/jobs/{job['id']}").status_code == 404
    shared_board.open("#/job/nonsense%3Cb%3E")
    expect(page.get_by_text("This is no id of a job.")).to_be_visible()
    shared_board.forgive("status of 404")


def test_its_id_and_a_command_that_submits_it_again_are_copied(shared_board: Board) -> None:
    job = submit_text(
        shared_board, '{"it\'s": "$HOME `x` \\\\ \\u00e9", "n": 1.0}', type="echo", delay=3600, queue="copied"
    )
    page = shared_board.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = shared_board.open(f"#/job/{job}")
    page.get_by_role("button", name="Copy the id").click()
    expect(page.get_by_text("The id copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == job
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_text("The command copied.")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    done = subprocess.run([*shlex.split(command.replace("\\\n", "")), "-s"], capture_output=True, text=True, check=True)
    again = json.loads(done.stdout)
    assert again["queue"] == "copied"
    assert payload_of(shared_board, again["id"]) == payload_of(shared_board, job)
    page.get_by_role("button", name="Submit another …").click()
    page.get_by_role("dialog").get_by_role("button", name="Submit").click()
    page.locator("#notices").get_by_role("link", name="echo").click()
    expect(page.get_by_text(job, exact=True)).to_have_count(0)
    another = page.url.rpartition("/")[2]
    assert payload_of(shared_board, another) == payload_of(shared_board, job)
    assert shared_board.api.get(f"/jobs/{another}").json()["queue"] == "copied"
    shared_board.open(f"#/job/{job}")
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.get_by_text("The job copied.")).to_be_visible()
    assert json.loads(page.evaluate("navigator.clipboard.readText()"))["id"] == job


def test_its_family(shared_board: Board) -> None:
    job = shared_board.submit(type="parent")
    shared_board.until_final(job["id"])
    page = shared_board.open(f"#/job/{job['id']}")
    tree = page.locator(".job-family li")
    expect(tree).to_have_count(2)
    expect(tree.nth(1)).to_contain_text("part 1")
    page.get_by_role("link", name="What it has submitted, as a list").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.get_by_role("list", name="Filters")).to_contain_text(f"Submitted by the job: {job['id']}")
    page.go_back()
    tree.nth(1).get_by_role("link", name="echo").click()
    expect(page.locator(".job-family")).to_contain_text("Submitted by")
    page.locator(".job-family").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("parent")


def test_what_is_encrypted_is_said_to_be_and_opened_on_demand(make_board: MakeBoard) -> None:
    board = make_board(app=APP, variables={"TICKR_ENCRYPTION_KEYS": KEYS})
    job = board.submit(type="echo", payload={"card": "4111"})
    board.until_final(job["id"])
    page = board.open(f"#/job/{job['id']}")
    expect(page.locator(".job-payload")).to_contain_text("Encrypted.")
    expect(page.locator(".job-result")).to_contain_text("Encrypted.")
    expect(page.get_by_text("4111")).to_have_count(0)
    expect(page.get_by_role("button", name="Copy as curl")).to_have_count(0)
    page.get_by_role("button", name="Show in the clear").click()
    expect(page.locator(".job-payload pre")).to_contain_text("4111")
    expect(page.locator(".job-result pre")).to_contain_text("4111")
