"""Where a Tickr listens, as load generators need it."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit


class Address(NamedTuple):
    """Host and port, and the bearer token that is asked for there, if one is."""

    host: str
    port: int
    token: str | None = None

    @classmethod
    def of(cls, url: str, token: str | None = None) -> Address:
        """Return the address in ``url``. Raises: SystemExit: it is no http URL."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
            raise SystemExit(f"--url must be like http://host:port, not {url}")
        return cls(parts.hostname, parts.port or 80, token)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def access(self) -> str:
        """The header line that shows the token; empty without one."""
        return f"Authorization: Bearer {self.token}\r\n" if self.token else ""
