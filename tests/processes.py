"""Real Tickr processes for the tests: ``python -m tickr serve`` in a folder of its own, to be killed and frozen.

Comes in: the store, the index and how many workers. Goes out: a node that answers on ``url``, whose log is kept.
"""

from __future__ import annotations

import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, ClassVar

from tests.children import Child, Launched, free_port
from tests.forked import fork_tickr, may_fork

ROOT = Path(__file__).parent.parent


class TickrProcess(Child):
    """One node. A context manager: entering starts it and waits until ``/readyz`` says yes.

    Args:
      store, index: URLs; None leaves Tickr its default, which is an SQLite file in ``folder``.
      app: ``module:name`` of a ``tickr.Jobs``; a module under tests/ is ``tests.….module:name``.
      arguments: more flags for ``tickr serve``, like ``--grace 1``.
      variables: more environment; no ``TICKR_…`` variable of the surrounding shell gets through.
      python_path: more folders to import ``app`` from.

    Attributes:
      url: ``http://127.0.0.1:port``, the same over restarts.
      variables: the environment that the next start adds.
      folder: the node's working directory; the log stands in ``log`` there.
    """

    name = "tickr"
    forks: ClassVar[bool] = False
    """Whether nodes are forked off a process that has imported Tickr, where they can be; the tests say yes at their
    beginning, benchmarks do not. Set before the first start."""

    def __init__(
        self,
        *,
        store: str | None = None,
        index: str | None = None,
        workers: int | None = None,
        app: str | None = None,
        roles: str | None = None,
        arguments: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        python_path: Sequence[Path] = (),
    ) -> None:
        super().__init__()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        flags = {"--store": store, "--index": index, "--workers": workers, "--roles": roles}
        self._arguments = [str(word) for name, value in flags.items() if value is not None for word in (name, value)]
        self._arguments += [*arguments, *([app] if app else [])]
        self.variables = dict(variables or {})
        self._python_path = [ROOT, *python_path]

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tickr", "serve", "--port", str(self.port), *self._arguments]

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TICKR_")}
        path = os.pathsep.join(map(str, self._python_path))
        return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **self.variables}

    def launch(self, command: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> Launched:
        if self.forks and may_fork(command, environment):
            return fork_tickr(command[3:], self.folder, environment, log)
        return super().launch(command, environment, log)

    def answers(self) -> bool:
        return self.readiness() == 200

    def readiness(self, *, timeout_s: float = 5.0) -> int:
        """Return the HTTP status of ``/readyz``. Raises: OSError: nothing answered within ``timeout_s``."""
        try:
            # A node without the api role has no /readyz; wait for it with start(wait=False) and a fact of your own.
            # A context of its own: the one that is kept would be of the authorities of the first test that asked.
            told = ssl.create_default_context() if self.url.startswith("https:") else None
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=timeout_s, context=told) as response:
                return int(response.status)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code
