"""Where the master of a Redis under Sentinel is now: asked of the sentinels, one after the other, until one knows.

In threads, with redis-py, as every connection is made (``line.py``): it is asked when the link comes up and once in a
while, never for a command.
"""

from __future__ import annotations

from typing import Any

import redis

from tickr.redis_link.address import RedisAddress


class Sentinels:
    """Those of one master. The one that has answered last is asked first."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._order = address.sentinels

    def find(self) -> RedisAddress:
        """Return the address of the master itself. Blocks, for each sentinel a few times ``ANSWER_S`` at most.

        Raises: redis.RedisError: none knows; with what each has said.
        """
        reasons = []
        for place in self._order:
            try:
                found = self._ask(place)
            except (redis.RedisError, OSError) as error:
                reasons.append(f"{place[0]}:{place[1]}: {error or type(error).__name__}")
                continue
            if found is not None:
                # One assignment, as another thread that was given up may be here, too.
                self._order = (place, *(other for other in self._order if other != place))
                return self._address.at(*found)
            reasons.append(f"{place[0]}:{place[1]} knows no {self._address.master}")
        raise redis.ConnectionError(f"no sentinel names the master: {'; '.join(reasons)}")

    def _ask(self, place: tuple[str, int]) -> tuple[str, int] | None:
        sentinel = self._address.sentinel(*place)
        connection: Any = sentinel.connection_class()(**sentinel.settings())
        try:
            connection.connect()
            connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.master)
            found = connection.read_response()
        finally:
            connection.disconnect()
        return (found[0].decode(), int(found[1])) if found else None
