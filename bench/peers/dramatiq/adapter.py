"""Dramatiq on Redis.

Its guide has no page on speed; https://dramatiq.io/guide.html#workers gives the number of processes (one per core) and
of threads (8), which are the defaults. No results are kept unless a backend is added
(https://dramatiq.io/guide.html#message-results).
"""

from __future__ import annotations

from bench.peers.brokers import Brokers
from bench.peers.contract import Environment, Facts, Peer


class Dramatiq(Peer):
    name = "dramatiq"
    title = "Dramatiq"
    version_of = "dramatiq"
    language = "python"
    servers = ("redis",)
    probe = 1500
    facts = Facts(
        broker="Redis",
        durable="no",
        delivery="at least once: acknowledged after it ran",
        results="no",
        after="nothing",
        history="no",
        bulk="none: single messages (a group sends them one by one, too)",
    )

    def worker(self, environment: Environment, brokers: Brokers, processes: int) -> list[list[str]]:
        flags = ["--processes", str(processes), "--threads", "8"]
        return [[str(environment.programs / "dramatiq"), *flags, "bench.peers.dramatiq.app"]]

    def left(self, brokers: Brokers) -> int:
        return int(brokers.redis.hlen("dramatiq:default.msgs"))


PEER = Dramatiq()
