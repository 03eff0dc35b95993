"""Which server a client of ours trusts: one whose certificate the system's authorities vouch for, or one of one's own.

For the Python client and the command line alike.
"""

from __future__ import annotations

import os
import ssl

VARIABLE = "TICKR_CA"


def trusted(ca: str | None = None) -> ssl.SSLContext | bool:
    """Return what a client of httpx2 takes as ``verify``.

    Args:
      ca: file (PEM) of the authority, and then of no other, that vouches for servers; TICKR_CA if it is None; without
        either those that httpx2 knows.
    Raises: ValueError: a sentence that says why the file cannot be used; it holds its name.
    """
    path = ca or os.environ.get(VARIABLE)
    if not path:
        return True
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:  # an SSLError, too
        reason = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise ValueError(f"The authority's file {path} cannot be used: {reason}.") from None
