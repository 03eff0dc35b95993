"""arq on Redis.

Its documentation (https://arq-docs.helpmanual.io) has no advice on speed, only the settings: more jobs at once
(``max_jobs``), more of them read at a time (``queue_read_limit``), more often (``poll_delay``: it polls, every 0.5 s by
default), and no results (``keep_result``).
"""

from __future__ import annotations

from bench.peers.brokers import Brokers
from bench.peers.contract import Environment, Facts, Peer


class Arq(Peer):
    name = "arq"
    title = "arq"
    version_of = "arq"
    language = "python"
    servers = ("redis",)
    probe = 800
    facts = Facts(
        broker="Redis",
        durable="no",
        delivery="at least once",
        results="no",
        after="nothing",
        history="no",
        bulk="none: single jobs, 32 under way",
    )

    def worker(self, environment: Environment, brokers: Brokers, processes: int) -> list[list[str]]:
        settings = "bench.peers.arq.app.WorkerSettings"
        quiet = ["--custom-log-dict", "bench.peers.arq.app.QUIET"]
        return [[str(environment.programs / "arq"), *quiet, settings]] * processes

    def left(self, brokers: Brokers) -> int:
        return int(brokers.redis.zcard("arq:queue"))


PEER = Arq()
