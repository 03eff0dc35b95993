"""What the command line says about the certificate of a server at https://…: whom to trust, and why that fails."""

from __future__ import annotations

import ssl

from tickr.cli.exits import MISUSED, Exit
from tickr.trust import VARIABLE, trusted


def verify() -> ssl.SSLContext | bool:
    """Return what a client of httpx2 takes as ``verify``. Raises: Exit."""
    try:
        return trusted()
    except ValueError as error:
        raise Exit(f"{VARIABLE}: {error}", MISUSED) from None


def why_not_secure(error: str, url: str) -> str | None:
    """Return why no encrypted connection came about, in words that say what to do; None if that is not what failed."""
    if "CERTIFICATE_VERIFY_FAILED" in error:
        reason = error.partition("verify failed: ")[2].partition(" (_ssl")[0] or "not trusted"
        return f"The certificate of {url} is not trusted here: {reason}. Name its authority's file with {VARIABLE}."
    if "WRONG_VERSION_NUMBER" in error or "RECORD_LAYER_FAILURE" in error:
        return f"{url} does not speak HTTPS: ask with http:// instead."
    return None
