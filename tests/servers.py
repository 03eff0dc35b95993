"""Private MariaDB and Redis servers for the tests: a free port on 127.0.0.1, data in a folder that goes with them.

MariaDB keeps the durability that users have (``innodb_flush_log_at_trx_commit=1``) and offers TLS unless told not to.
``mysql_execute`` looks into any MySQL from outside, with the command-line client, so that no test leans on the driver
that it tests.
"""

from __future__ import annotations

import glob
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import redis
import trustme
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.children import POLL_S, Child, NotReady, free_port

# Not on every user's PATH; Debian keeps mariadbd there.
SBIN = os.environ.get("TICKR_TEST_SBIN", "/usr/sbin:/usr/local/sbin:/sbin")

FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"
LEAST_CONNECTIONS = 10
"""The lowest ``max_connections`` that MariaDB takes."""
NOBODYS_PORT = 1
"""A port on which no test ever starts a Redis, whose content a replica would take over."""


def program(*names: str) -> str | None:
    """Return the path of the first of ``names`` that is installed, or None."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), SBIN, f"{sys.prefix}/bin"))
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def missing_for_mysql() -> str | None:
    """Return what a private MariaDB lacks on this machine, or None if it can start."""
    lacking = [name for name in ("mariadbd", "mariadb-install-db", "mariadb") if program(name) is None]
    return f"{', '.join(lacking)} not found" if lacking else None


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
"""Any of them will do for ``tests/browser.py``."""


def missing_for_browser() -> str | None:
    """Return what a browser test lacks on this machine, or None if one can start."""
    return None if program(*BROWSERS) else "chromium is not installed"


def missing_for_redis() -> str | None:
    """Return what a private Redis lacks on this machine, or None if it can start."""
    return None if program("redis-server", "redis-check-rdb") else "redis-server not found"


def faketime() -> str | None:
    """Return the path of libfaketime, which gives a process a wall clock of its own, or None."""
    return next(iter(sorted(glob.glob(os.environ.get("TICKR_TEST_FAKETIME", FAKETIME)))), None)


def missing_for_clocks() -> str | None:
    """Return what a process with a clock of its own lacks on this machine, or None if it can start."""
    return None if faketime() else "libfaketime is not installed"


def mysql_execute(url: str, sql: str, *, timeout_s: float = 30.0) -> list[list[str]]:
    """Run ``sql`` on the server of ``url`` and return the rows, every value as text and NULL as ``"NULL"``.

    Raises: OSError: no answer, a refused login or a faulty statement; the message is the client's.
    """
    at = urlsplit(url)
    client = program("mariadb", "mysql")
    if client is None:
        raise OSError("no mariadb or mysql command-line client found")
    command = [client, "--no-defaults", "--protocol=TCP", "--batch", "--skip-column-names", "--connect-timeout=10"]
    # Ours are asked in the clear, as TLS takes five times as long; others may take passwords over TLS alone.
    command.append("--loose-skip-ssl" if at.port in _ours else "--loose-skip-ssl-verify-server-cert")
    command += [f"--host={at.hostname}", f"--port={at.port or 3306}"]
    command += [f"--user={unquote(at.username or '')}", f"--execute={sql}"]
    if at.path.strip("/"):
        command.append(at.path.strip("/"))
    environment = {**os.environ, "MYSQL_PWD": unquote(at.password or "")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise OSError(f"no answer from {at.hostname}:{at.port} within {timeout_s:g} s") from None
    if done.returncode != 0:
        raise OSError(done.stderr.strip())
    return [line.split("\t") for line in done.stdout.splitlines()]


_ours: set[int] = set()
"""The ports of the servers that this process has made."""
_installed: dict[Path, bytes] = {}
"""Each file of a MariaDB that has never run, packed; kept from the first one, as the installer takes seconds."""


@contextmanager
def mysql_database(server_url: str) -> Iterator[str]:
    """Make an empty database on a server; the URL of it, which is dropped at the end."""
    name = f"tickr_test_{uuid.uuid4().hex[:12]}"
    mysql_execute(server_url, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    finally:
        mysql_execute(server_url, f"DROP DATABASE {name}")


class MariaDB(Child):
    """A private MariaDB with a database ``tickr``, a user who may do anything and one who may do all in it.

    Args:
      tls: offer TLS with a certificate for ``localhost`` and ``127.0.0.1``, signed by ``ssl_ca``; without, the server
        speaks plaintext alone. None: as the server does it by itself, with TLS from 11.4 on.
      options: more arguments for mariadbd, like ``--max-connections=5``.
      data: where its data is, or is made, and stays, whole after ``shut_down``; otherwise the next start recovers it.

    Attributes:
      url: ``mysql://tickr:…@127.0.0.1:port/tickr``, the same over restarts.
      ordinary_url: the same for the user ``ordinary``, whom ``read_only`` and ``limit_connections`` meet.
      ssl_ca: path of the certificate authority's PEM file; None without TLS.
    """

    name = "mariadb"

    def __init__(self, *, tls: bool | None = True, options: Sequence[str] = (), data: Path | None = None) -> None:
        if missing := missing_for_mysql():
            raise NotReady(missing)
        super().__init__()
        self.port = free_port()
        _ours.add(self.port)
        self.url = f"mysql://tickr:t%2Fickr@127.0.0.1:{self.port}/tickr"
        self.ordinary_url = self.url.replace("//tickr:", "//ordinary:")
        self._places: list[socket.socket] = []
        self.ssl_ca = self.folder / "ca.pem" if tls else None
        self._options = [*(self._certificate() if tls else ["--skip-ssl"] if tls is False else []), *options]
        self._data = data or self.folder / "data"

    def _certificate(self) -> list[str]:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.folder / "ca.pem")
        issued = authority.issue_cert("localhost", "127.0.0.1")
        issued.private_key_pem.write_to_path(self.folder / "key.pem")
        for pem in issued.cert_chain_pems:
            pem.write_to_path(self.folder / "cert.pem", append=True)
        return [f"--ssl-cert={self.folder}/cert.pem", f"--ssl-key={self.folder}/key.pem"]

    def _settings(self) -> list[str]:
        # As root the server insists on being told so; as anybody else it may not change its user.
        user = ["--user=root"] if os.geteuid() == 0 else []
        # A server that starts removes every temporary table from its tmpdir, also those of others, who then crash.
        folders = [f"--datadir={self._data}", f"--tmpdir={self.folder}"]
        return ["--no-defaults", *folders, "--innodb-log-file-size=32M", *user]

    def start(self, *, wait: bool = True) -> None:
        if not self._data.exists():
            self._create()
        (self.folder / "init.sql").write_text(self._at_each_start())
        super().start(wait=wait)

    def _at_each_start(self) -> str:
        """One statement a line, each harmless to repeat."""
        return (
            "CREATE DATABASE IF NOT EXISTS tickr CHARACTER SET utf8mb4;\n"
            "CREATE USER IF NOT EXISTS tickr@'%' IDENTIFIED BY 't/ickr';\n"
            "GRANT ALL ON *.* TO tickr@'%' WITH GRANT OPTION;\n"
            "CREATE USER IF NOT EXISTS ordinary@'%' IDENTIFIED BY 't/ickr';\n"
            "GRANT ALL ON tickr.* TO ordinary@'%';\n"
        )

    def shut_down(self, within_s: float = 300.0) -> None:
        """Have everything written to its files, and end."""
        self.terminate()
        self.wait(within_s)

    def _create(self) -> None:
        if not _installed:
            self._install()
            files = [path for path in self._data.rglob("*") if path.is_file()]
            # They are mostly zeros. In one step, as others may be made in other threads meanwhile.
            _installed.update({path.relative_to(self._data): zlib.compress(path.read_bytes(), 1) for path in files})
        else:
            for name, packed in _installed.items():
                path = self._data / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(zlib.decompress(packed))

    def _install(self) -> None:
        installer = program("mariadb-install-db")
        assert installer is not None
        # By force: this host's name need not be known to any name server.
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve", "--force"]
        done = subprocess.run(
            [installer, *self._settings(), *options], capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode != 0:
            raise NotReady(f"mariadb-install-db failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    def command(self) -> list[str]:
        server = program("mariadbd")
        assert server is not None
        return [
            server,
            *self._settings(),
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--socket=mysql.sock",  # relative to the data: a full path is soon too long for a socket
            f"--pid-file={self.folder}/pid",
            f"--init-file={self.folder}/init.sql",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=64M",
            "--skip-name-resolve",
            *self._options,
        ]

    def answers(self) -> bool:
        return self.execute("SELECT 1") == [["1"]]

    def execute(self, sql: str) -> list[list[str]]:
        """Run ``sql`` in the database ``tickr``; see ``mysql_execute``."""
        return mysql_execute(self.url, sql)

    def read_only(self, on: bool) -> None:
        """Refuse the ordinary user's writes with error 1290, as a server does that another has replaced; or not."""
        self.execute(f"SET GLOBAL read_only = {'ON' if on else 'OFF'}")

    def limit_connections(self, places: int | None) -> None:
        """End the ordinary user's connections and let it have ``places`` at once, 0 to 10: beyond them is error 1040.

        None, or a restart: as many as usual. Call it with None in between to change the number.
        """
        if places is None:
            self._give_up_places()
            self._execute_in_a_crowd("SET GLOBAL max_connections = DEFAULT, connect_timeout = DEFAULT")
            return
        # No server takes a limit below 10, so we take places ourselves and never log in. First the places, then the
        # limit, then the killing, which the ordinary user answers by coming back at once.
        self.execute("SET GLOBAL connect_timeout = 600")
        for _ in range(LEAST_CONNECTIONS - places):
            self._places.append(socket.create_connection(("127.0.0.1", self.port), timeout=5))
            self._places[-1].recv(1)  # the greeting: from now on this one counts
        self.execute(f"SET GLOBAL max_connections = {LEAST_CONNECTIONS}; KILL CONNECTION USER ordinary")

    def _give_up_places(self) -> None:
        while self._places:
            self._places.pop().close()

    def _execute_in_a_crowd(self, sql: str) -> None:
        """Run ``sql`` though the ordinary user may be taking every place that becomes free, for a moment."""
        deadline = time.monotonic() + 5
        while True:
            try:
                self.execute(sql)
                return
            except OSError as error:
                if "Too many connections" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(POLL_S)

    def kill(self) -> None:
        self._give_up_places()
        super().kill()


class Redis(Child):
    """A private Redis that saves nothing by itself.

    Args:
      options: more settings by their names in redis.conf, like ``{"maxmemory": "10mb"}``.

    Attributes:
      url: ``redis://127.0.0.1:port/0``, the same over restarts.
    """

    name = "redis"

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        if missing := missing_for_redis():
            raise NotReady(missing)
        super().__init__()
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._options = dict(options or {})
        self._dump = self.folder / "dump.rdb"

    def command(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "dbfilename": self._dump.name,
            "save": "",
            "appendonly": "no",
            **self._options,
        }
        return [str(self._server()), *(word for name, value in settings.items() for word in (f"--{name}", value))]

    def _server(self) -> Path:
        # One program under two names; Debian's redis-tools brings it without the name that makes it a server.
        if found := program("redis-server"):
            return Path(found)
        alias = self.folder / "redis-server"
        if not alias.exists():
            alias.symlink_to(str(program("redis-check-rdb")))
        return alias

    def client(self) -> redis.Redis:
        """Return a blocking client for looking into the server from outside; the caller closes it."""
        return redis.Redis(
            host="127.0.0.1", port=self.port, socket_timeout=5, decode_responses=True, retry=Retry(NoBackoff(), 0)
        )

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError as error:  # BusyLoading is one
            raise OSError(str(error)) from None

    def readonly(self, on: bool) -> None:
        """Answer writes with READONLY, as the replica of a server that is not there; or be a server by itself again."""
        with self.client() as client:
            if on:
                client.replicaof("127.0.0.1", NOBODYS_PORT)
            else:
                client.replicaof("NO", "ONE")

    def limit_memory(self, n_bytes: int) -> None:
        """Answer writes with OOM as long as more than ``n_bytes`` are in use; 0 takes the limit away."""
        with self.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", n_bytes)

    def flush(self) -> None:
        """FLUSHALL."""
        with self.client() as client:
            client.flushall()

    def snapshot(self) -> bytes:
        """Return the whole content as it is now, for ``restore``. A restart does not bring it back by itself."""
        with self.client() as client:
            client.save()
        content = self._dump.read_bytes()
        self._dump.unlink()
        return content

    def restore(self, snapshot: bytes) -> None:
        """Kill the server and start it with an older content, as a restored backup or a stale replica would be."""
        self.kill()
        self._dump.write_bytes(snapshot)
        self.start()
        self._dump.unlink()


if __name__ == "__main__":  # `make test` asks what to install
    without = {
        "curl": "the examples in the docs use it",
        "jq": "so do they",
        "node": "it runs the feed's client in JavaScript",
        "mariadb-dump": "it copies a database to its replica",
        "systemd-analyze": "it checks the unit",
    }
    others = (f"{name} is not installed ({why})" for name, why in without.items() if program(name) is None)
    servers = (missing_for_mysql(), missing_for_redis(), missing_for_clocks(), missing_for_browser(), *others)
    lacks = [missing for missing in servers if missing]
    print("; ".join(lacks))
    sys.exit(bool(lacks))
