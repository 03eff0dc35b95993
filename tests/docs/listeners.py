"""The clients of docs/event-feed.md, taken from the page and run as a user would run them.

Comes in: the port of a node. Goes out: what they print, an event in each line, to be read while they run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.children import Child
from tests.docs.pages import ROOT, blocks
from tests.docs.reader import PAGES_PORT

PAGE = ROOT / "docs" / "event-feed.md"
PYTHON, JAVASCRIPT, BROWSER = "listen.py", "listen.mjs", "page.mjs"
RUN_BY = {
    PYTHON: [sys.executable],
    JAVASCRIPT: ["node"],
    BROWSER: ["node", "--experimental-eventsource"],  # from 20.18 and 22.3 on it has what every browser has
}
USES = {JAVASCRIPT: "TextDecoderStream", BROWSER: "EventSource"}
"""What a client needs that not every Node has."""


def program(name: str) -> str:
    """Return the text of the file ``name`` as the page has it."""
    (found,) = (block.text for block in blocks(PAGE.read_text()) if block.file == name)
    return found + "\n"


def missing_for(name: str) -> str | None:
    """Return why the client ``name`` can not run here, or None."""
    if name == PYTHON:
        return None
    if shutil.which("node") is None:
        return "node is not installed"
    asked = subprocess.run([*RUN_BY[name], "-e", USES[name]], capture_output=True, check=False)
    return f"this node has no {USES[name]}" if asked.returncode else None


class ListeningClient(Child):
    """One of the clients, listening to the node on ``port``. ``told`` is what it has printed so far, line by line."""

    name = "listener"

    def __init__(self, client: str, port: int) -> None:
        super().__init__()
        self._client = client
        (self.folder / client).write_text(program(client).replace(PAGES_PORT, f":{port}"))

    def command(self) -> Sequence[str]:
        return [*RUN_BY[self._client], self._client]

    def environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        return {**kept, "NODE_NO_WARNINGS": "1"}

    def answers(self) -> bool:
        return self.running

    @property
    def told(self) -> list[str]:
        return self.log.splitlines()
