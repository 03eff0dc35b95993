"""Where the server is and who asks: argument before variable before default; faults are told without the token."""

from __future__ import annotations

import os
import ssl
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from tickr.client.errors import found_here
from tickr.trust import trusted
from tickr.values import is_loopback
from tickr.values import token as checked_token

DEFAULT_URL = "http://127.0.0.1:8080"


class Address(NamedTuple):
    """Attributes:
    url: without a login and a slash at the end, as it may be shown.
    login: user and password that stood in it, for a proxy on the way.
    headers: go with every request; hold the token.
    through_proxies: whether the proxies of the environment are used; one has no way to this machine's loopback.
    verify: by whom the server's certificate must be vouched for.
    """

    url: str
    login: tuple[str, str] | None
    headers: dict[str, str]
    through_proxies: bool
    verify: ssl.SSLContext | bool = True


def address(url: str | None, token: str | None, ca: str | None = None) -> Address:
    """Return the address that the arguments, TICKR_URL, TICKR_TOKEN and TICKR_CA name. Raises: Invalid."""
    parts = _parts(url or os.environ.get("TICKR_URL") or DEFAULT_URL)
    login = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    token = token or os.environ.get("TICKR_TOKEN")
    headers = {"Authorization": f"Bearer {_checked(token)}"} if token else {}
    return Address(shown, login, headers, not is_loopback(parts.hostname or ""), _verify(ca))


def _parts(url: str) -> SplitResult:
    wrong = found_here("The URL must be like http://127.0.0.1:8080.")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise wrong
    return parts


def _verify(ca: str | None) -> ssl.SSLContext | bool:
    try:
        return trusted(ca)
    except ValueError as error:
        raise found_here(str(error)) from None


def _checked(token: str) -> str:
    try:
        return checked_token(token)
    except ValueError as error:
        raise found_here(f"The token {error}.") from None
