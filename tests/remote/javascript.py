"""The worker of ``clients/js`` as a process, with handlers of a test.

Comes in: the URLs of nodes, and a program of ``tests/remote`` that gives the handlers. Goes out: a process to be
stopped and killed, whose log is kept.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from tests.children import Child
from tests.docs.pages import ROOT

WORKER = ROOT / "clients" / "js" / "worker.mjs"


def missing() -> str | None:
    """Return why the worker cannot run here, or None."""
    if shutil.which("node") is None:
        return "node is not installed"
    asked = subprocess.run(["node", "-e", "fetch, AbortSignal.timeout"], capture_output=True, check=False)
    return "this node has no fetch" if asked.returncode else None


class JavascriptWorker(Child):
    """A worker. Ready once it has its lease.

    Args:
      urls: of the nodes, in the order in which they are asked.
      program: a file of ``tests/remote`` whose default export are the handlers.
      options: more for ``work``.
    """

    name = "worker"

    def __init__(
        self, urls: Sequence[str], program: str, *, variables: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        super().__init__()
        self._variables = dict(variables or {})
        handlers = (ROOT / "tests" / "remote" / program).as_uri()
        self._text = (
            f"import {{ work }} from {json.dumps(WORKER.as_uri())};\n"
            f"import handlers from {json.dumps(handlers)};\n"
            f"await work({{ ...{json.dumps({'url': list(urls), **options})}, handlers }});\n"
        )
        (self.folder / "main.mjs").write_text(self._text)

    def command(self) -> Sequence[str]:
        return ["node", "main.mjs"]

    def environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        return {**kept, **self._variables}

    def answers(self) -> bool:
        return "lease " in self.log
