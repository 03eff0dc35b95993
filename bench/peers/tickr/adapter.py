"""Tickr itself, twice: on MariaDB with Redis, and embedded on SQLite.

Everything as it is by default, but for 100 jobs at once and a log without a line for each job. Submitted over HTTP with
``POST /jobs/batch``, as its users do; the clients of the peers talk to their brokers themselves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from bench.peers.brokers import Brokers, Server
from bench.peers.contract import Environment, Facts, Peer
from tickr.jobs import FINAL
from tickr.store.contract import STATE_CODES

OVER = ", ".join(str(STATE_CODES[state]) for state in sorted(FINAL))
UNFINISHED = f"SELECT COUNT(*) FROM jobs WHERE state NOT IN ({OVER})"  # noqa: S608  (codes of our own)


class Tickr(Peer):
    name = "tickr"
    title = "Tickr, MariaDB + Redis"
    version_of = "tickr"
    language = "tickr"
    servers: Sequence[Server] = ("redis", "mariadb")
    probe = 4000
    facts = Facts(
        broker="MariaDB, innodb_flush_log_at_trx_commit=1; Redis holds the order alone",
        durable="yes",
        delivery="at least once: a lease of 15 s, and a fence",
        results="yes",
        after="the job with all it was",
        history="every change, in order",
        bulk="POST /jobs/batch over HTTP, 1000 at a time",
    )

    def worker(self, environment: Environment, brokers: Brokers, processes: int) -> list[list[str]]:
        store, index = self._places(brokers)
        flags = ["--store", store, "--index", index, "--port", str(brokers.port), "--workers", "100"]
        several = ["--processes", str(processes)] if processes > 1 else []
        serve = [environment.interpreter, "-m", "tickr", "serve", "bench.peers.tickr.app:jobs"]
        return [[*serve, *flags, *several, "--log-level", "warning"]]

    def _places(self, brokers: Brokers) -> tuple[str, str]:
        return brokers.mariadb.url, brokers.redis_url

    def left(self, brokers: Brokers) -> int:
        return int(brokers.mariadb.execute(UNFINISHED)[0][0])


class TickrOnSqlite(Tickr):
    name = "tickr-sqlite"
    title = "Tickr, SQLite"
    servers = ()
    processes = (1,)
    home = "tickr"
    facts = replace(Tickr.facts, broker="SQLite in the worker's process, synchronous=FULL")

    def _places(self, brokers: Brokers) -> tuple[str, str]:
        return f"sqlite:///{brokers.folder}/tickr.db", "heap:"

    def left(self, brokers: Brokers) -> int:
        with closing(sqlite3.connect(f"file:{brokers.folder}/tickr.db?mode=ro", uri=True)) as database:
            return int(database.execute(UNFINISHED).fetchone()[0])


PEER = Tickr()
ON_SQLITE = TickrOnSqlite()
