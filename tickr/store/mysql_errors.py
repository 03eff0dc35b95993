"""What MySQL's error numbers mean for us. Pure.

In comes an error of the driver, out goes what may be done about it: the same transaction again, another connection, or
one of the store's own errors for the caller.
"""

from __future__ import annotations

from trio_mysql import err

from tickr.errors import SchemaMismatch, StoreError, StoreUnavailable

CLIENT_ERRORS = range(2000, 3000)
"""Said by the client's side of a connection that cannot be used any more, or was never made."""

_LOST = {
    0,  # InterfaceError: the connection was closed before
    1053,  # server shutdown in progress
    *range(1158, 1162),  # network errors as the server sees them
    1927,  # MariaDB: connection was killed
    4031,  # MySQL: closed for inactivity
}
_REPEATABLE = {
    *(1020, 1205, 1213),  # record has changed, lock wait timeout, deadlock
    1412,  # the table was altered meanwhile
    3101,  # MySQL group replication: another member has changed the same
}
_CROWDED = {
    *(1040, 1203, 1226),  # too many connections: in all, of this user, of this account
    *(1041, 1135, 1637),  # no memory, no thread, no transaction left for one more
}
_DEMOTED = {1290, 1792, 1836, 1047, 3100}  # read-only, or its cluster is not ready
_INTERRUPTED = 1317  # by KILL QUERY, of somebody else's
_UNAVAILABLE = {
    *(1042, 1044, 1045, 1049, 1129, 1130, 1698),  # who we are, or where we come from, is refused
    *(1021, 1026, 1030, 1037, 1114, 1180),  # disk, memory or engine at its end
    *(1969, 3024),  # the statement was ended by its time limit
}
_SCHEMA = {1054, 1146}  # unknown column, no such table


def number(error: err.MySQLError) -> int:
    """Return the error's number; 0 when it has none."""
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) else 0


def is_lost(error: err.MySQLError) -> bool:
    """Whether the connection is gone. What became of the last statement is open."""
    return number(error) in CLIENT_ERRORS or number(error) in _LOST


def is_repeatable(error: err.MySQLError) -> bool:
    """Whether the server gave up this transaction for another's sake."""
    return number(error) in _REPEATABLE


def is_crowded(error: err.MySQLError) -> bool:
    """Whether the server had no connection left for us just then."""
    return number(error) in _CROWDED


def spoils(error: BaseException) -> bool:
    """Whether the connection must not be used again: it is gone, or its server takes no writes (any more).

    After a fail-over the old primary goes on answering; only a new connection finds the way to the new one.
    """
    return isinstance(error, err.MySQLError) and (is_lost(error) or number(error) in _DEMOTED)


def is_passing(error: err.MySQLError) -> bool:
    """Whether the same may go well the next time, on a new connection if this one is spoiled."""
    return spoils(error) or is_repeatable(error) or is_crowded(error) or number(error) == _INTERRUPTED


def is_duplicate(error: err.MySQLError) -> bool:
    return number(error) == 1062


def is_there_already(error: err.MySQLError) -> bool:
    """Whether the column or the key to be added exists, or the column to be dropped does not."""
    return number(error) in (1060, 1061, 1091)


def for_caller(error: err.MySQLError, *, outcome_unknown: bool) -> StoreError:
    """Return the error that a store method raises for ``error``."""
    code, said = number(error), f"MySQL: {error.args[-1] if error.args else error} ({number(error)})"
    if is_passing(error) or code in _UNAVAILABLE:
        return StoreUnavailable(said, outcome_unknown=outcome_unknown)
    if code in _SCHEMA:
        return SchemaMismatch(f"{said}; run `tickr migrate`.")
    return StoreError(said)
