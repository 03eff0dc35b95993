"""streaQ on Redis.

32 jobs at once, as https://github.com/tastyware/streaq/tree/master/benchmarks has it, with the prefetch that
https://streaq.readthedocs.io/en/latest/worker.html describes; no results (``ttl=0``), ``enqueue_many`` for submitting,
one process per core.
"""

from __future__ import annotations

from bench.peers.brokers import Brokers
from bench.peers.contract import Environment, Facts, Peer


class Streaq(Peer):
    name = "streaq"
    title = "streaQ"
    version_of = "streaq"
    language = "python"
    servers = ("redis",)
    probe = 1000
    facts = Facts(
        broker="Redis stream",
        durable="no",
        delivery="at least once",
        results="no",
        after="nothing",
        history="no",
        bulk="enqueue_many, 1000 at a time",
    )

    def worker(self, environment: Environment, brokers: Brokers, processes: int) -> list[list[str]]:
        run = ["run", "--workers", str(processes), "bench.peers.streaq.app:worker"]
        return [[str(environment.programs / "streaq"), *run]]

    def left(self, brokers: Brokers) -> int:
        # A finished task is taken out of the stream.
        return int(brokers.redis.xlen("streaq:default:queues:normal"))


PEER = Streaq()
