"""RQ on Redis.

``SimpleWorker``, which runs jobs without a fork for each: https://github.com/rq/rq/blob/master/docs/benchmark.md calls
it 6 times as fast and says when to use it (jobs of milliseconds whose code is trusted). The default worker forks for
each job. One worker per core through ``rq worker-pool`` (https://python-rq.org/docs/workers/), ``enqueue_many`` for
submitting (https://python-rq.org/docs/#bulk-job-enqueueing), and ``result_ttl=0``, so that a job that has succeeded is
removed (https://python-rq.org/docs/results/).
"""

from __future__ import annotations

from bench.peers.brokers import Brokers
from bench.peers.contract import Environment, Facts, Peer


class Rq(Peer):
    name = "rq"
    title = "RQ"
    version_of = "rq"
    language = "python"
    servers = ("redis",)
    probe = 400
    facts = Facts(
        broker="Redis",
        durable="no",
        delivery="marked as failed when its worker is missed",
        results="no",
        after="nothing",
        history="no",
        bulk="enqueue_many, 1000 at a time",
    )

    def worker(self, environment: Environment, brokers: Brokers, processes: int) -> list[list[str]]:
        flags = ["--url", brokers.redis_url, "--num-workers", str(processes), "--worker-class", "rq.SimpleWorker"]
        return [[str(environment.programs / "rq"), "worker-pool", *flags, "--logging-level", "WARNING", "default"]]

    def left(self, brokers: Brokers) -> int:
        return int(brokers.redis.llen("rq:queue:default")) + int(brokers.redis.zcard("rq:wip:default"))


PEER = Rq()
