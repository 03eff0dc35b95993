"""What the runner has to know of a peer. Each ``adapter.py`` writes it down; ``catalogue.py`` has all of them.

A peer's own program, ``app.py`` or ``app.mjs``, knows nothing of this: it runs in the peer's environment, finds its
broker in variables (``stage.py``, ``variables``) and marks each job that starts (``marks.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.peers.brokers import Brokers, Server

ROOT = Path(__file__).parents[2]
CHUNK = 1000
"""How many jobs go in one bulk call, for each peer that has one: as many as a batch of Tickr takes."""


@dataclass(frozen=True)
class Facts:
    """One row of the fairness table: what a peer does for a no-op job as it is set up here, in a few words each.

    Attributes:
      broker: where the jobs are, and with what durability.
      durable: whether an accepted job survives a crash of the broker's machine.
      delivery: what becomes of a job whose worker dies in the middle of it.
      results: whether what a handler returns is kept.
      after: what is left of a job that has succeeded.
      history: whether one can read afterwards what happened to a job.
      bulk: how jobs are submitted.
    """

    broker: str
    durable: str
    delivery: str
    results: str
    after: str
    history: str
    bulk: str


@dataclass(frozen=True)
class Environment:
    """Where a peer is installed.

    Attributes:
      folder: a virtual environment, or the folder that holds ``node_modules``.
      programs: the folder of the commands that its packages brought.
      interpreter: ``python`` or ``node``.
    """

    folder: Path
    programs: Path
    interpreter: str


class Peer(ABC):
    """One system under test.

    Attributes:
      name: as in ``--peers``; also the name of its folder here, unless ``home`` says another.
      title: as in the tables.
      version_of: the package whose version is the peer's.
      language: of its program; "tickr" is Python in the environment that runs this.
      servers: the private servers that it works on.
      processes: numbers of worker processes to try; the fastest is taken.
      probe: how many jobs are about a second's work; the calibration begins with them.
    """

    name: str
    title: str
    version_of: str
    language: Literal["python", "node", "tickr"]
    servers: Sequence[Server]
    facts: Facts
    processes: Sequence[int] = (1, 2)
    probe: int = 1000
    home: str | None = None

    @property
    def folder(self) -> Path:
        return Path(__file__).parent / (self.home or self.name)

    @property
    def packages(self) -> Path | None:
        """The file with the pinned packages; None for Tickr, which is installed already."""
        names = {"python": "requirements.txt", "node": "package.json"}
        return self.folder / names[self.language] if self.language in names else None

    @abstractmethod
    def worker(self, environment: Environment, brokers: Brokers, processes: int) -> list[list[str]]:
        """Return the commands that start ``processes`` worker processes in all."""

    def producer(self, environment: Environment) -> list[str]:
        """Return the command of the load generator, which speaks as ``producer.py`` does."""
        if self.language == "node":
            return [environment.interpreter, str(self.folder / "app.mjs"), "producer"]
        return [environment.interpreter, "-m", "bench.peers.producer", f"bench.peers.{self.folder.name}.app"]

    def prepare(self, environment: Environment, brokers: Brokers) -> list[str] | None:
        """Return a command to run before the workers start, to make tables for instance."""
        return None

    @abstractmethod
    def left(self, brokers: Brokers) -> int:
        """Return how many accepted jobs the broker has not seen the end of."""
