"""The site of the documentation: every page is in it once, in one of four kinds, and no link in it leads nowhere."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCS, ROOT, anchors, links
from tests.docs.site import SETTINGS, broken_links, build, laid_out, places, settings

KINDS = ["Tutorial", "How-to", "Reference", "Explanation"]


def in_order(entry: Any) -> list[str]:
    """Return the pages of an entry of ``nav``, in order."""
    if isinstance(entry, str):
        return [entry]
    return [page for inner in (entry.values() if isinstance(entry, dict) else entry) for page in in_order(inner)]


def nav(text: str) -> dict[str, list[str]]:
    return {name: in_order(inner) for part in tomllib.loads(text)["project"]["nav"] for name, inner in part.items()}


def test_every_page_is_in_the_nav_once() -> None:
    listed = in_order(list(nav(settings()).values()))
    assert sorted(listed) == sorted(places().values())


def test_the_index_has_the_same_pages_in_the_same_kinds_and_order() -> None:
    index = DOCS / "README.md"
    text = index.read_text()
    begins = {name: anchors(text)[name.lower()] for name in KINDS}
    assert list(begins.values()) == sorted(begins.values())
    found: dict[str, list[str]] = {name: [] for name in KINDS}
    for link in links(text):
        kind = next((name for name in reversed(KINDS) if begins[name] < link.line), None)
        if kind and (page := places().get((index.parent / link.target).resolve())):
            found[kind].append(page)
    wanted = nav(SETTINGS.read_text())
    assert found == {name: [page for page in wanted[name] if "*" not in page] for name in KINDS}


@pytest.mark.slow
def test_the_site_is_built_without_a_fault(tmp_path: Path) -> None:
    assert build(tmp_path) == []
    front = (tmp_path / "site" / "index.html").read_text()
    assert "slow and unreliable work" in front
    assert "not released" in (tmp_path / "site" / "changelog.html").read_text()


@pytest.mark.parametrize(
    ("written", "repo_url", "wanted"),
    [
        ("[a](../README.md#two)", None, "[a](index.md#two)"),
        ("[a](decisions/)", None, "[a](decisions/README.md)"),
        ("![a](images/x.png)", None, "![a](images/x.png)"),
        ("[a\nb](README.md)", None, "[a\nb](contents.md)"),
        ("[a](#there) [b](https://example.com/x)", None, "[a](#there) [b](https://example.com/x)"),
        ("`[a](../tickr/jobs.py)`", None, "`[a](../tickr/jobs.py)`"),
        ("[`a`](../tickr/jobs.py)", None, '<span class="source" title="tickr/jobs.py">`a`</span>'),
        ('[a](../tests/a.py "b")', None, '<span class="source" title="tests/a.py b">a</span>'),
        (
            '[a][b], [a][c].\n\n[b]: ../tests/a.py "d"\n',
            None,
            '<span class="source" title="tests/a.py d">a</span>, [a][c].\n\n',
        ),
        ("[a](../tickr/jobs.py)", "https://example.com/t", "[a](https://example.com/t/blob/HEAD/tickr/jobs.py)"),
        ("# A\n\n## A", None, "# A { #a }\n\n## A { #a-1 }"),
        ("```text\n# A\n[a](../README.md)\n```", None, "```text\n# A\n[a](../README.md)\n```"),
    ],
)
def test_a_page_is_laid_out_for_the_site(written: str, repo_url: str | None, wanted: str) -> None:
    assert laid_out(DOCS / "queues.md", written, repo_url) == wanted


def test_a_decision_leads_to_pages_above_it() -> None:
    page = DOCS / "decisions" / "README.md"
    assert laid_out(page, "[a](../queues.md) [b](../../README.md)", None) == "[a](../queues.md) [b](../index.md)"


def test_what_leads_nowhere_and_what_comes_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "b.html").write_text('<h1 id="there">b</h1>')
    (tmp_path / "a.html").write_text(
        '<script src="https://example.com/x.js"></script><a href="b.html#there">1</a><a href="b.html#nowhere">2</a>'
        '<a href="c.html">3</a><a href="../b.html">4</a><a href="#here">5</a><a href="https://example.com">6</a>'
    )
    assert broken_links(tmp_path) == [
        "a.html: fetches https://example.com/x.js",
        "a.html: b.html#nowhere: there is no such heading",
        "a.html: c.html is not there",
        "a.html: ../b.html is not there",
        "a.html: #here: there is no such heading",
    ]


def test_make_docs_builds_it() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\ndocs:")[2].partition("\n\n")[0]
    assert "-m tests.docs.site" in recipe
