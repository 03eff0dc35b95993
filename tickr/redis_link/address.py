"""Where a Redis is and how to talk to it: the URL, checked, with the time-outs that every connection gets.

``redis://[user[:password]@]host[:port][/db][?namespace=t]``; ``rediss://`` for TLS, where ``ssl_ca_certs`` names the
file of a certificate authority of one's own, ``ssl_certfile`` and ``ssl_keyfile`` a client certificate.

Under Sentinel: ``redis+sentinel://[user[:password]@]host[:port],…/master[/db]``, or ``rediss+sentinel://``, with
``sentinel_username`` and ``sentinel_password`` for the sentinels themselves; the login is for the master.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tickr.errors import ConfigError
from tickr.values import TORN_LOGIN, has_torn_login

if TYPE_CHECKING:
    import redis

CONNECT_S = 1.0
ANSWER_S = 1.0
"""A server that takes longer than this, in seconds, to let us in or to answer a short command is away."""

DEFAULT_NAMESPACE = "t"
SENTINEL_PORT = 26379
MAX_SENTINELS = 9
"""More make no majority safer, and each may cost its time to be asked."""
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
SENTINEL_LOGIN = ("sentinel_username", "sentinel_password")
NO_HOST = "index: there is no such host name in a URL"


@dataclass(frozen=True)
class RedisAddress:
    """One database of one Redis, and the namespace of one Tickr in it.

    Attributes:
      sentinels: where the sentinels are that know where the Redis is, which they call ``master``; then ``host`` and
        ``port`` say nothing.
    """

    host: str = "localhost"
    port: int = 6379
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    tls_files: tuple[tuple[str, str], ...] = ()
    namespace: str = DEFAULT_NAMESPACE
    sentinels: tuple[tuple[str, int], ...] = ()
    master: str = ""
    sentinel_username: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.sentinels:
            return f"{self.master}/{self.db} of {','.join(f'{host}:{port}' for host, port in self.sentinels)}"
        return f"{self.host}:{self.port}/{self.db}"

    def at(self, host: str, port: int) -> RedisAddress:
        """Return the same Redis, which is there now."""
        return replace(self, host=host, port=port, sentinels=())

    def sentinel(self, host: str, port: int) -> RedisAddress:
        """Return the address of one of the sentinels."""
        return replace(self.at(host, port), db=0, username=self.sentinel_username, password=self.sentinel_password)

    def key(self, name: str) -> str:
        """Return the full name of a key. All keys of one namespace are in one slot of a cluster."""
        return f"tickr:{{{self.namespace}}}:{name}"

    def connection_class(self) -> type[redis.Connection]:
        import redis  # it takes long to load, and not every node has one

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
    except ValueError:
        raise ConfigError([NO_HOST]) from None
    if has_torn_login(parts):
        raise ConfigError([f"index: {TORN_LOGIN}"])
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    scheme, _, kind = parts.scheme.partition("+")
    tls, watched = scheme == "rediss", kind == "sentinel"
    if scheme not in ("redis", "rediss") or (kind and not watched):
        faults.append("index: a Redis URL starts with redis://, rediss://, redis+sentinel:// or rediss+sentinel://")
    named = parts.netloc.rpartition("@")[2]
    places = [_place(one, SENTINEL_PORT if watched else 6379) for one in (named.split(",") if watched else [named])]
    if any(port == 0 for _, port in places):
        faults.append("index: the port must be a number up to 65535")
    if len(places) > MAX_SENTINELS:
        faults.append(f"index: at most {MAX_SENTINELS} sentinels can be named")
    path = unquote(parts.path).strip("/")
    master, _, db = path.partition("/") if watched else ("", "", path)
    if watched and not master:
        faults.append("index: the name of the master follows the sentinels: redis+sentinel://host:26379/mymaster/0")
    db = db or "0"
    if not re.fullmatch(r"[0-9]{1,5}", db):
        faults.append("index: the database must be a number from 0 to 99999")
    namespace = query.pop("namespace", DEFAULT_NAMESPACE)
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", namespace):
        faults.append("index: the namespace may have letters, digits and '_.-', at most 64")
    files = tuple((name, query.pop(name)) for name in TLS_FILES if tls and name in query)
    login = {name: query.pop(name) for name in SENTINEL_LOGIN if watched and name in query}
    if query:
        # What holds an "@", or comes with another password, may be the end of one.
        unknown = "" if "@" in parts.query or login else f" {', '.join(map(repr, query))}"
        faults.append(f"index: unknown setting{unknown} in the URL")
    if faults:
        raise ConfigError(faults)
    host, port = places[0]
    return RedisAddress(
        host=host,
        port=port,
        sentinels=tuple(places) if watched else (),
        master=master,
        sentinel_username=login.get("sentinel_username"),
        sentinel_password=login.get("sentinel_password"),
        db=int(db),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tls,
        tls_files=files,
        namespace=namespace,
    )


def _place(named: str, usual_port: int) -> tuple[str, int]:
    """Return host and port of ``host[:port]``; port 0 if it is none. Raises: ConfigError: there is no such name."""
    try:
        parts = urlsplit(f"//{named}")
        host = parts.hostname or "localhost"
        host.encode("idna")  # as the look-up will; it would raise there
    except ValueError:
        raise ConfigError([NO_HOST]) from None
    try:
        return host, parts.port or usual_port
    except ValueError:
        return host, 0
