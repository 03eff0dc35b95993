"""The certificate that the API's port shows to clients: read from its files, and again when they change.

A certificate is renewed while the node runs (by certbot, by a cluster), so its files are looked at once a minute; every
process of a node does so by itself. Files that do not fit (yet) leave the old one in its place.
"""

from __future__ import annotations

import os
import ssl

import structlog
import trio

from tickr.config import Config
from tickr.errors import ConfigError

LOOK_EVERY_S = 60.0
"""How often the files are looked at, in seconds."""

log = structlog.get_logger("tickr.http")


class Certificate:
    """What this node shows to clients.

    Args:
      cert, key: files in PEM.
    Attributes:
      context: for the next connection.
    Raises: ConfigError: they cannot be read, or do not fit.
    """

    def __init__(self, cert: str, key: str) -> None:
        self._cert, self._key = cert, key
        self._marks = self._read_marks()
        self.context = self._read()

    async def watch(self) -> None:
        """Take new files when they come, until cancelled."""
        while True:
            await trio.sleep(LOOK_EVERY_S)
            marks = self._read_marks()
            if marks == self._marks:
                continue
            self._marks = marks
            try:
                self.context = await trio.to_thread.run_sync(self._read)
            except ConfigError as error:
                log.error("tls.not_renewed", reason=" ".join(error.faults))
            else:
                log.info("tls.renewed", cert=self._cert)

    def _read_marks(self) -> list[tuple[int, int, int] | None]:
        """Return by what a change of the files is seen; None for one that is not there."""
        return [_mark(path) for path in (self._cert, self._key)]

    def _read(self) -> ssl.SSLContext:
        for path, name in ((self._cert, "--tls-cert"), (self._key, "--tls-key")):
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                raise ConfigError([f"{name}: {path} cannot be read: {error.strerror}."]) from None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._cert, self._key, password=_refuse_password)
        except ssl.SSLError as error:
            raise ConfigError([self._why_not(error)]) from None
        except _HasPassword:
            wish = "write it without, readable by this program alone"
            raise ConfigError([f"--tls-key: {self._key} is encrypted with a password; {wish}."]) from None
        return context

    def _why_not(self, error: ssl.SSLError) -> str:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"--tls-key: {self._key} is not the key of the certificate in {self._cert}."
        return (
            f"--tls-cert: {self._cert} with the key {self._key} is no certificate to be used: both must be in PEM, the "
            f"node's own certificate first ({error.reason or error})."
        )


class _HasPassword(Exception):
    pass


def _refuse_password() -> str:
    """Stand where OpenSSL would ask on the terminal, and wait."""
    raise _HasPassword


def _mark(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def certificate_of(config: Config) -> Certificate | None:
    """Return the certificate of a node that speaks HTTPS, or None. Raises: ConfigError."""
    if config.tls_cert is None or config.tls_key is None or "api" not in config.roles:
        return None
    return Certificate(config.tls_cert, config.tls_key)
