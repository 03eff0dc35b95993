"""What loads a node with requests, beside a server that does what real ones do now and then."""

from __future__ import annotations

import socket
import threading

from bench.load.address import Address
from bench.load.http import Load, Order

REQUESTS = 5


def test_a_connection_that_the_server_closes_while_it_is_idle_is_replaced() -> None:
    """An hour of a few requests a second is full of those."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_and_close, args=(server,), daemon=True)
        thread.start()
        answers = Load(Address(*server.getsockname()[:2]), Order({"type": "noop"}, rate=20, requests=REQUESTS)).run()
        thread.join(5)
    assert (answers.stored, dict(answers.statuses)) == (REQUESTS, {201: REQUESTS})


def answer_and_close(server: socket.socket) -> None:
    for _ in range(REQUESTS):
        connection, _ = server.accept()
        with connection:
            while b"\r\n\r\n" not in connection.recv(65_536):
                pass
            # With the end in the same packet: who has read the answer can know that no more requests are taken.
            connection.sendall(b"HTTP/1.1 201 \r\nContent-Length: 2\r\n\r\n{}", socket.MSG_MORE)
