"""What goes into a statement and what comes out of it. Pure; the one place where values become SQL."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from tickr.store.rows import Value

Parameter: TypeAlias = "Value | tuple[str | int | bytes, ...]"
"""What a ``%s`` may stand for; a tuple, never empty, becomes the list after ``IN``."""

Row: TypeAlias = tuple[bytes | None, ...]


class Result(NamedTuple):
    """What a statement gave: rows, as the server wrote them; how many rows it matched or inserted; its new id."""

    rows: tuple[Row, ...]
    affected: int
    insert_id: int


def literal(value: Parameter) -> bytes:
    """Return ``value`` as SQL. The one place where values become SQL.

    Raises: TypeError: not a str, int, bytes, None or a tuple of them, by exact type: a dict or a subclass with a
      mind of its own does not get through. ValueError: a str with a lone surrogate, an empty tuple.
    """
    if type(value) is str:
        # In UTF-8 these two are never part of another character; the session's sql_mode keeps backslash escapes.
        return b"'%s'" % value.encode().replace(b"\\", b"\\\\").replace(b"'", b"\\'")
    if type(value) is int:
        return b"%d" % value
    if type(value) is bytes:
        return b"x'%s'" % value.hex().encode()
    if value is None:
        return b"NULL"
    if type(value) is tuple:
        if not value:
            raise ValueError("an empty list cannot be written in SQL")
        if any(type(one) not in (str, int, bytes) for one in value):
            raise TypeError("a list for IN holds str, int or bytes")
        return b"(%s)" % b",".join(map(literal, value))
    raise TypeError(f"a parameter must be str, int, bytes, None or a tuple of them, not {type(value).__name__}")


def number(cell: bytes | None) -> int:
    """Return the integer in a cell that is never NULL."""
    assert cell is not None
    return int(cell)


def text(cell: bytes | None) -> str:
    """Return the text in a cell that is never NULL."""
    assert cell is not None
    return cell.decode()


def raw(cell: bytes | None) -> bytes:
    """Return the bytes in a cell that is never NULL."""
    assert cell is not None
    return cell


def number_or_none(cell: bytes | None) -> int | None:
    return None if cell is None else int(cell)


def text_or_none(cell: bytes | None) -> str | None:
    return None if cell is None else cell.decode()
