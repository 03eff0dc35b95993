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
    "Signed payloads": "signatures of payloads that are not encrypted",
    "Many small jobs handed to one handler together": "one handler for the jobs of a group",
    "Compressed payloads": "a compressed column, and Content-Encoding",
    "One after the other in strict order, retries too": "a key whose next job waits for a retry",
    "A key that counts over all queues": "limits of a key by itself",
    "A handler holds up its queue (after a 429)": "a `RetryLater` for the whole queue",
    "Newest first (LIFO)": "an order of a queue",
    "One job for every worker (broadcast)": "one job for each live node",
    "A retry in another queue, or with another priority": "more fields of `RetryLater`",
    "Time-outs changed while everything runs": "changes of a job that waits",
    "Progress of any shape": "JSON beside the fraction",
    "What a job logs, kept with the job": "`GET /jobs/<id>/log`, kept as long as the job",
    "Its end written in the handler's own transaction": "with the transaction of the caller's",
    "Change what waits: when, priority, payload; run it now": "`PATCH /jobs/<id>`",
    "Delete a job for good": "`DELETE /jobs/<id>`",
    "Empty a queue, or take it away": "`DELETE /queues/<name>`",
    "An age for each job or type": "`keep` of a job",
    "Only the last so many are kept": "a number beside the age",
    "Events of the application's own": "data of `job.log`",
    "Search in payloads": "a filter of a list",
    "A profile of a job": "a middleware that comes with Tickr",
}
"""Wanted; the words say what would do."""

APART = {
    "Payloads other than JSON": "HTTP carries JSON; bytes go in as base64, or by reference",
    "A schedule by a function of yours; sunrise": "a schedule is data that any node reads; a job may submit the next",
    "More and fewer processes, with the load": "how many nodes there are is for what starts them",
    "Redis by Sentinel or as a Cluster": "the index may be lost at any moment, so nothing has to take its place",
    "A debugger in a job, from afar": "Python's own debuggers attach to a process",
    "Part of a web framework": "a server of its own; any framework sends it requests",
    "… and back down": "a backup is the way back; a newer schema is refused, not spoilt",
    "TLS on its own port": "for the proxy before it, which has the certificates",
    "On PostgreSQL": "MySQL and MariaDB are the stores that Tickr is made for",
    "On message brokers: RabbitMQ, SQS, Kafka": "a broker cannot be asked what became of a job",
}
"""Not Tickr's to have; the words say why."""

LACKING = IN_WORK | NEXT | OPEN | APART
