"""What Tickr lacks and another gives free: every such row of ``docs/comparison.md``, and what is to become of it.

``test_comparison.py`` compares these lists with the page: a row that is not here must lack nothing, and one that is
here must lack something. They only ever get shorter.
"""

from __future__ import annotations

IN_WORK = {}
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
    "Newest first (LIFO)": "an order of a queue",
}
"""Wanted; the words say what would do."""

APART = {
    "A schedule by a function of yours; sunrise": "a schedule is data that any node reads; a job may submit the next",
    "More and fewer processes, with the load": "how many nodes there are is for what starts them",
    "Part of a web framework": "a server of its own; any framework sends it requests",
    "… and back down": "a backup is the way back; a newer schema is refused, not spoilt",
    "On PostgreSQL": "MySQL and MariaDB are the stores that Tickr is made for",
    "On message brokers: RabbitMQ, SQS, Kafka": "a broker cannot be asked what became of a job",
}
"""Not Tickr's to have; the words say why."""

LACKING = IN_WORK | NEXT | OPEN | APART
