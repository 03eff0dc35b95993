"""The servers of docs/production.md as processes on this machine, by the very files and scripts of deploy/three-nodes/.

A machine of the guide is a set of ports here; the stable address of MySQL is one HAProxy, where the guide has one on
each machine. All else is as there: two MariaDB, of which one waits for the other; two Redis under three sentinels.
"""

from __future__ import annotations

import configparser
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from tests.children import Child, free_port
from tests.servers import MariaDB, Redis, program

FILES = Path(__file__).parent.parent.parent / "deploy" / "three-nodes"
SECRET = "secret"
"""The password of everything in the guide's files."""
MASTER = "tickr"
SCRIPT_S = 60.0


def missing_for_site() -> str | None:
    """Return what the guide's scripts lack on this machine, or None if they can run."""
    lacking = [name for name in ("haproxy", "mariadb-dump") if program(name) is None]
    return f"{', '.join(lacking)} not found" if lacking else None


def settings_of(file: Path) -> dict[str, str]:
    """Return the settings of a MariaDB's file."""
    parser = configparser.ConfigParser()
    parser.read(file)
    return dict(parser["mariadb"])


class Database(MariaDB):
    """A MariaDB by ``mysql.cnf`` and ``users.sql``. ``address`` is host:port."""

    def __init__(self, number: int) -> None:
        settings = settings_of(FILES / "mysql.cnf") | {"server_id": str(number), "bind_address": "127.0.0.1"}
        super().__init__(tls=None, options=[f"--{name}={value}" for name, value in settings.items()])
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"mysql://administrator:{SECRET}@{self.address}/tickr"

    def _at_each_start(self) -> str:
        return one_a_line(FILES / "users.sql")

    def variable(self, name: str) -> str:
        return self.execute(f"SELECT @@GLOBAL.{name}")[0][0]

    def says(self, status: str) -> str:
        return self.execute(f"SHOW GLOBAL STATUS LIKE '{status}'")[0][1]


def one_a_line(file: Path) -> str:
    """Return the statements of ``file`` as a server wants them at its start: without comments, each a line."""
    text = "".join(line for line in file.read_text().splitlines(keepends=True) if not line.startswith("--"))
    return "".join(f"{' '.join(statement.split())};\n" for statement in text.split(";") if statement.strip())


class Haproxy(Child):
    """The stable address: HAProxy by ``haproxy.cfg``, in which ``repoint.sh`` puts another server."""

    name = "haproxy"

    def __init__(self, primary: Database) -> None:
        super().__init__()
        self.port = free_port()
        self.config = self.folder / "haproxy.cfg"
        places = {"127.0.0.1:3307": f"127.0.0.1:{self.port}", "10.0.0.1:3306": primary.address}
        self.config.write_text(replaced(FILES / "haproxy.cfg", places))
        self.url = f"mysql://tickr:{SECRET}@127.0.0.1:{self.port}/tickr"

    def command(self) -> list[str]:
        return [str(program("haproxy")), "-W", "-f", str(self.config)]

    def answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            return bool(sock.recv(1))  # the database's greeting

    def kill(self) -> None:
        """SIGTERM first: its workers are not ours, and end with it."""
        if self.running:
            self.terminate()
            self.wait()
        super().kill()


class Member(Redis):
    """A Redis by ``redis.conf``; with ``of``, a replica of that one."""

    def __init__(self, of: Redis | None = None) -> None:
        super().__init__()
        self._follows = of is not None
        self._settings = self.folder / "redis.conf"
        places = {"port 6379": f"port {self.port}\ndir {self.folder}", "bind 0.0.0.0": "bind 127.0.0.1"}
        more = f"replicaof 127.0.0.1 {of.port}\n" if of else ""
        self._settings.write_text(replaced(FILES / "redis.conf", places) + more)

    def command(self) -> list[str]:
        return [str(self._server()), str(self._settings)]

    def client(self) -> redis.Redis:
        client = super().client()
        client.connection_pool.connection_kwargs["password"] = SECRET
        return client

    def answers(self) -> bool:
        return super().answers() and (not self._follows or self._is_in_sync())

    def _is_in_sync(self) -> bool:
        with self.client() as client:
            return dict(client.info("replication")).get("master_link_status") == "up"


class Sentinel(Member):
    """A sentinel by ``sentinel.conf``; ready when it knows ``others`` and a replica."""

    name = "sentinel"

    def __init__(self, master: Member, others: int) -> None:
        super().__init__()
        self._others = others
        self._settings = self.folder / "sentinel.conf"
        places = {"port 26379": f"port {self.port}", "bind 0.0.0.0": "bind 127.0.0.1"}
        places["10.0.0.1 6379"] = f"127.0.0.1 {master.port}"
        self._settings.write_text(replaced(FILES / "sentinel.conf", places))

    def command(self) -> list[str]:
        return [*super().command(), "--sentinel"]

    def answers(self) -> bool:
        return Redis.answers(self)

    def is_ready(self) -> bool:
        """Return whether it knows the others, and somebody to take over."""
        with self.client() as client:
            others = client.execute_command("SENTINEL", "SENTINELS", MASTER)
            replicas = client.execute_command("SENTINEL", "REPLICAS", MASTER)
        return len(others) == self._others and any("'ok'" in str(one) for one in replicas)

    def master(self) -> int:
        """Return the port of the Redis that it takes for the master."""
        with self.client() as client:
            return int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)[1])


def replaced(file: Path, places: dict[str, str]) -> str:
    """Return the text of ``file`` with the guide's addresses made those of this machine; each is there."""
    text = file.read_text()
    for ours, theirs in places.items():
        assert ours in text, f"{file.name} has no {ours}"
        text = text.replace(ours, theirs)
    return text


class Site:
    """All servers of the guide. Opened by ``site``.

    Attributes:
      store, index: for Tickr.
    """

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self.databases = [stack.enter_context(Database(number)) for number in (1, 2)]
        self.haproxy = stack.enter_context(Haproxy(self.databases[0]))
        (folder / ".my.cnf").write_text(
            f"[client]\nuser = administrator\npassword = {SECRET}\nprotocol = TCP\nloose-skip-ssl-verify-server-cert\n"
        )
        master = stack.enter_context(Member())
        self.redis = [master, stack.enter_context(Member(of=master))]
        self.sentinels = [stack.enter_context(Sentinel(master, others=2)) for _ in range(3)]
        places = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        self.store = self.haproxy.url
        self.index = f"redis+sentinel://:{SECRET}@{places}/{MASTER}/0?sentinel_password={SECRET}"

    def named_master(self) -> Member | None:
        """Return which Redis all sentinels that live name, or None as long as they do not agree."""
        ports = {one.master() for one in self.sentinels if one.running}
        return next((one for one in self.redis if {one.port} == ports), None)

    def script(self, name: str, *arguments: str) -> str:
        """Run a script of the guide as its administrator would. Returns what it says."""
        environment = os.environ | {
            "HOME": str(self._folder),
            "REPLICATION_PASSWORD": SECRET,
            "HAPROXY_CONFIG": str(self.haproxy.config),
            "HAPROXY_RELOAD": f"kill -USR2 {self.haproxy.pid}",
        }
        done = subprocess.run(
            [str(FILES / name), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=SCRIPT_S,
            check=False,
        )
        assert done.returncode == 0, f"{name} {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Run all servers, none of them replicated yet and the first database the primary, while the block lasts."""
    with ExitStack() as stack:
        yield Site(stack, folder)
