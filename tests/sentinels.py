"""A Redis under Sentinel: a master, a replica and a sentinel, each a process of its own that may be killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import redis

from tests.servers import Redis

MASTER = "mymaster"
PASSWORD = "of-the-redis"
SENTINEL_PASSWORD = "of-the/sentinel"
DOWN_AFTER_MS = 500


class Sentinel(Redis):
    """A sentinel that watches ``server`` by itself: its word alone is enough for a fail-over."""

    name = "sentinel"

    def __init__(self, server: Redis) -> None:
        super().__init__()
        self._settings = self.folder / "sentinel.conf"
        self._settings.write_text(
            f"port {self.port}\nbind 127.0.0.1\nrequirepass {SENTINEL_PASSWORD}\n"
            f"sentinel monitor {MASTER} 127.0.0.1 {server.port} 1\n"
            f"sentinel auth-pass {MASTER} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {MASTER} 1000\n"
        )

    def command(self) -> list[str]:
        return [str(self._server()), str(self._settings), "--sentinel"]

    def client(self) -> redis.Redis:
        return _with_password(super().client(), SENTINEL_PASSWORD)

    def answers(self) -> bool:
        return super().answers() and self._knows_replica()

    def _knows_replica(self) -> bool:
        """Return whether there is somebody to take over: a sentinel asks its master for that once in 10 seconds."""
        with self.client() as client:
            found = client.execute_command("SENTINEL", "REPLICAS", MASTER)
            return any("master-link-status" in str(one) and "'ok'" in str(one) for one in found)

    def fail_over(self) -> None:
        """Have the replica take over from a master that is well."""
        with self.client() as client:
            client.execute_command("SENTINEL", "FAILOVER", MASTER)


class Member(Redis):
    """A master, or a replica, that asks for a password."""

    def __init__(self, of: Redis | None = None) -> None:
        self._follows = of is not None
        replica = {"replicaof": f"127.0.0.1 {of.port}"} if of else {}
        super().__init__({"requirepass": PASSWORD, "masterauth": PASSWORD, "repl-diskless-sync-delay": "0", **replica})

    def command(self) -> list[str]:
        words = super().command()
        if "--replicaof" in words:  # host and port are two words
            place = words.index("--replicaof") + 1
            words[place : place + 1] = words[place].split()
        return words

    def client(self) -> redis.Redis:
        return _with_password(super().client(), PASSWORD)

    def answers(self) -> bool:
        return super().answers() and (not self._follows or self._is_in_sync())

    def _is_in_sync(self) -> bool:
        with self.client() as client:
            return dict(client.info("replication")).get("master_link_status") == "up"


def _with_password(client: redis.Redis, password: str) -> redis.Redis:
    client.connection_pool.connection_kwargs["password"] = password
    return client


class Watched(NamedTuple):
    """Attributes:
    url: for ``--index``; names a sentinel first that is not there.
    """

    master: Member
    replica: Member
    sentinel: Sentinel
    url: str


@contextmanager
def watched() -> Iterator[Watched]:
    """Run all three, ready for a fail-over, while the block lasts."""
    with ExitStack() as stack:
        master = stack.enter_context(Member())
        replica = stack.enter_context(Member(of=master))
        # Last, as a sentinel looks for replicas when it starts, and then every 10 seconds.
        sentinel = stack.enter_context(Sentinel(master))
        secret = SENTINEL_PASSWORD.replace("/", "%2F")
        places = f"127.0.0.1:1,127.0.0.1:{sentinel.port}"
        url = f"redis+sentinel://:{PASSWORD}@{places}/{MASTER}/0?sentinel_password={secret}"
        yield Watched(master, replica, sentinel, url)
