"""What a person sees: progress on stderr, tables and small plots on stdout."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

REFRESH_HZ = 2
"""How often the bar is drawn anew: what is measured wants the processor, too."""
BAR = 40
"""Width of the longest bar, in characters."""
EIGHTHS = " ▏▎▍▌▋▊▉█"


class Steps:
    """How far a command is: a bar on a terminal, a line for each step elsewhere. A context manager."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._taken = 0
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            text = TextColumn("{task.description}", markup=False)
            self._bar = Progress(
                *columns, text, console=Console(stderr=True), transient=True, refresh_per_second=REFRESH_HZ
            )
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def step(self, text: str) -> None:
        """The step before this one is over; ``text`` says what is done now."""
        if self._bar:
            self._bar.update(self._task, completed=self._taken, description=text)
        else:
            print(f"[{self._taken + 1}/{self._total}] {text}", file=sys.stderr, flush=True)
        self._taken += 1

    def detail(self, text: str) -> None:
        """Say how far the step is; only a terminal shows it."""
        if self._bar:
            self._bar.update(self._task, description=text)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return ``rows``, which all have the same columns, as aligned text."""
    columns = [*rows[0]]
    cells = [[cell(row[column]) for column in columns] for row in rows]
    lines = [columns, *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    left = [all(isinstance(row[column], str) for row in rows) for column in columns]
    return "\n".join(
        "  ".join(
            text.ljust(width) if to_left else text.rjust(width)
            for text, width, to_left in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in lines
    )


def cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def bars(values: Mapping[str, float], unit: str) -> str:
    """Return one bar for each of ``values``, as long as it is great."""
    most = max(values.values(), default=0) or 1
    width = max(map(len, values), default=0)
    lines = []
    for name, value in values.items():
        whole, eighth = divmod(round(max(value, 0) / most * BAR * 8), 8)
        lines.append(f"{name.rjust(width)} {'█' * whole + EIGHTHS[eighth].strip():<{BAR}} {_amount(value)} {unit}")
    return "\n".join(lines)


def _amount(value: float) -> str:
    return cell(int(value) if value == int(value) else float(value))
