"""A real browser before a real Tickr. Tests here are plain functions: Playwright blocks, and has a loop of its own.

Whatever the browser complains of (an error in a script, a refusal by the policy of the page, a request that fails)
fails the test at its end, unless the test takes it off ``complaints``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import do_without
from tests.processes import TickrProcess
from tests.servers import BROWSERS, missing_for_browser, program

WITHIN_MS = 15_000
FRAMES = 120
"""So many times the browser may draw until a page has the width of its window: about two seconds where it is quick."""
expect.set_options(timeout=WITHIN_MS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if missing := missing_for_browser():
        do_without(missing)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program(*BROWSERS), args=["--no-sandbox"])
        yield made
        made.close()


class Board:
    """The dashboard of one node in a tab of its own. ``api`` asks the node what it is shown to know."""

    def __init__(self, page: Page, node: TickrProcess) -> None:
        self.page = page
        self.node = node
        self.complaints: list[str] = []
        self.api = httpx2.Client(base_url=node.url, timeout=20)
        page.set_default_timeout(WITHIN_MS)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )

    def open(self, address: str = "#/") -> Page:
        self.page.goto(f"{self.node.url}/ui/{address}")
        return self.page

    def submit(self, **job: Any) -> dict[str, Any]:
        answer = self.api.post("/jobs", json=job)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def forgive(self, words: str) -> None:
        """Leave the page, and drop what the browser said in these words: the test wanted that."""
        self.page.goto("about:blank")
        self.complaints[:] = [one for one in self.complaints if words not in one]

    def until_final(self, job_id: str) -> dict[str, Any]:
        return dict(self.api.get(f"/jobs/{job_id}", params={"wait": 15}).json())


MakeBoard = Callable[..., Board]


@pytest.fixture
def make_board(browser: Browser, tmp_path: Path) -> Iterator[MakeBoard]:
    """Return what starts a node (arguments as ``TickrProcess``) and opens a tab for it (keywords of ``viewport`` …)."""
    boards: list[Board] = []

    def make(*, tab: dict[str, Any] | None = None, **node: Any) -> Board:
        process = TickrProcess(**node)
        process.start()
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **(tab or {})})
        boards.append(Board(context.new_page(), process))
        return boards[-1]

    yield make
    for board in boards:
        board.page.context.close()
        board.api.close()
        board.node.close()
    assert [one for board in boards for one in board.complaints] == []


@pytest.fixture
def board(make_board: MakeBoard) -> Board:
    return make_board()


@pytest.fixture(scope="module")
def shared_node(request: pytest.FixtureRequest) -> Iterator[TickrProcess]:
    """One node for all tests of a module, with the handlers of ``APP`` there; each keeps to jobs of its own."""
    with TickrProcess(app=getattr(request.module, "APP", None)) as node:
        yield node


@pytest.fixture
def shared_board(browser: Browser, shared_node: TickrProcess) -> Iterator[Board]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    board = Board(context.new_page(), shared_node)
    yield board
    context.close()
    board.api.close()
    assert board.complaints == []


def fits(page: Page) -> bool:
    """Whether nothing of the page sticks out sideways, once its charts are drawn for the width that it has now."""
    narrow = "document.scrollingElement.scrollWidth <= innerWidth"
    for _ in range(FRAMES):
        if page.evaluate(f"new Promise((then) => requestAnimationFrame(() => then({narrow})))"):
            return True
    return False
