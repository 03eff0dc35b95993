"""Celery on Redis.

Set for speed as https://docs.celeryq.dev/en/stable/userguide/optimizing.html says (a prefetch multiplier of 64 or 128
for short tasks) and https://docs.celeryq.dev/en/stable/userguide/tasks.html#ignore-results-you-don-t-want (no results);
gossip, mingle and heartbeat are off, as https://docs.celeryq.dev/en/stable/userguide/workers.html has flags for. The
prefork pool with one process per core is its default and what it recommends; the solo pool, which runs tasks in the
process that fetches them, is leaner and meant for something else.
"""

from __future__ import annotations

from bench.peers.brokers import Brokers
from bench.peers.contract import Environment, Facts, Peer


class Celery(Peer):
    name = "celery"
    title = "Celery"
    version_of = "celery"
    language = "python"
    servers = ("redis",)
    probe = 800
    facts = Facts(
        broker="Redis",
        durable="no",
        delivery="at most once: acknowledged before it runs",
        results="no",
        after="nothing",
        history="no",
        bulk="none: single messages over one connection",
    )

    def worker(self, environment: Environment, brokers: Brokers, processes: int) -> list[list[str]]:
        flags = ["--loglevel=warning", f"--concurrency={processes}", "--without-gossip", "--without-mingle"]
        app = ["-A", "bench.peers.celery.app", "worker"]
        return [[str(environment.programs / "celery"), *app, *flags, "--without-heartbeat"]]

    def left(self, brokers: Brokers) -> int:
        return int(brokers.redis.llen("celery")) + int(brokers.redis.hlen("unacked"))


PEER = Celery()
