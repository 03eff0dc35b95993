"""One connection: log-ins, TLS, what may be a parameter, large values, and what is left after a cut."""

from __future__ import annotations

import enum
import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import trio
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from trio_mysql import err

from tests.faults.proxy import proxy_before
from tests.servers import MariaDB, mysql_execute
from tickr.errors import ConfigError
from tickr.store.mysql_address import Address, parse
from tickr.store.mysql_driver import Connection
from tickr.store.mysql_values import literal


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    address = parse(url)
    connection = Connection(address, address.tls_context())
    try:
        await connection.open(5)
        yield connection
    finally:
        connection.close()


@asynccontextmanager
async def served(handler: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[str]:
    """Run a make-believe server and yield its URL, with the password "secret"."""
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
        yield f"mysql://u:secret@127.0.0.1:{listener.socket.getsockname()[1]}/d"
        nursery.cancel_scope.cancel()


def packet(number: int, payload: bytes) -> bytes:
    return bytes([len(payload) & 255, len(payload) >> 8, 0, number]) + payload


def greeting_of(version: str, plugin: str) -> bytes:
    """Return the first packet of a server: everything on offer but TLS."""
    return packet(
        0,
        b"\x0a" + version.encode() + b"\0" + bytes(4) + SALT[:8] + b"\0" + b"\xff\xf7\x2d\x02\0\xff\x81\x15"
        + bytes(10) + SALT[8:] + b"\0" + plugin.encode() + b"\0",
    )  # fmt: skip


SALT = b"12345678901234567890"
OK = b"\0\0\0\2\0\0\0"


async def refused(url: str) -> err.OperationalError:
    with pytest.raises(err.OperationalError) as caught:
        async with connected(url):
            pass
    return caught.value


# -- the URL ----------------------------------------------------------------------------------------------------------


def test_a_url_is_taken_apart() -> None:
    assert parse("mysql://u%40x:p%2F%3A@db.example:3307/tickr?tls=verify&tls_ca=/ca.pem") == Address(
        host="db.example", port=3307, user="u@x", password="p/:", database="tickr", tls="verify", tls_ca="/ca.pem"
    )
    assert parse("mysql://u@h/d").port == 3306
    assert parse("mysql://u@h/d?tls_ca=/ca.pem").tls == "verify"
    assert "secret" not in repr(parse("mysql://u:secret@h/d"))


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:p@h/d",
        "mysql://h/d",
        "mysql://u:p@h",
        "mysql://u:p@h/a/b",
        "mysql://u:p@h:99999/d",
        "mysql://u:p@h/d?tls=maybe",
        "mysql://u:p@h/d?tls=required&tls_ca=/ca.pem",
        "mysql://u:p@h/d?ssl=1",
    ],
)
def test_a_faulty_url_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(url.replace(":p@", ":secret@"))
    assert "secret" not in str(caught.value)


def test_a_ca_file_that_is_none_is_the_operators_fault() -> None:
    with pytest.raises(ConfigError, match="tls_ca"):
        parse("mysql://u@h/d?tls=verify&tls_ca=/nowhere/ca.pem").tls_context()


# -- parameters -------------------------------------------------------------------------------------------------------


class Colour(enum.StrEnum):
    RED = "red"


class Sly(str):
    def encode(self, *_: object) -> bytes:
        return b"' OR 1=1 -- "


@pytest.mark.parametrize(
    "value",
    [{"a": 1}, ["a"], {"a"}, 1.5, float("nan"), True, bytearray(b"x"), Colour.RED, Sly("x"), Sly,
     ("a", None), (("a",),), (1.5,), ({},)],
    ids=repr,
)  # fmt: skip
def test_what_is_no_plain_value_is_no_parameter(value: Any) -> None:
    with pytest.raises(TypeError):
        literal(value)


@pytest.mark.parametrize("value", [(), "\ud800"], ids=repr)
def test_what_cannot_be_written_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        literal(value)


ODD = "it's \\' \\\\ \" %s %(x)s ` \x00 \x1a \n\r é漢😀 -- /* */ ;"


@pytest.mark.parametrize("value", [ODD, "", "\\", "'", 0, -(2**63), 2**64 - 1, b"", bytes(range(256)), None], ids=repr)
async def test_a_parameter_comes_back_as_it_went(mysql_url: str, value: str | int | bytes | None) -> None:
    async with connected(mysql_url) as connection:
        ((cell,),) = (await connection.execute("SELECT %s /* 100%% */", value)).rows
    expected = value if isinstance(value, bytes) or value is None else str(value).encode()
    assert cell == expected


async def test_a_list_finds_each_of_its_values(mysql_url: str) -> None:
    async with connected(mysql_url) as connection:
        found = await connection.execute(
            "SELECT %s IN %s, %s IN %s, %s IN %s", "b'", ("a", "b'"), 3, (1, 2), b"", (b"",)
        )
    assert found.rows == ((b"1", b"0", b"1"),)


async def test_a_refused_parameter_leaves_the_connection_as_it_was(mysql_url: str) -> None:
    async with connected(mysql_url) as connection:
        with pytest.raises(TypeError):
            await connection.execute("SELECT %s", {"a": 1})  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await connection.execute("SELECT %s, %s", 1)
        assert connection.usable
        assert (await connection.execute("SELECT 1")).rows == ((b"1",),)


# -- results ----------------------------------------------------------------------------------------------------------


async def test_values_of_any_length_come_through(mysql_private_server: MariaDB) -> None:
    mysql_private_server.execute("SET GLOBAL max_allowed_packet=1073741824")
    async with connected(mysql_private_server.url) as connection:
        for size in (0, 1, 250, 251, 65_535, 65_536, 2**24 - 5, 2**24, 2**24 + 100_000):
            found = await connection.execute("SELECT REPEAT('x', %s), %s, NULL", size, "y" * size)
            assert found.rows == ((b"x" * size, b"y" * size, None),)


async def test_an_update_tells_how_many_rows_it_matched(mysql_url: str) -> None:
    async with connected(mysql_url) as connection:
        await connection.execute("CREATE TABLE t (id BIGINT AUTO_INCREMENT PRIMARY KEY, n INT)")
        assert (await connection.execute("INSERT INTO t (n) VALUES (1), (1)")).affected == 2
        assert (await connection.execute("INSERT INTO t (n) VALUES (7)")).insert_id == 3
        assert (await connection.execute("UPDATE t SET n = 1 WHERE n = 1")).affected == 2


async def test_an_error_of_the_server_leaves_the_connection_usable(mysql_url: str) -> None:
    async with connected(mysql_url) as connection:
        with pytest.raises(err.ProgrammingError):
            await connection.execute("SELEKT 1")
        assert connection.usable
        assert (await connection.execute("SELECT 1")).rows == ((b"1",),)


async def test_local_files_stay_local(mysql_url: str) -> None:
    async with connected(mysql_url) as connection:
        await connection.execute("CREATE TABLE t (line TEXT)")
        with pytest.raises(err.MySQLError):
            await connection.execute("LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE t")
        found = await connection.execute("SELECT * FROM t") if connection.usable else None
    assert found is None or found.rows == ()


# -- after a cut ------------------------------------------------------------------------------------------------------


async def test_a_statement_cut_while_it_is_read_closes_the_connection(mysql_url: str) -> None:
    async with connected(mysql_url) as connection:
        with trio.move_on_after(0.05) as scope:
            await connection.execute("SELECT SLEEP(5)")
        assert scope.cancelled_caught
        assert connection.busy
        assert not connection.usable
        with pytest.raises(err.InterfaceError):
            await connection.execute("SELECT 1")


async def test_a_statement_cut_while_it_is_sent_closes_the_connection() -> None:
    """A server that greets, lets in, and then reads nothing any more."""
    greeting = greeting_of("5.5.5-10.11-MariaDB", "mysql_native_password")

    async def deaf(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(greeting)
            await stream.receive_some()
            await stream.send_all(packet(2, OK))
            await trio.sleep_forever()

    async with served(deaf) as url, connected(url) as connection:
        with trio.move_on_after(0.2) as scope:
            await connection.execute("SELECT %s", "x" * 50_000_000)
        assert scope.cancelled_caught
        assert not connection.usable
        with pytest.raises(err.InterfaceError):
            await connection.execute("SELECT 1")


async def test_a_login_that_is_never_answered_ends_in_time() -> None:
    async def mute(stream: trio.SocketStream) -> None:
        async with stream:
            await trio.sleep_forever()

    async with served(mute) as url:
        with trio.fail_after(2), pytest.raises(err.OperationalError) as caught:
            await Connection(parse(url), None).open(0.2)
        assert caught.value.args[0] == 2003


# -- log-ins ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sha2_user(mysql_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """URL for a user whom the server has never seen, so that its cache does not know the password."""
    if "MariaDB" in mysql_execute(mysql_url, "SELECT VERSION()")[0][0]:
        pytest.skip("MariaDB has no caching_sha2_password; name a MySQL in TICKR_TEST_MYSQL")
    name, at = f"u{uuid.uuid4().hex[:12]}", urlsplit(mysql_url)
    mysql_execute(mysql_url, f"CREATE USER {name} IDENTIFIED WITH {request.param} BY 'pä/ss''w'")
    try:
        yield urlunsplit(
            at._replace(path="/information_schema", netloc=f"{name}:p%C3%A4%2Fss%27w@{at.hostname}:{at.port}")
        )
    finally:
        mysql_execute(mysql_url, f"DROP USER {name}")


@pytest.mark.parametrize("sha2_user", ["caching_sha2_password", "sha256_password"], indirect=True)
@pytest.mark.parametrize("options", ["", "?tls=required"])
async def test_mysqls_own_logins_work_the_first_time_and_again(sha2_user: str, options: str) -> None:
    for _ in range(3):
        async with connected(sha2_user + options) as connection:
            assert (await connection.execute("SELECT 1")).rows == ((b"1",),)
            ((_, cipher),) = (await connection.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")).rows
            assert bool(cipher) == bool(options)


@pytest.mark.parametrize("sha2_user", ["caching_sha2_password", "sha256_password"], indirect=True)
async def test_a_wrong_password_is_refused(sha2_user: str) -> None:
    async with connected(sha2_user):
        pass
    assert (await refused(sha2_user.replace("ss%27w@", "ss%27v@"))).args[0] == 1045


async def test_a_wrong_password_is_refused_by_mariadb(mysql_private_server: MariaDB) -> None:
    assert (await refused(mysql_private_server.url.replace("t%2Fickr@", "wrong@"))).args[0] == 1045


@pytest.mark.parametrize("known", [True, False], ids=["cached", "first time"])
async def test_caching_sha2_as_mysql_speaks_it(known: bool) -> None:
    """Both ways in, also where there is no MySQL to try: by hash, and under the server's RSA key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    padded = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)
    heard: list[bytes] = []

    async def mysql(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(greeting_of("9.0.0", "caching_sha2_password"))
            await stream.receive_some()
            await stream.send_all(packet(2, b"\xfecaching_sha2_password\0" + SALT + b"\0"))
            heard.append((await stream.receive_some())[4:])
            if known:
                await stream.send_all(packet(4, b"\1\3") + packet(5, OK))
            else:
                await stream.send_all(packet(4, b"\1\4"))
                heard.append((await stream.receive_some())[4:])
                await stream.send_all(packet(6, b"\1" + pem))
                secret = key.decrypt((await stream.receive_some())[4:], padded)
                heard.append(bytes(a ^ SALT[i % 20] for i, a in enumerate(secret)))
                await stream.send_all(packet(8, OK))
            await stream.receive_some()

    async with served(mysql) as url, connected(url):
        once = hashlib.sha256(b"secret").digest()
        proof = hashlib.sha256(hashlib.sha256(once).digest() + SALT).digest()
        assert heard == [
            bytes(a ^ b for a, b in zip(once, proof, strict=True)),
            *([] if known else [b"\2", b"secret\0"]),
        ]


async def test_a_server_that_asks_for_the_password_itself_does_not_get_it() -> None:
    heard = bytearray()
    greeting = greeting_of("8.0.0", "caching_sha2_password")

    async def curious(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(greeting)
            heard.extend(await stream.receive_some())
            await stream.send_all(packet(2, b"\xfemysql_clear_password\0\0"))
            async for data in stream:
                heard.extend(data)

    async with served(curious) as url:
        assert (await refused(url)).args[0] == 2059
    assert heard
    assert b"secret" not in heard


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mysql_private_server", [{"tls": False}], indirect=True)
@pytest.mark.parametrize("tls", ["required", "verify"])
async def test_without_tls_on_the_server_nothing_is_said_in_the_clear(mysql_private_server: MariaDB, tls: str) -> None:
    async with connected(mysql_private_server.url):
        pass
    assert (await refused(f"{mysql_private_server.url}?tls={tls}")).args[0] == 2026


async def test_the_certificate_is_checked_when_asked_for(mysql_private_server: MariaDB) -> None:
    url, ca = mysql_private_server.url, mysql_private_server.ssl_ca
    async with connected(f"{url}?tls=verify&tls_ca={ca}") as connection:
        ((_, cipher),) = (await connection.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")).rows
        assert cipher
        big = "z" * 3_000_000
        assert (await connection.execute("SELECT %s", big)).rows == ((big.encode(),),)
    assert (await refused(f"{url}?tls=verify")).args[0] == 2026  # no authority of ours signed it
    async with connected(f"{url}?tls=required"):
        pass


async def test_the_name_in_the_certificate_is_checked(mysql_private_server: MariaDB) -> None:
    url = f"{mysql_private_server.url}?tls_ca={mysql_private_server.ssl_ca}"
    async with proxy_before(url) as named, connected(named.url):
        pass
    async with proxy_before(url, host="127.0.0.2") as unnamed:
        assert (await refused(unnamed.url)).args[0] == 2026
        async with connected(
            mysql_private_server.url.replace("127.0.0.1", "127.0.0.2").replace(
                str(mysql_private_server.port), str(unnamed.port)
            )
        ):
            pass
