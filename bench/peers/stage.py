"""One peer's turn: empty brokers, its workers, its load generator, and the clock.

Comes in: a peer, its environment, the running brokers. Goes out: how long so many jobs took and what they cost. Who
leaves the stage has stopped the peer's processes.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from bench.peers.brokers import Brokers
from bench.peers.contract import CHUNK, ROOT, Environment, Peer
from bench.peers.marks import VARIABLE, Marks
from bench.stage.usage import Usage
from tests.children import Child, NotReady

POLL_S = 0.005
"""How often the runner looks whether all is done: that much a round's time may be too long."""
ROUND_WITHIN_S = 30.0
"""A round that takes longer has lost jobs, or was calibrated wrongly."""
READY_WITHIN_S = 20.0
STOP_WITHIN_S = 5.0
WARM_UP = 50
"""Jobs in one wave of the warm-up."""
EVERYBODY_WITHIN_S = 5.0
"""How long waves go on until each worker process has had a job; a peer may give all of so few to one."""


class PeerFailed(Exception):
    """A peer did not do what it was asked; the message says what, with the end of its log."""


class Program(Child):
    """A peer's own process, in the peer's environment; what it started itself ends with it."""

    name = "peer"

    def __init__(self, command: Sequence[str], variables: Mapping[str, str]) -> None:
        super().__init__()
        self._command = list(command)
        self._variables = dict(variables)
        self._group_ended = False

    def command(self) -> list[str]:
        return self._command

    def environment(self) -> Mapping[str, str]:
        return self._variables

    def answers(self) -> bool:
        return True

    def told(self) -> str:
        return self._told()

    def stop_gracefully(self) -> None:
        """SIGTERM, and SIGKILL for whoever is left."""
        if self.running:
            self.terminate()
            with suppress(NotReady):
                self.wait(STOP_WITHIN_S)

    def kill(self) -> None:
        if self._process is not None and not self._group_ended:
            self._group_ended = True  # once: later its number may be somebody else's
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        super().kill()


@dataclass(frozen=True)
class Took:
    """What a run of jobs took.

    Attributes:
      seconds: from just before the first job was submitted until the broker had seen the end of the last.
      submitted_s: the part of it in which jobs were submitted.
      cpu_s: processor time of the worker, the broker, the producer, and of all others on the machine.
      extra: how many jobs ran a second time.
    """

    jobs: int
    seconds: float
    submitted_s: float
    cpu_s: Mapping[str, float]
    extra: int


class Stage:
    """A context manager: entering it starts everything and warms up. See the module.

    Raises: PeerFailed: from each method, and from entering.
    """

    def __init__(self, peer: Peer, environment: Environment, brokers: Brokers, processes: int) -> None:
        self._peer, self._environment, self._brokers, self._processes = peer, environment, brokers, processes
        self._opened = ExitStack()
        self._workers: list[Program] = []

    def __enter__(self) -> Self:
        try:
            self._brokers.reset(self._peer.servers)
            self._marks = Marks(self._brokers.folder / "marks")
            self._prepare()
            for command in self._peer.worker(self._environment, self._brokers, self._processes):
                worker = self._opened.enter_context(Program(command, self.variables()))
                self._opened.callback(worker.stop_gracefully)
                self._workers.append(worker)
            self._producer = subprocess.Popen(
                self._peer.producer(self._environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
                env=self.variables(),
                cwd=self._brokers.folder,
                start_new_session=True,
            )
            self._opened.callback(self._end_producer)
            self._heard(READY_WITHIN_S)
            self._warm_up()
        except BaseException:
            self._opened.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._opened.close()

    def variables(self) -> dict[str, str]:
        """Return the environment of the peer's processes."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TICKR_", "PYTHON"))}
        postgres = self._brokers.postgres.url if "postgres" in self._peer.servers else ""
        return {
            **kept,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            VARIABLE: str(self._marks.path),
            "PEERS_CHUNK": str(CHUNK),
            "PEERS_REDIS": self._brokers.redis_url,
            "PEERS_POSTGRES": postgres,
            "PEERS_HTTP": f"http://127.0.0.1:{self._brokers.port}",
            "PEERS_MODULES": str(self._environment.folder),
        }

    def _prepare(self) -> None:
        if command := self._peer.prepare(self._environment, self._brokers):
            done = subprocess.run(
                command,
                env=self.variables(),
                cwd=self._brokers.folder,
                capture_output=True,
                text=True,
                check=False,
                timeout=READY_WITHIN_S,
            )
            if done.returncode != 0:
                raise PeerFailed(f"{' '.join(command)}: {done.stderr.strip()[-1000:]}")

    # -- the conversation with the load generator -----------------------------------------------------------------

    def _say(self, line: str) -> None:
        assert self._producer.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, which the answer will tell
            self._producer.stdin.write(line + "\n")

    def _heard(self, within_s: float) -> dict[str, Any]:
        out = self._producer.stdout
        assert out is not None
        self._until(
            lambda: bool(select.select([out], [], [], 0)[0]), lambda: "its load generator said nothing", within_s
        )
        line = out.readline()
        if not line:
            raise PeerFailed(f"its load generator ended with code {self._producer.wait(STOP_WITHIN_S)}")
        return dict(json.loads(line))

    def _end_producer(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._producer.pid, signal.SIGKILL)
        self._producer.communicate()

    # -- waiting --------------------------------------------------------------------------------------------------

    def _until(self, fact: Callable[[], bool], what: Callable[[], str], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not fact():
            if ended := [worker for worker in self._workers if not worker.running]:
                raise PeerFailed(f"a worker ended with code {ended[0].returncode}{ended[0].told()}")
            if self._producer.poll() is not None:
                raise PeerFailed(f"its load generator ended with code {self._producer.returncode}{self._logs()}")
            if time.monotonic() > deadline:
                raise PeerFailed(f"{what()} after {within_s:g} s{self._logs()}")
            time.sleep(POLL_S)

    def _until_started(self, count: int, within_s: float) -> None:
        self._until(
            lambda: self._marks.count() >= count, lambda: f"{self._marks.count()} of {count} jobs had started", within_s
        )

    def _until_over(self) -> None:
        left = self._peer.left
        self._until(lambda: left(self._brokers) == 0, lambda: f"{left(self._brokers)} jobs were left", ROUND_WITHIN_S)

    def _logs(self) -> str:
        return "".join(worker.told() for worker in self._workers)

    def _warm_up(self) -> None:
        """Run jobs in waves until every worker process has had one, or it is plain that some get none of so few."""
        patience = time.monotonic() + EVERYBODY_WITHIN_S
        while True:
            wanted = self._marks.count() + WARM_UP
            self._say(f"many {WARM_UP}")
            self._heard(READY_WITHIN_S)
            self._until_started(wanted, READY_WITHIN_S)
            self._until_over()
            seen = {pid for _, pid in self._marks.since(0)}
            if len(seen) >= self._processes or time.monotonic() > patience:
                return

    # -- the measurements -----------------------------------------------------------------------------------------

    def run(self, jobs: int) -> Took:
        """Submit ``jobs`` as fast as the peer takes them, while it works, and wait until the last one is over."""
        before, usage = self._marks.count(), Usage(self._parties())
        self._say(f"many {jobs}")
        self._until_started(before + jobs, ROUND_WITHIN_S)
        answer = self._heard(ROUND_WITHIN_S)
        self._until_over()
        over_ns = time.monotonic_ns()
        return Took(
            jobs=jobs,
            seconds=(over_ns - answer["began_ns"]) / 1e9,
            submitted_s=(answer["ended_ns"] - answer["began_ns"]) / 1e9,
            cpu_s=usage.so_far()["cpu_s"],
            extra=self._marks.count() - before - jobs,
        )

    def _parties(self) -> dict[str, list[int]]:
        workers = [worker.pid for worker in self._workers]
        return {"worker": workers, "broker": self._brokers.pids(self._peer.servers), "producer": [self._producer.pid]}

    def latencies_ms(self, samples: int, within_s: float) -> list[float]:
        """Return submit → start of jobs that come one by one to an idle peer, in ms: at most ``samples``, in the time.

        The pauses in between are of random length, so that no peer's own rhythm of polling is met or missed.
        """
        deadline = time.monotonic() + within_s
        found: list[float] = []
        while len(found) < samples and time.monotonic() < deadline:
            self._until_over()
            time.sleep(random.uniform(0.005, 0.025))
            before = self._marks.count()
            self._say("one")
            answer = self._heard(READY_WITHIN_S)
            self._until_started(before + 1, READY_WITHIN_S)
            found.append((self._marks.since(before)[0][0] - answer["began_ns"]) / 1e6)
        return found
