"""What Tickr lacks and another gives free: every such row of ``docs/comparison.md``, and what is to become of it.

``test_comparison.py`` compares these lists with the page: a row that is not here must lack nothing, and one that is
here must lack something. They only ever get shorter.
"""

from __future__ import annotations

IN_WORK: dict[str, str] = {}
"""Being built now, by feature."""

NEXT = {
    "Dashboard in the browser": "dashboard",
    "Prometheus metrics": "metrics",
    "How much was done, by minute or day": "metrics",
    "How long each type takes": "metrics",
    "Marks of deploys in the charts": "dashboard",
    "… with keys to act on what is seen": "dashboard",
}
"""Comes with the dashboard, the metrics and the clients."""

OPEN = {
    "Newest first (LIFO)": "an order of a queue, in the claims and in the index",
    "A schedule by a function of yours; sunrise": "declared in the code, its next tick put by whoever has the function",
    "More and fewer processes, with the load": "a range for `--processes`",
}
"""Wanted; the words say what would do."""

LACKING = IN_WORK | NEXT | OPEN
