"""graphile-worker on PostgreSQL.

The configuration with which https://worker.graphile.org/docs/performance reaches its figures: 24 jobs at once in a
process, a local queue of 500, completions in batches without delay; ``addJobs`` for submitting.
"""

from __future__ import annotations

from bench.peers.brokers import Brokers
from bench.peers.contract import Environment, Facts, Peer


class GraphileWorker(Peer):
    name = "graphile-worker"
    title = "graphile-worker"
    version_of = "graphile-worker"
    language = "node"
    servers = ("postgres",)
    home = "graphile_worker"
    probe = 5000
    facts = Facts(
        broker="PostgreSQL, fsync and synchronous_commit on",
        durable="yes",
        delivery="at least once: a lock that ends after 4 hours",
        results="no",
        after="nothing",
        history="no",
        bulk="addJobs, 1000 at a time",
    )

    def worker(self, environment: Environment, brokers: Brokers, processes: int) -> list[list[str]]:
        return [[environment.interpreter, str(self.folder / "app.mjs"), "worker"]] * processes

    def prepare(self, environment: Environment, brokers: Brokers) -> list[str]:
        return [environment.interpreter, str(self.folder / "app.mjs"), "migrate"]

    def left(self, brokers: Brokers) -> int:
        return int(brokers.postgres.ask("SELECT count(*) FROM graphile_worker._private_jobs"))


PEER = GraphileWorker()
