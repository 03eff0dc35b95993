"""What a person types after ``/``, for the list that it is typed in.

The server looks for jobs: words like ``type=report`` are its parameters, what is left is text in the payload. All other
lists are small and looked through here, by any text that a row shows.
"""

from __future__ import annotations

from collections.abc import Iterable

PARAMETERS = {
    *("state", "type", "queue", "label", "error", "schedule", "parent"),
    *("created_after", "created_before", "finished_after", "finished_before"),
}
"""Of ``GET /jobs``; ``payload.<path>`` besides."""


def query(text: str) -> dict[str, list[str]]:
    """Return the parameters of ``GET /jobs`` that ``text`` asks for."""
    found: dict[str, list[str]] = {}
    rest = []
    for word in text.split():
        name, equals, value = word.partition("=")
        if equals and (name in PARAMETERS or name.startswith("payload.")):
            found.setdefault(name, []).append(value)
        else:
            rest.append(word)
    return found | ({"payload~": [" ".join(rest)]} if rest else {})


def passes(text: str, words: Iterable[str]) -> bool:
    """Return whether every word of ``text`` stands in one of ``words``, in any case."""
    shown = "\n".join(words).casefold()
    return all(word in shown for word in text.casefold().split())
