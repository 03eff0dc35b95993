"""What the world does: a feed that cannot go on, a store or an index that is away."""

from __future__ import annotations

from tickr.errors.base import TickrError


class FeedError(TickrError):
    """A subscription to the feed cannot begin, or cannot go on. Nothing was skipped in silence."""

    code = "feed"


class CursorInvalid(FeedError):
    code = "invalid_cursor"

    def __init__(self) -> None:
        super().__init__("This is not a cursor of the feed; pass one on as it came, or say after=earliest.")


class CursorExpired(FeedError):
    """Events that followed the cursor may be gone: they are no longer kept, or it belongs to another history."""

    code = "cursor_expired"

    def __init__(self) -> None:
        super().__init__(
            "The events after this cursor are no longer kept. "
            "List the jobs again (GET /jobs) and subscribe after the list's feed_cursor."
        )


class TooSlow(FeedError):
    """The subscriber did not keep up with the feed; it has everything up to ``cursor`` and may come back with it."""

    code = "too_slow"

    def __init__(self, cursor: str) -> None:
        super().__init__("Too many events were waiting for this subscriber. Come back with the last cursor.")
        self.cursor = cursor


class StoreError(TickrError):
    """The store did not do what was asked."""

    code = "store"


class StoreUnavailable(StoreError):
    """The store cannot be reached or did not answer in time.

    Args:
      message: for the operator; names files, users and hosts, but no password.
      outcome_unknown: True when the connection broke during COMMIT, so that the change may stand or not; the caller
        finds out by reading back. False: nothing was changed.
      reason: what is wrong, if more is known than that nobody answers, in words that any client may read; or "".
    """

    code = "store_unavailable"

    def __init__(self, message: str, *, outcome_unknown: bool = False, reason: str = "") -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown
        self.reason = reason


class SchemaMismatch(StoreError):
    """The database's schema is not the one this program works with. The message says what to run."""

    code = "schema_mismatch"


class LifespanFailed(TickrError):
    """What a node's handlers were to share could not be made, broke, or could not be taken down. The node has ended."""

    code = "lifespan_failed"


class IndexUnavailable(TickrError):
    """The index cannot be reached. Never a reason to refuse work: the store has everything."""

    code = "index_unavailable"


def told(error: BaseException) -> str:
    """Return what ``error`` says; if it says that no attempt to connect succeeded, then also why each failed."""
    text = str(error) or type(error).__name__
    if not text.startswith("all attempts to connect"):
        return text
    inner: BaseException = error
    # Who wraps an error keeps it as the cause, or as the argument.
    while deeper := inner.__cause__ or next((one for one in inner.args if isinstance(one, BaseException)), None):
        inner = deeper
    causes = inner.exceptions if isinstance(inner, BaseExceptionGroup) else (inner,)
    # Each begins with the address it was tried at.
    reasons = dict.fromkeys(str(cause).rpartition(": ")[2] for cause in causes)
    return f"{text}: {', '.join(reasons)}"
