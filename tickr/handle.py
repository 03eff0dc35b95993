"""A running node for the program that started it: ``tickr.serve`` hands a ``Handle`` over once the node serves.

``Stop`` is how it, the signals and a cancelled scope ask the node to end; ``service.py`` listens to it.
"""

from __future__ import annotations

from typing import Any

import trio

from tickr.api import strict, submission
from tickr.api.context import Context
from tickr.api.problems import Fault, Problem
from tickr.errors import SpecRejected
from tickr.jobs import Job
from tickr.lease import Lease


class Stop:
    """The wish that a node ends, in two phases. Anybody may ask; ``_Node`` listens."""

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


def url_of(address: tuple[str, int] | None) -> str:
    """Return where an API is that listens at ``address`` (host, port); "" without one."""
    if address is None:
        return ""
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
        self.url = url_of(address)

    @property
    def node_id(self) -> str:
        """The id under which this node holds its lease now; a new one after each lease that was lost."""
        return self._lease.node_id

    async def submit(self, type: str, payload: Any = None, **options: Any) -> Job:
        """Store a job and return it once it is durable.

        Args:
          payload: anything JSON can say; None is an empty object.
          options: the other fields of ``POST /jobs`` (``queue``, ``priority``, ``delay``, ``id`` …).
        Raises: SpecRejected, DuplicateJob, Overloaded, StoreUnavailable: see ``Intake.submit``.
        """
        try:
            body = submission.write({"type": type, "payload": {} if payload is None else payload, **options})
            strict.check(body)
            new = submission.read(body, now=self.store.now_us(), defaults=self._context.defaults)
        except Problem as problem:
            fault = problem.faults[0] if problem.faults else Fault("/payload", problem.detail)
            raise SpecRejected(fault.pointer, fault.detail, code=problem.code) from None
        job, _ = await self._context.intake.submit(new)
        return job

    async def get(self, job_id: str) -> Job | None:
        return await self.store.get(job_id)

    def stop(self) -> None:
        """Ask the node to stop gracefully; a second time, at once. ``serve`` returns when it has."""
        self._stop.ask()
