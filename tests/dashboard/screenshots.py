"""Pictures of every screen: ``python -m tests.dashboard.screenshots OUT``, with a Tickr of its own and lively work.

Three nodes on one store, of which one dies; a past of an hour; jobs of several types that take their time, fail and are
tried again; schedules, a paused queue, marks. Each screen is taken in both themes, wide and narrow.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import trio
from playwright.sync_api import Browser, sync_playwright

from tests.dashboard.past import BAD_MIN, GOOD_MIN, write_past
from tests.processes import TickrProcess
from tests.servers import BROWSERS, program

APP = "tests.dashboard.lively:jobs"
SCREENS = ["", "jobs", "job", "failed", "queues", "queues/billing", "schedules", "schedules/nightly-report", "nodes"]
SCREENS += ["audit"]
"""Addresses of what is taken; ``job`` is one that runs."""
WIDTHS, THEMES = (1280, 400), ("light", "dark")
LIVELY_S, TURN_S = 30.0, 0.8
"""How long there is work before the first picture, and how long between two rounds of submissions."""
TALLEST = 1500
"""Pixels: a picture of a long list ends here."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the folder the pictures go to")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        store = f"sqlite:///{folder}/pictures.db"
        trio.run(write_past, store)
        flags = {"store": store, "app": APP}
        node = stack.enter_context(TickrProcess(**flags, workers=12))
        stack.enter_context(TickrProcess(**flags, workers=8))
        dying = stack.enter_context(TickrProcess(**flags, workers=2, arguments=["--lease", "90"]))
        api = stack.enter_context(httpx2.Client(base_url=node.url, timeout=30))
        furnish(api)
        dying.kill()
        work(api, LIVELY_S)
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=program(*BROWSERS), args=["--no-sandbox"])
        for name in take(browser, node.url, api, out):
            print(name, flush=True)


def furnish(api: httpx2.Client) -> None:
    """Set up what stays: schedules, marks, limits, a paused queue, a remote worker, jobs that run for long."""
    for name, wish in SCHEDULES.items():
        said(api.put(f"/schedules/{name}", json=wish))
    said(api.post("/schedules/reindex/pause"))
    for text, ago in {"Release 4.2": BAD_MIN, "Release 4.2.1: cards": GOOD_MIN}.items():
        said(api.post("/marks", json={"text": text, "at": (datetime.now(UTC) - timedelta(minutes=ago)).isoformat()}))
    said(api.put("/queues/billing", json={"max_running": 4, "rate": {"starts": 300, "period": 60}}))
    said(api.post("/leases", json={"types": ["video.cut"], "max": 0, "wait": 0, "slots": 2, "name": "gpu-7"}))
    for number in range(6):
        payload = {"file": f"trailer-{number}.mp4", "frames": 140 + 20 * number}
        submit(api, "video.resize", "media", payload, labels={"customer": str(40 + number)})
    for number in range(40):
        submit(api, "mail.welcome", "newsletter", {"to": f"user{number}@example.com"}, delay=1)
    said(api.post("/queues/newsletter/pause"))


SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    "nightly-report": {
        "cron": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "overlap": "skip",
        "job": {"type": "report.export", "queue": "reports", "payload": {"month": "2026-11"}},
    },
    "cache-eu": {"every": 10, "job": {"type": "cache.warm", "payload": {"region": "eu"}}},
    "digest": {
        "cron": "0 9 * * MON-FRI",
        "timezone": "America/New_York",
        "missed": "skip",
        "job": {"type": "mail.welcome", "queue": "mail", "payload": {"to": "all@example.com"}},
    },
    "reindex": {
        "cron": "*/15 * * * *",
        "job": {"type": "search.index", "queue": "search", "payload": {"documents": 900}},
    },
    "month-end": {"cron": "0 6 LW * *", "job": {"type": "invoice.charge", "queue": "billing", "payload": {}}},
}


def work(api: httpx2.Client, for_s: float) -> None:
    """Have jobs be submitted for so many seconds."""
    chance = random.Random(7)
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        submit(api, "mail.welcome", "mail", {"to": f"user{chance.randint(1, 999)}@example.com"})
        customer = chance.randint(1, 99)
        labels = {"customer": str(customer)}
        if chance.random() < 0.4:
            submit(
                api,
                "invoice.charge",
                "billing",
                {"cents": chance.randint(99, 9999), "customer": customer},
                labels=labels,
            )
        if chance.random() < 0.4:
            submit(api, "search.index", "search", {"documents": chance.randint(1, 99)})
        if chance.random() < 0.1:
            submit(api, "report.export", "reports", {"month": "2026-10"})
        if chance.random() < 0.2:
            submit(api, "mail.welcome", "mail", {"to": "later@example.com"}, delay=chance.randint(60, 3600))
        time.sleep(TURN_S)


def submit(api: httpx2.Client, kind: str, queue: str, payload: Mapping[str, Any], **more: Any) -> None:
    said(api.post("/jobs", json={"type": kind, "queue": queue, "payload": payload, **more}))


def said(answer: httpx2.Response) -> None:
    assert answer.status_code < 300, answer.text


def take(browser: Browser, url: str, api: httpx2.Client, out: Path) -> Iterator[str]:
    """Take every screen in both themes, wide and narrow, and yield the names of the files."""
    running = api.get("/jobs", params={"type": "video.resize", "state": "running", "limit": 1}).json()["items"][0]["id"]
    for width in WIDTHS:
        for theme in THEMES:
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
            page = context.new_page()
            for screen in SCREENS:
                page.goto(f"{url}/ui/#/{f'job/{running}' if screen == 'job' else screen}")
                page.get_by_role("heading", level=1).first.wait_for(state="attached")
                work(api, 2)
                height = min(TALLEST, page.evaluate("document.documentElement.scrollHeight"))
                page.set_viewport_size({"width": width, "height": height})
                name = f"{screen.replace('/', '-') or 'overview'}-{theme}{'' if width == WIDTHS[0] else '-narrow'}.png"
                page.screenshot(path=out / name)
                page.set_viewport_size({"width": width, "height": 800})
                yield name
            context.close()


if __name__ == "__main__":
    main()
