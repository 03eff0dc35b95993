"""Where a MySQL or MariaDB is and how to talk to it: the store's URL, taken apart and checked. No I/O but the CA file.

    mysql://user:password@host:3306/database?tls=required|verify&tls_ca=/path/to/ca.pem

Without ``tls`` the connection is plain. ``required`` encrypts without asking who answers, ``verify`` (the default once
there is a ``tls_ca``) also checks the certificate's chain and host name. Neither ever falls back to plaintext.
"""

from __future__ import annotations

import ssl
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from tickr.errors import ConfigError
from tickr.values import TORN_LOGIN, has_torn_login, is_loopback

DEFAULT_PORT = 3306
_TLS = ("off", "required", "verify")


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """One database on one server. The password shows in no ``repr``."""

    host: str
    port: int
    user: str
    password: str
    database: str
    tls: Literal["off", "required", "verify"] = "off"
    tls_ca: str | None = None

    def __repr__(self) -> str:
        return f"mysql://{self.user}@{self.host}:{self.port}/{self.database}"

    @property
    def is_local(self) -> bool:
        """Whether the server is this machine, so that nobody can listen on the way."""
        return is_loopback(self.host)

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what a connection is encrypted with, or None for plaintext.

        Raises: ConfigError: the CA file cannot be used.
        """
        if self.tls == "off":
            return None
        try:
            context = ssl.create_default_context(cafile=self.tls_ca)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError([f"store: tls_ca {self.tls_ca} cannot be used: {error}"]) from None
        if self.tls == "required":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def parse(url: str) -> Address:
    """Return the address in ``url``. Raises: ConfigError, with every fault; the URL itself is not repeated."""
    faults: list[str] = []
    parts = urlsplit(url)
    if has_torn_login(parts):
        raise ConfigError([f"store: {TORN_LOGIN}"])
    if parts.scheme not in ("mysql", "mariadb"):
        faults.append("store: the URL must begin with mysql:// or mariadb://")
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError:
        port = DEFAULT_PORT
        faults.append("store: the port must be a number from 1 to 65535")
    database = unquote(parts.path.strip("/"))
    if not parts.username:
        faults.append("store: the URL must name a user: mysql://user:password@host/database")
    if not database or "/" in database:
        faults.append("store: the URL must name one database: mysql://user:password@host/database")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    tls_ca = options.pop("tls_ca", None)
    tls = options.pop("tls", "verify" if tls_ca else "off")
    if tls not in _TLS:
        faults.append(f"store: tls must be one of {', '.join(_TLS)}")
    if tls_ca and tls == "required":
        faults.append("store: tls=required does not look at certificates; with tls_ca use tls=verify")
    if options:
        # What holds an "@" may be the end of a password.
        named = "" if "@" in parts.query else f" {', '.join(sorted(options))}"
        faults.append(f"store: unknown parameters{named}; there are tls and tls_ca")
    if faults:
        raise ConfigError(faults)
    return Address(
        host=parts.hostname or "127.0.0.1",
        port=port,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=database,
        tls=tls,  # type: ignore[arg-type]  # checked against _TLS above
        tls_ca=tls_ca,
    )
