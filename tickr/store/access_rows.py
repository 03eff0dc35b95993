"""How the SQL stores write tokens and the trail: names of columns, scopes. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tickr.scopes import Scope
from tickr.tokens import Token
from tickr.trail import Entry

TOKEN_COLUMNS, ENTRY_COLUMNS = ", ".join(Token._fields), ", ".join(Entry._fields)
LAST = b"\xff" * 16
"""An id that is before none."""


def scopes_text(scopes: Iterable[Scope]) -> str:
    return " ".join(scopes)


def scopes_of(text: str) -> tuple[Scope, ...]:
    """Return the scopes that ``scopes_text`` wrote, without those that a later version knows."""
    known = {scope.value: scope for scope in Scope}
    return tuple(known[word] for word in text.split() if word in known)
