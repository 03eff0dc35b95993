"""Which schema a database has, which one this program needs, and the steps between. No I/O but the package's own files.

Each dialect has numbered scripts, ``schema/<dialect>/0001_name.sql``; the highest number is the schema this program
knows. A database records what was applied in ``schema_version``. An empty database is brought up without asking, an
older one only when asked (``tickr migrate``), a newer one never: ``pending`` decides, and the adapter that owns the
connection runs the statements under a lock of its own (SQLite: one ``BEGIN IMMEDIATE``; MySQL: ``GET_LOCK``).

Order in an adapter: lock, create ``VERSION_TABLE``, read what was applied, ``pending``, then the statements of all
migrations and then their rows. MySQL commits every DDL statement by itself, so its scripts must be safe to run again
from the start (``IF NOT EXISTS``, or adding a column or key): the rows come last.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from importlib import resources
from typing import NamedTuple

from tickr.errors import SchemaMismatch

VERSION_TABLE = (
    "CREATE TABLE IF NOT EXISTS schema_version "
    "(version INTEGER NOT NULL PRIMARY KEY, name VARCHAR(100) NOT NULL, applied_at BIGINT NOT NULL)"
)
"""Understood by SQLite, MySQL and MariaDB. ``applied_at`` in microseconds UTC."""


class Migration(NamedTuple):
    """One numbered step. ``statements`` hold one SQL statement each, without its semicolon, in order."""

    version: int
    name: str
    statements: tuple[str, ...]


def migrations(dialect: str) -> list[Migration]:
    """Return all steps of ``dialect`` (``sqlite`` or ``mysql``), by number, from 1 on."""
    folder = resources.files("tickr.store") / "schema" / dialect
    scripts = sorted((path for path in folder.iterdir() if path.name.endswith(".sql")), key=lambda path: path.name)
    found: list[Migration] = []
    for path in scripts:
        number, _, name = path.name.removesuffix(".sql").partition("_")
        version, before = int(number), found[-1].version if found else 0
        # Steps that are written at the same time have their numbers from the start, so there may be a gap meanwhile.
        assert version > before, f"{dialect}/{path.name} has the number of another"
        found.append(Migration(version, name, tuple(split(path.read_text(encoding="utf-8")))))
    return found


def pending(
    dialect: str, applied: Collection[int], *, asked: bool, other_tables: Collection[str] = ()
) -> list[Migration]:
    """Return the steps to run now, in order; an empty list when the schema is the right one.

    Args:
      applied: the numbers in ``schema_version``; empty when there is no such table or no row in it.
      asked: whether the operator asked for a migration.
      other_tables: names of the tables found when ``schema_version`` was not; a database that belongs to something
        else is left alone.
    Raises: SchemaMismatch: newer than this program, or older and not asked, or not a database of Tickr's.
    """
    known = migrations(dialect)
    have, want = max(applied, default=0), known[-1].version
    if have > want:
        raise SchemaMismatch(
            f"This database is at schema {have}, this program knows {want}: "
            "it was made by a newer Tickr; run that version, or restore a backup from before the upgrade."
        )
    if not applied and other_tables:
        some = ", ".join(sorted(other_tables)[:3])
        raise SchemaMismatch(
            f"This database has tables ({some} …) but no schema_version: it is not Tickr's. Give Tickr one of its own."
        )
    steps = [step for step in known if step.version not in applied]
    if steps and applied and not asked:
        raise SchemaMismatch(f"This database is at schema {have}, this program needs {want}: run `tickr migrate`.")
    return steps


_PIECES = re.compile(
    r"""(?P<comment> --[^\n]* | /\*.*?\*/ ) | (?P<quoted> '(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` ) | (?P<end> ; )""",
    re.VERBOSE | re.DOTALL,
)


def split(script: str) -> list[str]:
    """Return the statements of ``script``. Semicolons in strings, quoted names and comments do not end one.

    Comments are dropped, so that a server never has to guess at them. Triggers and procedures are not understood.
    """
    statements, current, at = [], "", 0
    for piece in _PIECES.finditer(script):
        current += script[at : piece.start()]
        at = piece.end()
        if piece["quoted"] is not None:
            current += piece["quoted"]
        elif piece["comment"] is not None:
            current += " "
        else:
            statements.append(current.strip())
            current = ""
    statements.append((current + script[at:]).strip())
    return [statement for statement in statements if statement]
