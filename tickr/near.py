"""Which of the names that there are somebody may have meant with one that there is not. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

MOST = 500
"""So many names are compared at most: a few milliseconds."""
LIKENESS = 0.75
"""So much alike are they at least, by ``difflib``'s ratio from 0 to 1: "reprot" and "report" are 0.83."""
LONGEST = 128
"""So many characters of a name are compared."""


def near(name: str, known: Iterable[str]) -> str | None:
    """Return the one of ``known`` that is most like ``name``; None if none is much like it."""
    alike = (one for one in known if abs(len(one) - len(name)) <= len(name) and len(one) <= LONGEST)
    found = get_close_matches(name[:LONGEST], islice(alike, MOST), n=1, cutoff=LIKENESS)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the same as a sentence, with a space before it; "" if there is none."""
    found = near(name, known)
    return f' Did you mean "{found}"?' if found else ""
