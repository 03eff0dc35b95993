"""What a command has to say: progress while it runs, tables and plots at the end, and the raw figures in a file.

The file is ``bench/results/<name>-<store>-<index>.json``, with pictures of the same name beside it. A later run on the
same backend replaces it.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.report import plot, terminal
from bench.report.figures import said
from bench.report.machine import machine, versions
from bench.report.plot import Plot

RESULTS = Path(__file__).parent.parent / "results"

_PASSWORD = re.compile(r"(?<=://)([^:@/\s]*):[^@/\s]*(?=@)")


def without_password(text: str) -> str:
    """Return ``text`` with the passwords of the URLs in it left out."""
    return _PASSWORD.sub(r"\1:…", text)


class Report:
    """One run of a command. Made before anything is started: the load average is of that moment."""

    def __init__(self, name: str, words: Sequence[str], given: argparse.Namespace) -> None:
        self.name = name
        self._machine = machine()
        self._given = {key: _plain(value) for key, value in vars(given).items() if not callable(value)}
        self._folder: Path = given.results
        self._command = without_password(shlex.join(["python", "-m", "bench", *words]))

    def steps(self, total: int) -> terminal.Steps:
        return terminal.Steps(total)

    def table(self, rows: Sequence[Mapping[str, Any]], title: str = "") -> None:
        if title:
            print(f"\n{title}")
        print(terminal.table(rows))

    def ratios(self, found: Sequence[Mapping[str, Any]]) -> None:
        for one in found:
            print(said(one))

    def bars(self, values: Mapping[str, float], unit: str, title: str) -> None:
        print(f"\n{title}\n{terminal.bars(values, unit)}")

    def keep(
        self,
        on: Mapping[str, Any],
        rounds: Sequence[Mapping[str, Any]],
        summary: Mapping[str, Any],
        plots: Mapping[str, Plot] | None = None,
    ) -> Path:
        """Write the raw figures and the pictures.

        Args:
          on: what ``Stage.describe`` says; its ``name`` becomes part of the file's.
          rounds: every round's figures as they were measured.
          summary: what was made of them.
          plots: by a word for the name of their file; "" for none.
        """
        raw = {
            "name": self.name,
            "command": self._command,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": self._machine,
            "versions": {**versions(), **on.get("versions", {})},
            "given": self._given,
            "on": {key: value for key, value in on.items() if key != "versions"},
            "summary": summary,
            "rounds": rounds,
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        stem = f"{self.name}-{on['name']}"
        path = self._folder / f"{stem}.json"
        path.write_text(json.dumps(raw) + "\n")
        print(f"\nraw figures: {_shown(path)}")
        pictures = {self._folder / f"{stem}{'-' if word else ''}{word}.png": one for word, one in (plots or {}).items()}
        drawn = [_shown(picture) for picture, one in pictures.items() if plot.write(one, picture)]
        if drawn:
            print(f"plots: {', '.join(drawn)}")
        elif pictures:
            print("no plots: matplotlib is not installed (pip install .[bench])")
        return path


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return value.name
    return without_password(value) if isinstance(value, str) else value


def _shown(path: Path) -> str:
    root = RESULTS.parent.parent
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
