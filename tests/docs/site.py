"""The documentation as a site: ``python -m tests.docs.site [FOLDER]``, which `make docs` does.

Comes in: README.md, docs/, CHANGELOG.md and its fragments, docs/zensical.toml. Goes out: ``FOLDER/site``, made by
Zensical, which asks for nothing from elsewhere and can be opened from the disk. The pages are laid out in
``FOLDER/pages`` first, as a site needs them: the README in front, the next changes in the changelog, headings with the
anchors that GitHub gives them, and links that lead out of the documentation led to the repository if the site has one
(``repo_url``). Zensical's warnings are errors; it looks at few links, so all of them are checked in what it made.
"""

from __future__ import annotations

import html
import json
import posixpath
import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

from tests.docs.pages import DECISIONS, DOCS, PAGES, ROOT, anchors, link_matches

SETTINGS = DOCS / "zensical.toml"
CHANGES = ROOT / "CHANGELOG.md"
NEXT_CHANGES = "<!-- towncrier release notes start -->"
"""The place in CHANGELOG.md where a release puts its changes."""
WIDE = re.compile(r"^\|(?:[^|\n]*\|){9}", re.MULTILINE)
"""A table that wants the room of the list of pages beside it, too."""
REFERENCE = re.compile(r"^\[(?P<name>[^]^]+)\]: (?P<target>.+)\n", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|#")
NAMES = {ROOT / "README.md": "index.md", DOCS / "README.md": "contents.md", CHANGES: "changelog.md"}


def places() -> dict[Path, str]:
    """Return where each page is on the site."""
    return {page: NAMES.get(page) or page.relative_to(DOCS).as_posix() for page in (*PAGES, *DECISIONS, CHANGES)}


def settings() -> str:
    """Return what Zensical reads: docs/zensical.toml with the names of all decisions."""
    names = ",\n".join(json.dumps(f"decisions/{page.name}") for page in DECISIONS if page.name != "README.md")
    return SETTINGS.read_text().replace('"decisions/[0-9]*.md"', names)


def repository() -> str | None:
    return tomllib.loads(SETTINGS.read_text())["project"].get("repo_url")


def changelog() -> str:
    """Return CHANGELOG.md with what comes with the next release, as towncrier assembles it."""
    draft = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "next", "--date", "not released"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return CHANGES.read_text().replace(NEXT_CHANGES, draft.stdout)


def laid_out(page: Path, text: str, repo_url: str | None) -> str:
    """Return ``text``, which ``page`` holds, as the site needs it."""
    lines = text.split("\n")
    for anchor, number in anchors(text).items():
        lines[number - 1] += f" {{ #{anchor} }}"
    front = "---\nhide:\n  - navigation\n---\n\n" if WIDE.search(text) else ""
    return front + relinked(page, inlined("\n".join(lines)), repo_url)


def inlined(text: str) -> str:
    """Return ``text`` with what its references lead to in their places: ``[a][b]`` becomes ``[a](x)``."""
    known = {found["name"]: found["target"] for found in REFERENCE.finditer(text)}
    used = "|".join(map(re.escape, known)) or "(?!)"
    return re.sub(rf"\]\[({used})\]", lambda use: f"]({known[use[1]]})", REFERENCE.sub("", text))


def relinked(page: Path, text: str, repo_url: str | None) -> str:
    for match in reversed(list(link_matches(text))):
        if not ELSEWHERE.match(match["target"]):
            text = text[: match.start()] + relink(page, match, repo_url) + text[match.end() :]
    return text


def relink(page: Path, link: re.Match[str], repo_url: str | None) -> str:
    """Return a link of ``page`` to a file as it is on the site: to its place there, to the repository, or no link."""
    name, hash_, anchor = link["target"].partition("#")
    title = link["title"] or ""
    file = (page.parent / name).resolve()
    if (file / "README.md") in places():
        file /= "README.md"
    label = f"{link['picture']}[{link['text']}]"
    if place := places().get(file) or (file.relative_to(DOCS).as_posix() if file.is_relative_to(DOCS) else None):
        return f"{label}({posixpath.relpath(place, posixpath.dirname(places()[page]) or '.')}{hash_}{anchor}{title})"
    source = file.relative_to(ROOT).as_posix()
    if repo_url:
        return f"{label}({repo_url}/blob/HEAD/{source}{hash_}{anchor}{title})"
    told = html.escape(source + title.replace('"', ""))
    return f'<span class="source" title="{told}">{link["text"]}</span>'


def lay_out(folder: Path) -> None:
    """Write what Zensical reads into ``folder``, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    for page, place in places().items():
        target = folder / "pages" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        text = changelog() if page == CHANGES else page.read_text()
        target.write_text(laid_out(page, text, repository()))
    for file in (*DOCS.glob("images/*"), DOCS / "asyncapi.yaml", DOCS / "openapi.json", DOCS / "style.css"):
        target = folder / "pages" / file.relative_to(DOCS)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(file, target)
    (folder / "zensical.toml").write_text(settings())


def build(folder: Path) -> list[str]:
    """Make ``folder/site`` and return what is wrong with it, one line each."""
    lay_out(folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return [done.stdout] if done.returncode else broken_links(folder / "site")


class Hypertext(HTMLParser):
    """What a page of the site leads to and fetches, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.fetched: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.places.add(value)
            elif name in ("href", "src") and value:
                (self.targets if tag == "a" else self.fetched).append(value)


def broken_links(site: Path) -> list[str]:
    """Return a line for each link of ``site`` that leads nowhere in it, and for each thing fetched from elsewhere."""
    pages = {page: Hypertext(page.read_text()) for page in sorted(site.rglob("*.html")) if page.name != "404.html"}
    faults = [
        f"{page.relative_to(site)}: fetches {address}"
        for page, text in pages.items()
        for address in text.fetched
        if re.match(r"(?:https?:)?//", address)
    ]
    for page, text in pages.items():
        for target in text.targets + text.fetched:
            name, _, anchor = target.partition("#")
            file = (page.parent / name).resolve() if name else page
            if ELSEWHERE.match(target) and not target.startswith("#"):
                continue
            if not file.is_relative_to(site.resolve()) or not (file.exists() or file == page):
                faults.append(f"{page.relative_to(site)}: {target} is not there")
            elif anchor and file in pages and anchor not in pages[file].places:
                faults.append(f"{page.relative_to(site)}: {target}: there is no such heading")
    return faults


def main(folder: Path = ROOT / "build" / "docs") -> int:
    if faults := build(folder):
        print(*faults, sep="\n", file=sys.stderr)
        return 1
    print(f"open {folder / 'site' / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
