"""A running node for the program that started it: ``tickr.serve`` hands a ``Handle`` over once the node serves.

``Stop`` is how it, the signals and a cancelled scope ask the node to end; ``service.py`` listens to it.
"""

from __future__ import annotations

from typing import Any, Literal

import trio

from tickr.api import operations, program
from tickr.api.context import Context
from tickr.config import Config
from tickr.edits import NO_EDIT
from tickr.jobs import Job
from tickr.lease import Lease
from tickr.operations import Operation


class Stop:
    """The wish that a node ends, in two phases. Anybody may ask; ``Service`` listens."""

    def __init__(self) -> None:
        self.draining = trio.Event()
        self.now = trio.Event()

    def ask(self) -> None:
        """Drain; asked again, end now."""
        if self.draining.is_set():
            self.now.set()
        self.draining.set()

    def drain(self) -> None:
        """Drain; asked again, nothing more."""
        self.draining.set()

    def end_now(self) -> None:
        self.draining.set()
        self.now.set()

    async def end_when_cancelled(self) -> None:
        """Have the node end now when this is cancelled."""
        try:
            await trio.sleep_forever()
        finally:
            self.end_now()


def url_of(address: tuple[str, int] | None, config: Config) -> str:
    """Return where an API is that listens at ``address`` (host, port); "" without one."""
    if address is None:
        return ""
    scheme = "https" if config.tls_cert else "http"
    host, port = address
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class Handle:
    """A running node, for the program that started it.

    Attributes:
      url, host, port: where its API listens; url is "" and port 0 for a node without the role.
      store: the store it works on.
      feed: what happens to jobs, on every node of the store.
    """

    def __init__(self, context: Context, stop: Stop, lease: Lease, address: tuple[str, int] | None) -> None:
        self._context = context
        self._stop = stop
        self._lease = lease
        self.store = context.store
        self.feed = context.feed
        self.host, self.port = address or ("", 0)
        self.url = url_of(address, context.config)

    @property
    def node_id(self) -> str:
        """The id under which this node holds its lease now; a new one after each lease that was lost."""
        return self._lease.node_id

    async def submit(self, type: str, payload: Any = None, **options: Any) -> Job:
        """Store a job and return it once it is durable.

        Args:
          payload: anything JSON can say; None is an empty object.
          options: the other fields of ``POST /jobs`` (``queue``, ``priority``, ``delay``, ``id`` …).
        Returns: the job; with ``unique`` it may be the one that holds the key.
        Raises: SpecRejected, DuplicateJob, UniqueConflict, Overloaded, StoreUnavailable: see ``Intake.submit``.
        """
        said = {"type": type, "payload": {} if payload is None else payload, **options}
        new = program.read(self.store, self._context.defaults, said)
        job, _ = await self._context.intake.submit(new)
        return self._context.vault.unpack_job(job)

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job that waits, or have one that runs stopped by its worker. Raises: see ``Intake.cancel``."""
        return self._context.vault.unpack_job(await self._context.intake.cancel(job_id))

    async def retry(self, job_id: str, **changes: Any) -> Job:
        """Run a job that has ended again, with a fresh budget of attempts.

        Args:
          changes: what is to be different about it: the fields of ``POST /jobs/<id>/retry`` (``payload``, ``queue`` …).
        Raises: SpecRejected, and see ``Intake.retry``.
        """
        edit = program.edit_of(changes, now=self.store.now_us()) if changes else NO_EDIT
        return self._context.vault.unpack_job(await self._context.intake.retry(job_id, edit=edit))

    async def operate(self, action: Literal["retry", "cancel"], **wish: Any) -> Operation:
        """Begin to retry or cancel all jobs that match, and return the operation once that is durable.

        Args:
          wish: the other fields of ``POST /operations`` (``filter``, ``all``, ``changes``, ``rate``, ``id`` …).
        Raises: SpecRejected, and see ``Intake.begin``.
        """
        asked = program.operation_of({"action": action, **wish}, now=self.store.now_us())
        operation, _ = await self._context.intake.begin(await operations.counted(self.store, asked))
        return operation

    async def get(self, job_id: str, *, decrypt: bool = False) -> Job | None:
        """Return a job as it is stored, or None; its texts are envelopes where it is encrypted.

        Args:
          decrypt: open them. Raises: CannotOpen: this node does not have the key.
        """
        job, vault = await self.store.get(job_id), self._context.vault
        return job if job is None else vault.open_job(job) if decrypt else vault.unpack_job(job)

    def stop(self) -> None:
        """Ask the node to stop gracefully; a second time, at once. ``serve`` returns when it has."""
        self._stop.ask()
