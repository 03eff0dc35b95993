"""Every link of the documentation leads somewhere: to a file of this folder, and to a heading that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import DECISIONS, PAGES, ROOT, anchors, links, name_of

OTHERS = (ROOT / "CHANGELOG.md", ROOT / "changelog.d" / "README.md")


@pytest.mark.parametrize("page", [*PAGES, *DECISIONS, *OTHERS], ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    faults = [
        f"{name_of(page)}:{link.line}: {fault}"
        for link in links(page.read_text())
        if (fault := fault_of(page, link.target))
    ]
    assert not faults, "\n" + "\n".join(faults)


def fault_of(page: Path, target: str) -> str | None:
    """Return why ``target`` on ``page`` leads nowhere, or None. Addresses elsewhere are not asked."""
    if target.startswith(("https://", "http://")):
        return None
    file, _, anchor = target.partition("#")
    path = (page.parent / file).resolve() if file else page
    if not path.is_relative_to(ROOT):
        return f"{target} leads out of this folder"
    if not path.exists():
        return f"{target} is not there"
    if anchor and anchor not in anchors(path.read_text()):
        return f"{target}: there is no such heading"
    return None


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name == "docs"], ids=name_of)
def test_every_page_is_in_the_index(page: Path) -> None:
    index = ROOT / "docs" / "README.md"
    if page != index:
        assert page.name in {link.target.partition("#")[0] for link in links(index.read_text())}


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = ROOT / "docs" / "README.md"
    assert fault_of(page, "decisions/README.md") is None
    assert fault_of(page, "decisions/README.md#decisions") is None
    assert fault_of(page, "../README.md") is None
    assert fault_of(page, "nowhere.md")
    assert fault_of(page, "decisions/README.md#nowhere")
    assert fault_of(page, "../../elsewhere.md")
