"""What the README promises first: a job of the reader's own type, seen live in a browser, by its words alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.browser import Chromium, Page
from tests.docs.pages import ROOT, anchors, blocks, commands
from tests.docs.reader import Reader, reading
from tests.waiting import eventually

PAGE = ROOT / "README.md"
SECTION = "a-job-of-your-own-in-five-minutes"
DASHBOARD = re.compile(r"<(http://127\.0\.0\.1:8080/ui/[^>]*)>")
SHOWN = "() => document.querySelector('main')?.innerText ?? ''"


@pytest.mark.slow
async def test_a_job_of_ones_own_is_seen_live_by_the_words_of_the_readme(tmp_path: Path, chromium: Chromium) -> None:
    text = section(PAGE.read_text())
    handler, start, submit = blocks(text)
    address = DASHBOARD.search(text)
    assert handler.file
    assert address
    async with reading(tmp_path, {}) as reader:
        reader.write(handler.file, handler.text)
        await reader.serve(commands(start)[0].words)
        async with chromium.page(reader.at(address[1])) as page:
            await until_it_shows(page, "No job yet.")
            await sees_it_run(reader, page, commands(submit)[0].words)


async def sees_it_run(reader: Reader, page: Page, submit: str) -> None:
    assert '"type":"thumbnail"' in await reader.run(submit.replace('"seconds": 8', '"seconds": 4'))
    await until_it_shows(page, "thumbnail", "running")
    await until_it_shows(page, "thumbnail", "succeeded")


async def until_it_shows(page: Page, *words: str) -> None:
    """Wait until the page, which nobody loads anew, has all ``words``."""

    async def shown() -> bool:
        text = await page.run(SHOWN)
        return all(word in text for word in words)

    await eventually(shown, within_s=20)


def section(text: str) -> str:
    """Return what stands under the heading with the anchor ``SECTION``."""
    begins = anchors(text)
    after = [line for line in begins.values() if line > begins[SECTION]]
    return "\n".join(text.splitlines()[begins[SECTION] : after[0] - 1])
