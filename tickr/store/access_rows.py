"""How the SQL stores write scopes. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tickr.scopes import Scope


def scopes_text(scopes: Iterable[Scope]) -> str:
    return " ".join(scopes)


def scopes_of(text: str) -> tuple[Scope, ...]:
    """Return the scopes that ``scopes_text`` wrote, without those that a later version knows."""
    known = {scope.value: scope for scope in Scope}
    return tuple(known[word] for word in text.split() if word in known)
