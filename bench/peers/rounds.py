"""The rounds: install, calibrate, and let everybody work in turn, several times over.

Comes in: which peers, how many rounds. Goes out: one record per peer, as it goes into the file of raw figures. A peer
that fails is recorded with its error, and the others go on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from subprocess import SubprocessError
from typing import Any

from redis.exceptions import RedisError

from bench.peers.brokers import Brokers
from bench.peers.contract import Environment, Peer
from bench.peers.environment import NotInstalled, environment_of, versions
from bench.peers.stage import PeerFailed, Stage, Took
from tests.children import NotReady

ROUND_S = 4.0
"""What a round shall take, in seconds; the calibration chooses the number of jobs for it."""
PROBES = 2
"""How often each number of processes is tried, in turn with the others; the best counts."""
PROBE_S = 1.0
"""A probe that is over sooner says little; it is done again with more jobs."""
LEAST_JOBS = 200
FAILURES = 2
"""A peer that has failed in so many rounds sits out the rest."""
LATENCY_SAMPLES = 40
LATENCY_S = 2.0
"""How long each round looks at the idle latency."""

Record = dict[str, Any]


class Contest:
    """Everybody who takes part, and what was measured of them.

    Attributes:
      records: by the peer's name: version, packages, probes (lists of jobs/s by number of processes), processes, jobs,
        rounds, failures (in the words of whoever failed), and whether it is ``out``.
    """

    def __init__(self, peers: Sequence[Peer], brokers: Brokers, *, jobs: int | None = None) -> None:
        self._peers = peers
        self._brokers = brokers
        self._jobs = jobs
        self._environments: dict[str, Environment] = {}
        self.records: dict[str, Record] = {peer.name: _blank(peer) for peer in peers}

    def _fit(self) -> list[Peer]:
        return [peer for peer in self._peers if not self.records[peer.name]["out"]]

    @contextmanager
    def _noting(self, peer: Peer) -> Iterator[None]:
        try:
            yield
        except (NotInstalled, NotReady, PeerFailed, OSError, RedisError, SubprocessError) as error:
            # The log that comes behind the first line is for who looks on; it is full of this machine's paths.
            self.records[peer.name]["failures"].append(str(error).splitlines()[0].partition("; the end of its log")[0])
            _say(f"{peer.title} failed: {error}")

    def install(self) -> None:
        for peer in self._peers:
            self.records[peer.name]["out"] = True
            with self._noting(peer):
                for server in peer.servers:
                    if server in self._brokers.failed:
                        raise NotReady(f"{server}: {self._brokers.failed[server]}")
                environment = self._environments[peer.name] = environment_of(peer)
                packages = versions(peer, environment)
                self.records[peer.name].update(packages=packages, version=packages[peer.version_of], out=False)

    def calibrate(self) -> None:
        """Choose how many processes and how many jobs each peer gets."""
        for peer in self._fit():
            record = self.records[peer.name]
            for processes in [*peer.processes] * PROBES:
                with self._noting(peer):
                    rate = round(self._probe(peer, processes), 1)
                    record["probes"].setdefault(str(processes), []).append(rate)
                    _say(f"calibrating {peer.title}, {processes} processes: {rate:,.0f} jobs/s")
            if best := {processes: max(rates) for processes, rates in record["probes"].items()}:
                record["processes"] = int(max(best, key=best.__getitem__))
                record["jobs"] = self._jobs or max(LEAST_JOBS, int(max(best.values()) * ROUND_S))
            else:
                record["out"] = True

    def _probe(self, peer: Peer, processes: int) -> float:
        with Stage(peer, self._environments[peer.name], self._brokers, processes) as stage:
            took = stage.run(peer.probe)
            if took.seconds < PROBE_S:
                took = stage.run(round(peer.probe * min(10.0, 1.5 * PROBE_S / took.seconds)))
        return took.jobs / took.seconds

    def rounds(self, count: int) -> None:
        """Let everybody work ``count`` times: in order, then in the opposite order, and so on."""
        for number in range(count):
            for peer in self._fit()[:: -1 if number % 2 else 1]:
                record = self.records[peer.name]
                before = len(record["failures"])
                with self._noting(peer):
                    record["rounds"].append(self._round(peer, number))
                record["failed_rounds"] += len(record["failures"]) - before
                record["out"] = record["failed_rounds"] >= FAILURES

    def _round(self, peer: Peer, number: int) -> Record:
        record = self.records[peer.name]
        load = os.getloadavg()[0]
        with Stage(peer, self._environments[peer.name], self._brokers, record["processes"]) as stage:
            took = stage.run(int(record["jobs"]))
            latencies = stage.latencies_ms(LATENCY_SAMPLES, LATENCY_S)
        figures = {
            "round": number,
            **_figures(took),
            "latencies_ms": [round(ms, 3) for ms in latencies],
            "load_before": load,
        }
        _say(f"round {number + 1}, {peer.title}: {figures['jobs_per_s']:,.0f} jobs/s")
        return figures


def _blank(peer: Peer) -> Record:
    return {
        "title": peer.title,
        "version": None,
        "packages": {},
        "servers": list(peer.servers),
        "facts": asdict(peer.facts),
        "probes": {},
        "processes": None,
        "jobs": None,
        "rounds": [],
        "failures": [],
        "failed_rounds": 0,
        "out": False,
    }


def _figures(took: Took) -> Mapping[str, Any]:
    sides = ("worker", "broker", "producer")
    return {
        **asdict(took),
        "jobs_per_s": round(took.jobs / took.seconds, 1),
        **{f"{side}_us": round(took.cpu_s[side] / took.jobs * 1e6, 1) for side in sides},
        "others_share": round(took.cpu_s["others"] / took.seconds, 2),
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
