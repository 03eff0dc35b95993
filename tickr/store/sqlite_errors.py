"""What SQLite raises, in Tickr's words: which of its errors are the world's, and what the operator can do about them.

Misuse of SQLite (a broken constraint, a wrong parameter) is a bug here: a plain ``StoreError``, which no one takes for
an outage that passes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tickr.errors import SchemaMismatch, StoreError, StoreUnavailable

_MEANING = {
    sqlite3.SQLITE_BUSY: "another process has held it locked for too long",
    sqlite3.SQLITE_LOCKED: "it is locked",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it cannot be written",
    sqlite3.SQLITE_PERM: "access is not permitted",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; look at its folder and permissions",
    sqlite3.SQLITE_IOERR: "reading or writing failed",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore a backup",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
    sqlite3.SQLITE_INTERRUPT: "the list took too long; narrow it",  # interrupted by its own deadline alone
}


@contextmanager
def in_our_words(path: Path, *, committing: bool = False) -> Iterator[None]:
    """Turn what SQLite raises about the world into a ``StoreError`` that names ``path``.

    Args:
      committing: the block is a COMMIT, whose failure may leave its outcome unknown.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, path, committing) from error


def primary_code(error: BaseException | None) -> int:
    """Return SQLite's own code of an error, without its refinements."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def _translate(error: sqlite3.Error, path: Path, committing: bool) -> StoreError:
    bug = sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError
    if isinstance(error, bug) or not isinstance(error, sqlite3.DatabaseError):
        return StoreError(f"{path}: SQLite refused a statement ({type(error).__name__}: {error}); nothing was changed.")
    primary = primary_code(error)
    if primary == sqlite3.SQLITE_NOTADB:
        return SchemaMismatch(f"{path} is not a SQLite database; nothing was changed in it.")
    if primary in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA):
        return SchemaMismatch(f"{path} does not have the tables this program expects ({error}); run `tickr doctor`.")
    # A COMMIT that failed to reach the disk may still be found there after a crash.
    unknown = committing and primary == sqlite3.SQLITE_IOERR
    meaning = _MEANING.get(primary, "SQLite refused")
    return StoreUnavailable(f"{path}: {meaning} ({error}).", outcome_unknown=unknown, reason=meaning)
