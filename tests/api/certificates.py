"""An authority of the tests' own, and the files with which a server shows a certificate of it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

import trustme

from tickr.api.certificate import Certificate


class Files(NamedTuple):
    """A certificate for ``localhost`` and ``127.0.0.1``, its key, and the authority that signed it; all in PEM."""

    cert: Path
    key: Path
    ca: Path

    def issue(self, authority: trustme.CA) -> None:
        """Write them anew."""
        issued = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(self.ca)
        issued.private_key_pem.write_to_path(self.key)
        self.cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))

    def certificate(self) -> Certificate:
        return Certificate(str(self.cert), str(self.key))

    def client(self) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority alone."""
        return ssl.create_default_context(cafile=str(self.ca))


def files_in(folder: Path) -> Files:
    """Make them in ``folder``."""
    files = Files(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    files.issue(trustme.CA())
    return files
