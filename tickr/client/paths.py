"""Paths of the API with names that a caller has given: none can lead to another call than the one that is meant."""

from __future__ import annotations

from urllib.parse import quote

from tickr.client.errors import found_here


def path(what: str, name: str, action: str = "") -> str:
    """Return the path of one thing, like ``/queues/mails/pause``.

    Raises: Invalid: nothing has such a name, and on the way it would be taken for a part of the path: it is empty,
      ``.`` or ``..``, or has a slash, which whoever decodes the path takes for one of its own.
    """
    if name in ("", ".", "..") or "/" in name:
        raise found_here(f"{name!r} is no name: it must not be empty, '.' or '..', or have a slash.")
    try:
        return f"/{what}/{quote(name, safe='')}{action}"
    except UnicodeEncodeError:
        raise found_here(f"{name!r} is no name: it has half a character.") from None
