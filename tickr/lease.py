"""A node's lease: the right of this process to its running jobs, kept by one row and its heartbeat.

A node that cannot renew in time stops its jobs *before* the others may take them, judged by the monotonic clock; a node
that finds its row gone registers anew under a new id. Either way ``keep`` returns and the caller starts over.

State: ``node_id`` is written here by ``register`` and read by whoever claims.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import msgspec
import structlog
import trio
import uuid_utils

from tickr.config import Config
from tickr.errors import StoreUnavailable
from tickr.failpoints import reach
from tickr.store.contract import Node, Running, Store

HEARTBEATS_PER_LEASE = 3
SELF_FENCE = 0.8
"""Share of the lease after which a node that could not renew gives its jobs up; the rest is for them to unwind."""
RETRY_S = 1.0
"""Pause between tries while the store is away, in seconds."""

log = structlog.get_logger("tickr.lease")


class Lease:
    """This process's row among the nodes, and which id it has now.

    Args:
      about: what the others may know of it; its ``id`` is replaced at each ``register``.
      lease_s: seconds the row holds without a heartbeat.
    """

    def __init__(self, store: Store, about: Node, *, lease_s: float) -> None:
        self._store = store
        self._about = about
        self._lease_s = lease_s
        self._renewed_at = float("-inf")

    @property
    def node_id(self) -> str:
        return self._about.id

    @property
    def about(self) -> Node:
        """What the others know of it."""
        return self._about

    def be(self, **fields: bool | int) -> None:
        """Be so (fields of ``about``), and under the next id as well, should this one be lost."""
        self._about = msgspec.structs.replace(self._about, **fields)

    @property
    def age_s(self) -> float:
        """How long ago it was renewed, in seconds."""
        return trio.current_time() - self._renewed_at

    @property
    def holds(self) -> bool:
        """Whether it was renewed lately enough to begin new work; after a freeze it may be over unnoticed."""
        return trio.current_time() < self._renewed_at + SELF_FENCE * self._lease_s

    async def register(self) -> None:
        """Register under a new id.

        Raises: StoreUnavailable: the row may be there; nobody will renew it, so it ends by itself.
        """
        self._about = msgspec.structs.replace(self._about, id=str(uuid_utils.uuid7()))
        asked_at = trio.current_time()
        await self._store.register(self._about, lease_s=self._lease_s)
        await reach("lease.after_register")
        self._renewed_at = asked_at
        log.info("node.registered", node=self.node_id)

    async def register_patiently(self) -> None:
        """Register, trying until the store takes it. Cancellation: as an error of ``register``."""
        told = False
        while True:
            try:
                return await self.register()
            except StoreUnavailable as error:
                if not told:
                    log.warning("node.waiting_for_store", error=str(error))
                told = True
            await trio.sleep(RETRY_S)

    async def keep(self, heard: Callable[[list[Running]], None] | None = None) -> None:
        """Renew the lease until it is lost, then return.

        Args:
          heard: called after each heartbeat with the jobs that the store has as running here.
        Cancellation: the row stays until it ends or is released.
        """
        while True:
            await trio.sleep(self._lease_s / HEARTBEATS_PER_LEASE)
            await reach("lease.before_renew")
            running = await self._renew()
            if running is None:
                log.warning("node.lease_lost", node=self.node_id)
                await reach("lease.after_lost")
                return
            if heard:
                heard(running)

    async def release(self) -> None:
        """Take the row away, so that nothing has to wait for its end. Best effort."""
        try:
            await self._store.deregister(self.node_id)
        except StoreUnavailable:
            log.warning("node.not_deregistered", node=self.node_id, detail="its row ends by itself")

    async def _renew(self) -> list[Running] | None:
        """Send one heartbeat, again and again while the store is away; None once the lease cannot be held."""
        with trio.move_on_at(self._renewed_at + SELF_FENCE * self._lease_s):
            while True:
                asked_at = trio.current_time()
                try:
                    running = await self._store.heartbeat(self.node_id, lease_s=self._lease_s)
                except StoreUnavailable:
                    await trio.sleep(RETRY_S)
                    continue
                if running is not None:
                    self._renewed_at = asked_at
                return running
        return None


async def forget_dead_neighbours(store: Store) -> None:
    """Take away the rows of nodes that ran on this machine and are known to be dead, so their jobs go on at once.

    After ``kill -9`` and a restart nobody should wait for a lease whose owner the kernel knows to be gone. A node of
    another machine, another boot or another pid namespace is never judged.
    """
    for node in await store.nodes():
        if _is_dead(node.process):
            log.info("node.found_dead", node=node.id, pid=node.pid)
            await store.deregister(node.id)


def describe_node(config: Config, types: Iterable[str], declared: Iterable[str], keys: tuple[str, ...] = ()) -> Node:
    """Return what the others shall know of this process as a node; it has no id yet.

    Args:
      types: of its handlers. declared: the marks of the schedules in its code. keys: ids of its encryption keys.
    """
    works = "worker" in config.roles
    return Node(
        id="",
        host=socket.gethostname(),
        pid=os.getpid(),
        version=version("tickr"),
        roles=config.roles,
        types=tuple(types) if works else (),
        slots=config.workers if works else 0,
        queues=tuple(name for name, _ in config.queues or ()) if works else (),
        declared=tuple(declared),
        process=describe_process(),
        keys=keys,
    )


def describe_process() -> str:
    """Return ``<boot id>/<pid namespace>/<pid>/<start time>`` of this process, or "" where /proc does not tell."""
    try:
        return f"{_place()}/{os.getpid()}/{_start_time(os.getpid())}"
    except OSError:
        return ""


def _is_dead(process: str) -> bool:
    try:
        place, pid, started = process.rsplit("/", 2)
        if place != _place():
            return False
        os.kill(int(pid), 0)  # /proc may hide the processes of others
        return _start_time(int(pid)) != started
    except ProcessLookupError:
        return True
    except (ValueError, OSError):
        return False


def _place() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"


def _start_time(pid: int) -> str:
    """Field 22 of /proc/<pid>/stat (proc(5)): distinguishes a process from a later one with the same pid."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if fields[0] == "Z":
        raise ProcessLookupError(pid)
    return fields[19]
