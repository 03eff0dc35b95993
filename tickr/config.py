"""What can be configured, with its defaults. Pure: reading flags, variables and the file is the command line's part."""

from __future__ import annotations

import msgspec

ROLES = ("api", "scheduler", "worker")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one node. Durations in seconds.

    Attributes:
      store: ``sqlite:///path``, ``mysql://user:pw@host:port/db`` or ``memory:``.
      index: ``heap:`` or ``redis://host:port/db``.
      host, port: where the API listens; port 0 takes a free one.
      workers: how many jobs run at once in this process.
      roles: which of ``api``, ``scheduler`` and ``worker`` this process plays.
      grace: how long a stop waits for running jobs.
      lease: how long a node may be silent before its jobs are taken over; its heartbeat comes three times as often.
      insecure: listen on other than loopback addresses without access control.
      token: bearer token with every scope; None for no access control.
      log_format: ``text``, ``json`` or ``auto`` (text on a terminal).
      http_allow_private: let ``http`` jobs call private and loopback addresses.
      max_body, max_result: bytes of a job's request, and of a handler's result.
    """

    store: str = "sqlite:///tickr.db"
    index: str = "heap:"
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 50
    roles: tuple[str, ...] = ROLES
    grace: float = 30.0
    lease: float = 15.0
    insecure: bool = False
    token: str | None = None
    log_level: str = "info"
    log_format: str = "auto"
    http_allow_private: bool = False
    smtp: str | None = None
    max_body: int = 1024 * 1024
    max_result: int = 1024 * 1024
