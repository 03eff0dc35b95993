"""Where a Redis is and how to talk to it: the URL, checked, with the time-outs that every connection gets.

``redis://[user[:password]@]host[:port][/db][?namespace=t]``; ``rediss://`` for TLS, where ``ssl_ca_certs`` names the
file of a certificate authority of one's own, ``ssl_certfile`` and ``ssl_keyfile`` a client certificate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import redis

from tickr.errors import ConfigError
from tickr.values import TORN_LOGIN, has_torn_login

CONNECT_S = 1.0
ANSWER_S = 1.0
"""A server that takes longer than this, in seconds, to let us in or to answer a short command is away."""

DEFAULT_NAMESPACE = "t"
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True)
class RedisAddress:
    """One database of one Redis, and the namespace of one Tickr in it."""

    host: str = "localhost"
    port: int = 6379
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    tls_files: tuple[tuple[str, str], ...] = ()
    namespace: str = DEFAULT_NAMESPACE

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.db}"

    def key(self, name: str) -> str:
        """Return the full name of a key. All keys of one namespace are in one slot of a cluster."""
        return f"tickr:{{{self.namespace}}}:{name}"

    def connection_class(self) -> type[redis.Connection]:
        return redis.SSLConnection if self.tls else redis.Connection

    def settings(self) -> dict[str, Any]:
        """Return what every connection is made with. No retries: a failed command says so, and the link decides.

        RESP2, because it needs no HELLO and has no push messages between the replies.
        """
        return {
            "host": self.host,
            "port": self.port,
            "db": self.db,
            "username": self.username,
            "password": self.password,
            "protocol": 2,
            "socket_timeout": ANSWER_S,
            "socket_connect_timeout": CONNECT_S,
            "client_name": "tickr",
            "driver_info": None,
            **dict(self.tls_files),
        }


def parse_redis_url(url: str) -> RedisAddress:
    """Read an index URL. Raises: ConfigError: with all its faults; no password is repeated in them."""
    faults: list[str] = []
    try:
        parts = urlsplit(url)
        host = parts.hostname or "localhost"
        host.encode("idna")  # as the look-up will; it would raise there
    except ValueError:
        raise ConfigError(["index: there is no such host name in a URL"]) from None
    if has_torn_login(parts):
        raise ConfigError([f"index: {TORN_LOGIN}"])
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    tls = parts.scheme == "rediss"
    if parts.scheme not in ("redis", "rediss"):
        faults.append("index: a Redis URL starts with redis:// or rediss://")
    try:
        port = parts.port or 6379
    except ValueError:
        port = 0
        faults.append("index: the port must be a number up to 65535")
    db = unquote(parts.path).strip("/") or "0"
    if not re.fullmatch(r"[0-9]{1,5}", db):
        faults.append("index: the database must be a number from 0 to 99999")
    namespace = query.pop("namespace", DEFAULT_NAMESPACE)
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", namespace):
        faults.append("index: the namespace may have letters, digits and '_.-', at most 64")
    files = tuple((name, query.pop(name)) for name in TLS_FILES if tls and name in query)
    if query:
        # What holds an "@" may be the end of a password.
        named = "" if "@" in parts.query else f" {', '.join(map(repr, query))}"
        faults.append(f"index: unknown setting{named} in the URL")
    if faults:
        raise ConfigError(faults)
    return RedisAddress(
        host=host,
        port=port,
        db=int(db),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tls,
        tls_files=files,
        namespace=namespace,
    )
