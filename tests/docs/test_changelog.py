"""The fragments of the next changelog: each says what kind it is, and towncrier puts all of them together."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, links, name_of, table
from tests.docs.site import NEXT_CHANGES, changelog
from tests.docs.test_links import fault_of

FOLDER = ROOT / "changelog.d"
NOT_FRAGMENTS = {"README.md", "template.md.jinja"}
FRAGMENTS = sorted(file for file in FOLDER.iterdir() if file.name not in NOT_FRAGMENTS)
KINDS = [row[0] for row in table((FOLDER / "README.md").read_text(), "kind")]
LONGEST = 1000


def test_towncrier_knows_the_kinds() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]["type"]
    assert [f"`{kind['directory']}`" for kind in known] == KINDS


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=name_of)
def test_a_fragment_is_one(fragment: Path) -> None:
    kinds = "|".join(kind.strip("`") for kind in KINDS)
    assert re.fullmatch(rf"[a-z][a-z0-9_-]*\.({kinds})\.md", fragment.name), f"{fragment.name}: WORDS.KIND.md"
    text = fragment.read_text()
    assert 0 < len(text.strip()) <= LONGEST
    assert not re.search(r"^(#|\* |- )|\n\n", text.strip(), re.MULTILINE), "one paragraph: it becomes an item of a list"


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=name_of)
def test_its_links_are_those_of_the_changelog(fragment: Path) -> None:
    faults = [fault for link in links(fragment.read_text()) if (fault := fault_of(ROOT / "CHANGELOG.md", link.target))]
    assert not faults


@pytest.mark.slow
def test_the_next_changelog_has_them_all() -> None:
    text = changelog()
    assert NEXT_CHANGES not in text
    assert text.count("\n* ") == len(FRAGMENTS)
    headings = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    assert headings == [name for name in ("Added", "Changed", "Fixed", "Removed", "Security") if name in headings]
