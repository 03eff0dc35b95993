"""Every screen of the dashboard in Chromium: when it paints first, and when its data is there.

Cold: a browser that has seen nothing yet. Warm: the same page again in another tab, so that its files are cached and
asked for only whether they have changed. All instants count from the navigation on, by the browser's own clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from bench.load.address import Address
from bench.million.asking import short
from bench.million.furnish import Known
from tests.servers import BROWSERS, program

ROWS = "#main table tbody tr td:nth-child(2)"
WITHIN_MS = 30_000
_TIMES = """async (there) => {
  const found = await new Promise((resolve) => {
    const look = () => document.querySelector(there) ? resolve(performance.now()) : requestAnimationFrame(look);
    look();
  });
  const paints = await new Promise((resolve) => {
    const kind = { type: "largest-contentful-paint", buffered: true };
    new PerformanceObserver((list) => resolve(list.getEntries())).observe(kind);
    setTimeout(() => resolve([]), 1000);
  });
  const first = performance.getEntriesByName("first-contentful-paint")[0];
  return { first: first?.startTime, largest: paints.at(-1)?.startTime, data: found };
}"""


def addresses(known: Known) -> dict[str, tuple[str, str]]:
    """Return by its name the address of each screen, and what is there when its data is."""
    return {
        "overview": ("#/", ".tiles .tile"),
        "overview, charts": ("#/", "#main .charts svg path"),
        "jobs": ("#/jobs", ROWS),
        "jobs, failed": ("#/jobs?state=failed", ROWS + ", #main .empty"),
        "jobs, label": ("#/jobs?label=region%3Deu", ROWS),
        "job, failed": (f"#/job/{known.jobs['failed']}", "#main .timeline, #main .job-attempts h2"),
        "job, ready": (f"#/job/{known.jobs['ready']}", "#main .job-attempts h2"),
        "dead letters": ("#/failed", ROWS),
        "queues": ("#/queues", ROWS),
        "queue": ("#/queues/mail", ".tiles .tile"),
        "schedules": ("#/schedules", ROWS),
        "schedule": ("#/schedules/nightly-007", "#main .facts dd"),
        "nodes": ("#/nodes", "#main .card, #main table tbody tr"),
    }


def screens(address: Address, known: Known, times: int, only: str = "") -> Iterator[dict[str, Any]]:
    """Yield of each screen, cold and warm, the distributions of ``times`` visits, in milliseconds."""
    wanted = {name: what for name, what in addresses(known).items() if only in name}
    if not times or not wanted:
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(*BROWSERS), args=["--no-sandbox"])
        for name, (place, there) in wanted.items():
            found = defaultdict[tuple[str, str], list[float]](list)
            for _ in range(times):
                for kind, figure, ms in _visits(browser, f"{address.url}/ui/{place}", there):
                    found[kind, figure].append(ms)
            for kind in ("cold", "warm"):
                figures_ms = {f"{figure}_ms": short(found[kind, figure]) for figure in ("first", "largest", "data")}
                yield {"name": f"{name}, {kind}", "took_ms": figures_ms["data_ms"], **figures_ms}
        browser.close()


def _visits(browser: Browser, url: str, there: str) -> Iterator[tuple[str, str, float]]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    for kind in ("cold", "warm"):
        for figure, ms in _visit(context, url, there).items():
            yield kind, figure, ms
    context.close()


def _visit(context: BrowserContext, url: str, there: str) -> dict[str, float]:
    page = context.new_page()
    page.set_default_timeout(WITHIN_MS)
    page.goto(url, wait_until="commit")
    times: dict[str, float | None] = page.evaluate(_TIMES, there)
    page.close()
    return {name: ms for name, ms in times.items() if ms is not None}
