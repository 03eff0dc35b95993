"""What errors say."""

from __future__ import annotations

import pytest
import trio

from tests.children import free_port
from tickr.errors import told


async def test_a_connection_that_cannot_be_made_says_why() -> None:
    port = free_port()
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(OSError, match="all attempts") as failed:
            await trio.open_tcp_stream(host, port)
        assert told(failed.value) == f"all attempts to connect to {host}:{port} failed: Connection refused"
        assert told(RuntimeError(failed.value)) == told(failed.value)
    with pytest.raises(OSError, match="not known") as failed:
        await trio.open_tcp_stream("tickr.invalid", 1)
    assert told(failed.value) == str(failed.value)


def test_an_error_without_words_is_told_by_its_kind() -> None:
    assert told(TimeoutError()) == "TimeoutError"
