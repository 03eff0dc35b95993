"""taskiq on Redis, through the package taskiq-redis.

The stream broker of https://github.com/taskiq-python/taskiq-redis, which acknowledges and reads 100 messages at once;
the list broker, which pops them one by one, was no faster here. No result backend; orjson as its serializer, and
uvloop, which its worker takes where it is installed; no type casts (``--no-parse``), 100 tasks at once and as many
fetched ahead ("useful for systems with high message rates"), see https://taskiq-python.github.io/guide/cli.html.
"""

from __future__ import annotations

from bench.peers.brokers import Brokers
from bench.peers.contract import Environment, Facts, Peer


class Taskiq(Peer):
    name = "taskiq"
    title = "taskiq"
    version_of = "taskiq"
    language = "python"
    servers = ("redis",)
    probe = 1500
    facts = Facts(
        broker="Redis stream",
        durable="no",
        delivery="at least once: acknowledged after it ran",
        results="no",
        after="the message, in the stream",
        history="no",
        bulk="none: single messages, 32 under way",
    )

    def worker(self, environment: Environment, brokers: Brokers, processes: int) -> list[list[str]]:
        flags = ["--workers", str(processes), "--log-level", "WARNING", "--no-parse"]
        limits = ["--max-async-tasks", "100", "--max-prefetch", "100"]
        return [[str(environment.programs / "taskiq"), "worker", "bench.peers.taskiq.app:broker", *flags, *limits]]

    def left(self, brokers: Brokers) -> int:
        groups = brokers.redis.xinfo_groups("taskiq")
        return sum(int(group["pending"]) + int(group["lag"] or 0) for group in groups)


PEER = Taskiq()
