"""One connection to MySQL or MariaDB: trio-mysql's, with what it lacks. Nothing here knows about jobs.

What goes in is static SQL with ``%s`` for each parameter; what comes out are rows of bytes. The repairs, each where the
library (1.0.3) goes wrong: logging in to MySQL 8 and 9 (missing awaits), TLS that falls back to plaintext in silence,
passwords sent in the clear at a server's wish, parameters that can become SQL, sockets that ``close()`` leaves open,
a write cut in the middle that leaves the connection "usable", four copies of every large value.

A connection belongs to the one task that borrowed it. It is closed, never repaired: after any error or cancellation
inside a statement it is gone, and the object is not connected a second time.
"""

from __future__ import annotations

import ssl
from typing import Any

import trio
from trio_mysql import _auth, err
from trio_mysql import connections as library
from trio_mysql.constants import CLIENT, COMMAND, CR, SERVER_STATUS
from trio_mysql.protocol import EOFPacketWrapper, MysqlPacket, OKPacketWrapper

from tickr.errors import StoreError, told
from tickr.store.mysql_address import Address
from tickr.store.mysql_values import Parameter, Result, Row, literal

MAX_FRAME_BYTES = 2**24 - 1
"""The protocol splits what is longer."""

READ_BYTES = 256 * 1024
SALT_BYTES = 20
_SAFE_PLUGINS = (b"mysql_native_password", b"client_ed25519")
"""Log-ins of which the library sends only a hash of the password."""


def _cells(packet: MysqlPacket) -> Row:
    cells, end = [], len(packet.get_all_data())
    while packet._position < end:
        cells.append(packet.read_length_coded_string())
    return tuple(cells)


class Connection(library.Connection):  # type: ignore[misc]  # the library has no types
    """A connection to ``address``; ``open`` it once, ``execute`` on it, and drop it.

    Attributes:
      busy: a statement has been sent whose answer has not been read to its end; after a cancellation the server may
        still be at work on it.
      max_packet_bytes: the server's ``max_allowed_packet``, once somebody has asked for it; it hangs up on longer ones.
    """

    _sock: trio.SocketStream | trio.SSLStream[trio.SocketStream] | None
    _rbuf: bytearray
    _rbuf_offset: int
    _next_seq_id: int
    _auth_plugin_name: str
    server_status: int

    def __init__(self, address: Address, tls: ssl.SSLContext | None) -> None:
        super().__init__(
            host=address.host,
            port=address.port,
            user=address.user.encode(),
            password=address.password.encode(),
            database=address.database.encode() or None,
            charset="utf8mb4",
            use_unicode=False,
            conv={},
            # UPDATE answers how many rows it matched, so that compare-and-set can count on it.
            client_flag=CLIENT.FOUND_ROWS,
            local_infile=False,
            autocommit=None,
            connect_timeout=60,  # `open` has the deadline that counts
            ssl=tls,
        )
        self.busy = False
        self.max_packet_bytes: int | None = None

    async def open(self, timeout_s: float) -> None:
        """Connect and log in within ``timeout_s`` seconds.

        Raises: err.OperationalError: the server cannot be reached (2003), is too slow (2003), refuses the login, or
          offers no TLS where that is wanted (2026).
        Cancellation: as after an error, the socket is closed.
        """
        try:
            with trio.move_on_after(timeout_s) as scope:
                await self.connect()
            if scope.cancelled_caught:
                raise err.OperationalError(CR.CR_CONN_HOST_ERROR, f"no login within {timeout_s:g} s")
        except err.OperationalError as error:
            if (cause := getattr(error, "original_exception", None)) is None:
                raise
            # The driver names the host alone, and of several failed attempts no reason.
            raise err.OperationalError(error.args[0], f"cannot connect: {told(cause)}") from cause
        except ssl.SSLError as error:
            raise err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, f"TLS: {error}") from error
        except trio.BrokenResourceError as error:
            code = CR.CR_SSL_CONNECTION_ERROR if isinstance(error.__cause__, ssl.SSLError) else CR.CR_SERVER_LOST
            raise err.OperationalError(code, f"lost during login: {error.__cause__ or error}") from error
        finally:
            if self._closed:
                self._force_close()

    async def execute(self, sql: str, *parameters: Parameter) -> Result:
        """Run one statement.

        Args:
          sql: static text; ``%s`` for each of ``parameters``, ``%%`` for a percent sign.
        Raises: err.MySQLError: from the server or about the connection. TypeError, ValueError: a parameter that
          cannot be written; StoreError: the statement is longer than the server takes; nothing was sent.
        Cancellation: the connection is closed. What the server makes of the statement is open; see ``busy``.
        """
        statement = sql.encode() % tuple(map(literal, parameters))
        if self.max_packet_bytes is not None and len(statement) + 1 >= self.max_packet_bytes:
            # Sent, it would look like an outage: the server hangs up in the middle of it.
            raise StoreError(
                f"a statement of {len(statement)} bytes is too long for the server's max_allowed_packet of "
                f"{self.max_packet_bytes} bytes; store smaller values or raise it"
            )
        if self.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES:
            raise self._broken("the session's sql_mode has lost its backslash escapes")
        self.busy = True
        await self._execute_command(COMMAND.COM_QUERY, statement)
        try:
            result = await self._read_result()
        except err.MySQLError:
            self.busy = self._sock is None  # an error that the server sent is a whole answer
            raise
        except BaseException:
            self._force_close()
            raise
        self.busy = False
        if self.server_status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS:
            raise self._broken("the statement had a second result")
        return result

    async def _read_result(self) -> Result:
        first = await self._read_packet()
        if first.is_ok_packet():
            ok = OKPacketWrapper(first)
            self.server_status = ok.server_status
            return Result((), ok.affected_rows, ok.insert_id)
        if first.is_load_local_packet():
            raise self._broken("the server asked for a local file")
        # Whoever wrote the statement knows its columns; the library would take half of the time for their description.
        for _ in range(first.read_length_encoded_integer()):
            await self._read_packet()
        if not (await self._read_packet()).is_eof_packet():
            raise self._broken("the server sent more columns than it had announced")
        found = []
        while not (packet := await self._read_packet()).is_eof_packet():
            found.append(_cells(packet))
        self.server_status = EOFPacketWrapper(packet).server_status
        return Result(tuple(found), len(found), 0)

    @property
    def usable(self) -> bool:
        """Whether another statement may follow: open, no answer outstanding, nothing unread."""
        return self._sock is not None and not self.busy and len(self._rbuf) == self._rbuf_offset

    @property
    def at_rest(self) -> bool:
        """Whether another borrower may have it: usable, and in no transaction."""
        return self.usable and not self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS

    @property
    def is_mariadb(self) -> bool:
        return "MariaDB" in self.server_version

    # -- repairs ------------------------------------------------------------------------------------------------------

    async def _request_authentication(self) -> None:
        if self.ssl:
            if not self.server_capabilities & CLIENT.SSL:
                raise err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, "the server offers no TLS; nothing was sent")
            if len(self._rbuf) != self._rbuf_offset:
                # Bytes that came before the handshake could be anybody's.
                raise err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, "plaintext after the server's greeting")
        if self._auth_plugin_name in ("caching_sha2_password", "sha256_password"):
            # The library forgets to await these when they come first. Naming no plugin makes the server ask for the
            # one it wants, and `_process_auth` answers; one round trip more for each new connection.
            self._auth_plugin_name = "unnamed"
        await super()._request_authentication()

    async def _process_auth(self, plugin_name: bytes, packet: Any) -> Any:
        if plugin_name in (b"caching_sha2_password", b"sha256_password"):
            self.salt = packet.read_all()[:SALT_BYTES]
            login = self._caching_sha2 if plugin_name == b"caching_sha2_password" else self._sha256
            return await login()
        if plugin_name in _SAFE_PLUGINS or (plugin_name == b"mysql_clear_password" and self._secure):
            return await super()._process_auth(plugin_name, packet)
        raise err.OperationalError(2059, f"the server asks for {plugin_name!r}, which would tell it the password")

    async def _caching_sha2(self) -> Any:
        packet = await _auth._roundtrip(self, _auth.scramble_caching_sha2(self.password, self.salt))
        if not packet.is_extra_auth_data():
            return packet
        packet.advance(1)
        if packet.read_uint8() == 3:  # the server's cache knew the password
            return await self._read_packet()
        return await self._full_sha2(b"\2")

    async def _sha256(self) -> Any:
        if not self.password:
            return await _auth._roundtrip(self, b"\0")
        return await self._full_sha2(b"\1")

    async def _full_sha2(self, ask_for_key: bytes) -> Any:
        """Hand over the password itself: inside TLS as it is, otherwise under the server's RSA key."""
        if self._secure:
            return await _auth._roundtrip(self, self.password + b"\0")
        key = await _auth._roundtrip(self, ask_for_key)
        if not key.is_extra_auth_data():
            raise err.OperationalError(2061, "the server did not send its public key")
        secret = _auth.sha2_rsa_encrypt(self.password, self.salt, key.get_all_data()[1:])
        return await _auth._roundtrip(self, secret)

    def _force_close(self) -> None:
        stream, self._sock, self._closed = self._sock, None, True
        while isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        if stream is not None:
            stream.socket.close()

    __del__ = _force_close

    def _broken(self, said: str) -> err.MySQLError:
        """Close, and return the error to raise: whoever is at the other end does not keep to the protocol."""
        self._force_close()
        return err.OperationalError(CR.CR_MALFORMED_PACKET, said)

    async def _write_bytes(self, data: bytes) -> None:
        try:
            if self._sock is None:
                raise err.InterfaceError(0, "This connection is closed")
            await self._sock.send_all(data)
        except trio.BrokenResourceError as error:
            self._force_close()
            raise err.OperationalError(CR.CR_SERVER_GONE_ERROR, f"lost while sending: {error!r}") from error
        except BaseException:
            self._force_close()  # half a packet may be out
            raise

    async def _read_packet(self, packet_type: Any = MysqlPacket) -> Any:
        payload = await self._read_frame()
        if len(payload) == MAX_FRAME_BYTES:
            whole = bytearray(payload)
            while len(payload) == MAX_FRAME_BYTES:
                payload = await self._read_frame()
                whole += payload
            payload = bytes(whole)
        if not payload:
            raise self._broken("the server sent an empty packet")
        packet = packet_type(payload, self.encoding)
        packet.check_error()
        return packet

    async def _read_frame(self) -> bytes:
        header = await self._read_bytes(4)
        if header[3] != self._next_seq_id:
            self._force_close()
            # A server that shuts down, or has waited too long for us, says so out of turn.
            raise err.OperationalError(CR.CR_SERVER_LOST, f"packet {header[3]} where {self._next_seq_id} was due")
        self._next_seq_id = (self._next_seq_id + 1) % 256
        return await self._read_bytes(int.from_bytes(header[:3], "little"))

    async def _read_bytes(self, count: int) -> bytes:
        buffer = self._rbuf
        if len(buffer) - self._rbuf_offset < count:
            del buffer[: self._rbuf_offset]
            self._rbuf_offset = 0
            while len(buffer) < count:
                buffer += await self._receive()
        start = self._rbuf_offset
        self._rbuf_offset += count
        with memoryview(buffer) as view:
            return bytes(view[start : start + count])

    async def _receive(self) -> bytes:
        try:
            data = bytes(await self._sock.receive_some(READ_BYTES)) if self._sock else b""
        except trio.BrokenResourceError as error:
            self._force_close()
            raise err.OperationalError(CR.CR_SERVER_LOST, f"lost while waiting: {error!r}") from error
        except BaseException:
            self._force_close()
            raise
        if not data:
            self._force_close()
            raise err.OperationalError(CR.CR_SERVER_LOST, "the server closed the connection")
        return data
