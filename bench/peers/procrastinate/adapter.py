"""procrastinate on PostgreSQL.

30 jobs at once in a process, as https://procrastinate.readthedocs.io/en/stable/howto/production/concurrency.html has
it; ``batch_defer`` for submitting (…/howto/basics/batch_defer.html); finished jobs deleted at once
(…/howto/production/delete_finished_jobs.html); psycopg with its C part.
"""

from __future__ import annotations

from bench.peers.brokers import Brokers
from bench.peers.contract import Environment, Facts, Peer


class Procrastinate(Peer):
    name = "procrastinate"
    title = "procrastinate"
    version_of = "procrastinate"
    language = "python"
    servers = ("postgres",)
    probe = 300
    facts = Facts(
        broker="PostgreSQL, fsync and synchronous_commit on",
        durable="yes",
        delivery="stays 'doing' until a task of the user's looks for stalled jobs",
        results="no",
        after="nothing (delete_jobs=always)",
        history="events of a job, deleted with it",
        bulk="batch_defer, 1000 at a time",
    )

    def _command(self, environment: Environment) -> list[str]:
        return [str(environment.programs / "procrastinate"), "--app=bench.peers.procrastinate.app.app"]

    def prepare(self, environment: Environment, brokers: Brokers) -> list[str]:
        return [*self._command(environment), "schema", "--apply"]

    def worker(self, environment: Environment, brokers: Brokers, processes: int) -> list[list[str]]:
        return [[*self._command(environment), "worker", "--concurrency=30", "--delete-jobs=always"]] * processes

    def left(self, brokers: Brokers) -> int:
        return int(brokers.postgres.ask("SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"))


PEER = Procrastinate()
