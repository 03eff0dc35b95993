"""What a soak shows at its end: one table, and what was wrong if anything was."""

from __future__ import annotations

import msgspec
from rich.console import Console
from rich.table import Table

from tests.faults.soak.run import Result

SHOWN = 20
"""Of violations and oddities this many are shown; the raw file has all."""


def show(result: Result) -> None:
    """Print ``result`` for a terminal of 80 columns."""
    console = Console(highlight=False)
    table = Table(title=f"soak, seed {result.plan.seed}: {result.took_s:,.0f} s", title_justify="left")
    table.add_column("what")
    table.add_column("how many", justify="right")
    for name, value in rows(result).items():
        table.add_row(name, value)
    console.print(table)
    for title, lines in faults(result).items():
        if lines:
            console.print(f"{title}: {len(lines)}", style="bold red")
            for line in lines[:SHOWN]:
                console.print(f"  {line}", markup=False)


def rows(result: Result) -> dict[str, str]:
    """Return the table's rows."""
    counted = msgspec.to_builtins(result.verdict.table)
    found = {
        name.replace("_", " "): f"{value:,}" if isinstance(value, int) else f"{value:.1f}"
        for name, value in counted.items()
    }
    found["node lives"] = f"{result.lives:,}"
    found["refusals heard"] = f"{result.refusals:,}"
    found["seconds for a second of work"] = f"{result.stretch:.1f}"
    found["drained in s"] = "never" if result.drained_s is None else f"{result.drained_s:.1f}"
    return found | {f"fault: {name}": f"{count:,}" for name, count in result.faults.items()}


def faults(result: Result) -> dict[str, list[str]]:
    """Return what must not be, by title; all lists are empty after a good soak."""
    return {
        "violations": [f"{one.invariant} {one.job}: {one.detail}" for one in result.verdict.violations],
        "the backlog did not drain": ["after the faults had stopped"] if result.drained_s is None else [],
        "answers that are neither yes nor an orderly refusal": result.strange,
        "late refusals": result.late_refusals,
        "nodes that ended by themselves": result.odd_ends,
    }
