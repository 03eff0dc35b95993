"""BullMQ on Redis.

50 jobs at once in a worker and several workers, as https://docs.bullmq.io/guide/workers/concurrency has it; ``addBulk``
for submitting (https://docs.bullmq.io/guide/queues/adding-bulks); finished jobs removed at once
(https://docs.bullmq.io/guide/queues/auto-removal-of-jobs). https://docs.bullmq.io/guide/going-to-production advises
Redis with an append-only file, which ``--redis-fsync everysec`` gives it.
"""

from __future__ import annotations

from bench.peers.brokers import Brokers
from bench.peers.contract import Environment, Facts, Peer


class BullMQ(Peer):
    name = "bullmq"
    title = "BullMQ"
    version_of = "bullmq"
    language = "node"
    servers = ("redis",)
    probe = 5000
    facts = Facts(
        broker="Redis",
        durable="no",
        delivery="at least once: a lock that is not renewed",
        results="no: deleted with the job",
        after="nothing (removeOnComplete)",
        history="a stream of events, about the last 10,000",
        bulk="addBulk, 1000 at a time",
    )

    def worker(self, environment: Environment, brokers: Brokers, processes: int) -> list[list[str]]:
        return [[environment.interpreter, str(self.folder / "app.mjs"), "worker"]] * processes

    def left(self, brokers: Brokers) -> int:
        return int(brokers.redis.llen("bull:peers:wait")) + int(brokers.redis.llen("bull:peers:active"))


PEER = BullMQ()
