"""Which index a URL names."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from tickr.errors import ConfigError
from tickr.index.contract import Index
from tickr.index.heap import open_heap
from tickr.redis_link.address import parse_redis_url


def open_index(url: str) -> AbstractAsyncContextManager[Index]:
    """Return the context manager of the index at ``url``: ``heap:``, ``redis://host:port/db?namespace=t`` or
    ``redis+sentinel://host:port,…/master/db``.

    Raises: ConfigError: the URL is faulty. A Redis that cannot be reached is no error, see ``Index.available``.
    """
    scheme = url.partition(":")[0]
    if url == "heap:":
        return open_heap()
    if scheme in ("redis", "rediss", "redis+sentinel", "rediss+sentinel"):
        from tickr.index.redis import open_redis  # it takes long to load, and not every node has one

        return open_redis(parse_redis_url(url))
    raise ConfigError(
        [f"index: {scheme!r} is neither heap:, redis://, rediss://, redis+sentinel:// nor rediss+sentinel://"]
    )
