"""A private PostgreSQL: a free port on 127.0.0.1, data in a folder that goes with it, and a session to question it.

The server refuses to run as root; started by root, it runs as Debian's user ``postgres``. Its durability is the
default and said all the same: ``fsync=on``, ``synchronous_commit=on``.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.children import Child, NotReady, free_port

DEBIAN = "/usr/lib/postgresql/*/bin"
USERS = ("postgres", "nobody")
"""Whom root becomes; the first that exists."""
STOP_WITHIN_S = 5.0


def program(name: str) -> str | None:
    """Return the path of a program of PostgreSQL, the newest that Debian has installed first, or None."""

    def version(path: str) -> int:
        return int(re.sub(r"\D", "", Path(path).parts[-3]) or 0)

    found = sorted(glob.glob(f"{DEBIAN}/{name}"), key=version)
    return found[-1] if found else shutil.which(name)


def missing_for_postgres() -> str | None:
    """Return what a private PostgreSQL lacks on this machine, or None if it can start."""
    lacking = [name for name in ("postgres", "initdb", "psql") if program(name) is None]
    return f"{', '.join(lacking)} not found (Debian: postgresql)" if lacking else None


class Postgres(Child):
    """A private server with the user ``tickr`` and an empty database ``peers``, which ``reset`` makes anew.

    Attributes:
      url: of the database, for every client.
    """

    name = "postgres"

    def __init__(self) -> None:
        if missing := missing_for_postgres():
            raise NotReady(missing)
        super().__init__()
        self.port = free_port()
        self.url = f"postgresql://tickr@127.0.0.1:{self.port}/peers"
        self._data = self.folder / "data"
        self._session: subprocess.Popen[str] | None = None

    def _as_user(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        known = {user.pw_name: user for user in pwd.getpwall()}
        user = next(known[name] for name in USERS if name in known)
        os.chown(self.folder, user.pw_uid, user.pw_gid)
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    def start(self, *, wait: bool = True) -> None:
        if not self._data.exists():
            options = ["--auth=trust", "--username=tickr", "--encoding=UTF8", "--locale=C", "--no-sync"]
            self._run([*self._as_user(), str(program("initdb")), f"--pgdata={self._data}", *options])
        super().start(wait=wait)

    def _run(self, command: Sequence[str]) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=self.folder)
        if done.returncode != 0:
            raise NotReady(f"{command[-1]}: {done.stdout[-1000:]}{done.stderr[-1000:]}")
        return done.stdout

    def command(self) -> list[str]:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [*self._as_user(), str(program("postgres")), "-D", str(self._data), *words]

    def answers(self) -> bool:
        try:
            return self.execute("SELECT 1", database="postgres") == "1\n"
        except NotReady as refusal:
            raise OSError(str(refusal)) from None

    def execute(self, sql: str, *, database: str = "peers") -> str:
        """Run one statement and return its rows, columns separated by ``|``."""
        at = ["--host=127.0.0.1", f"--port={self.port}", "--username=tickr", f"--dbname={database}"]
        return self._run([str(program("psql")), "-XAtq", *at, f"--command={sql}"])

    def reset(self) -> None:
        """Make the database anew, and end whoever is in it."""
        self._end_session()
        self.execute("DROP DATABASE IF EXISTS peers WITH (FORCE)", database="postgres")
        self.execute("CREATE DATABASE peers", database="postgres")

    def ask(self, sql: str) -> str:
        """Return the one value that ``sql`` selects, through a session that stays open: a fraction of a millisecond."""
        if self._session is None:
            self._session = subprocess.Popen(
                [str(program("psql")), "-XAtq", f"--dbname={self.url}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
                cwd=self.folder,
            )
        assert self._session.stdin is not None
        assert self._session.stdout is not None
        self._session.stdin.write(f"{sql};\n")
        answer = self._session.stdout.readline().strip()
        if not answer:
            raise OSError(f"PostgreSQL said nothing to {sql}")
        return answer

    def _end_session(self) -> None:
        if self._session is not None:
            self._session.kill()
            self._session.communicate()
            self._session = None

    def kill(self) -> None:
        """Stop the server at once: by its own quick way first, as its processes outlive a SIGKILL for a moment."""
        self._end_session()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_WITHIN_S)
        super().kill()
