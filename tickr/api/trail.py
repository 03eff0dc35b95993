"""The trail of what people change: written before a change is made, and again when it is known how it ended.

Where it cannot be written nothing is changed. What comes at once is written together, so that a program that changes a
great deal does not wait in line for it. Not in the trail is what programs do all day: ``PLAIN``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from quart import Response, request

from tickr.api import problems
from tickr.api.callers import caller_of
from tickr.api.routes import Route
from tickr.batching import Batcher, TooLate
from tickr.errors import Overloaded, StoreError, StoreUnavailable
from tickr.store.contract import Store
from tickr.trail import MAX_WORDS, Ended, Entry, new_id

PLAIN = frozenset(
    {"submit", "submit_batch", "submit_original", "take_inbox"}
    | {"lease", "heartbeat", "complete", "fail", "end_lease"}
)
"""Names of the routes that change something and are not in the trail: to hand in jobs, and to run them."""
AT_ONCE, MOST_WAITING = 100, 2_000
"""Entries that are written together, and those that wait at most."""
BEGIN_S = 2.0
"""How long a change may wait for its entry, in seconds; then it is not made."""
END_S = 2.0
"""How long an answer may wait for its entry to be ended, in seconds; otherwise the entry stays as it is."""

log = structlog.get_logger("tickr.audit")

View = Callable[..., Awaitable[Response]]


class Trail:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._batcher = Batcher[Entry | Ended, None](
            self._write, max_items=AT_ONCE, max_bytes=1, max_waiting=MOST_WAITING
        )

    async def run(self) -> None:
        """Write until cancelled. Cancellation: what is being written may be in the store or not."""
        await self._batcher.run()

    def over(self, route: Route) -> View:
        """Return the view of ``route``, with an entry for each time it is called, if it is one that has any."""
        if route.method == "GET" or route.name in PLAIN:
            return route.view

        async def view(**arguments: Any) -> Response:
            entry = self._entry(route, arguments)
            await self._begin(entry)
            try:
                answer: Response = await route.view(**arguments)
            except Exception as error:
                answer = problems.response(problems.problem_of(error), request.path)
            made = answer.headers.get("Location", "").rpartition("/")[2]
            await self._end(entry, Ended(entry.id, answer.status_code, entry.subject or made[:MAX_WORDS]))
            return answer

        return view

    def _entry(self, route: Route, arguments: dict[str, str]) -> Entry:
        caller, now = caller_of(request), self._store.now_us()
        subject = "/".join(arguments.values())
        return Entry(
            new_id(now),
            now,
            caller.who,
            caller.token and caller.token[0],
            (request.remote_addr or "")[:100],
            route.name,
            request.method,
            request.path[:MAX_WORDS],
            subject[:MAX_WORDS],
        )

    async def _begin(self, entry: Entry) -> None:
        try:
            await self._batcher.submit(entry, within_s=BEGIN_S)
        except StoreUnavailable as error:
            raise StoreUnavailable(str(error)) from error  # whatever is known of the entry: nothing was changed
        except TooLate:
            raise StoreUnavailable("Who changes what could not be written down in time.") from None

    async def _end(self, entry: Entry, ended: Ended) -> None:
        told = entry._asdict() | {"status": ended.status, "subject": ended.subject}
        log.info("audit.changed", **{name: told[name] for name in ("who", "address", "action", "subject", "status")})
        try:
            await self._batcher.submit(ended, within_s=END_S)
        except (StoreError, Overloaded, TooLate) as error:
            log.warning("audit.unfinished", entry=entry.id, error=str(error) or type(error).__name__)

    async def _write(self, items: Sequence[Entry | Ended]) -> list[None]:
        begun = [item for item in items if isinstance(item, Entry)]
        await self._store.write_trail(begun, [item for item in items if isinstance(item, Ended)])
        return [None] * len(items)
