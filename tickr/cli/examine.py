"""What ``tickr doctor`` looks at: this machine, the settings, the store, the index. Reads only; every wait is bounded.

Comes in: the configuration that ``tickr serve`` would have. Goes out: a list of ``Check``, the most basic first.
"""

from __future__ import annotations

import platform
import resource
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import redis
import trio
from cryptography import x509

from tickr.cli.settings import stray_variables
from tickr.config import Config
from tickr.errors import StoreError, told
from tickr.redis_link.address import parse_redis_url
from tickr.redis_link.reasons import reason_for
from tickr.redis_link.sentinels import Sentinels
from tickr.remote.leases import ROLE
from tickr.store.contract import Check, Filter, Node, Store
from tickr.store.open import open_store
from tickr.store.versions import schema_state
from tickr.worker.builtin.email import read_server

STORE_S = 15.0
"""How long all questions to the store may take together, in seconds."""
CONNECT_S = 3.0
FUTURE_US = 2_000_000
FDS_FOR_ITSELF = 256
"""Descriptors for the program, the databases and some clients; each worker may need another."""
SHORT_TOKEN = 16
SOON = timedelta(days=14)
"""A certificate that ends within this time should have been renewed by now."""
OLDEST_REDIS = (7, 0)
MOST_NAMED = 8
"""Types of remote workers that are named in a line."""
MANY_ROWS = 100
"""Refused rows of the inbox that are counted."""


async def everything(config: Config) -> list[Check]:
    """Return every check. Nothing raises but bugs: what cannot be looked at is a finding too."""
    found = [_versions(), *_settings(config), *_keys(config), *_certificate(config), _descriptors(config)]
    async with trio.open_nursery() as nursery:
        parts: list[list[Check]] = [[], [], [], []]
        for place, look in enumerate((_port, _store, _index, _smtp)):
            nursery.start_soon(_into, parts[place], look, config)
    return found + [check for part in parts for check in part]


async def _into(part: list[Check], look: Callable[[Config], Awaitable[list[Check]]], config: Config) -> None:
    part += await look(config)


# -- this machine ----------------------------------------------------------------------------------------------------


def _versions() -> Check:
    parts = [f"Tickr {version('tickr')}", f"Python {platform.python_version()}", f"trio {version('trio')}"]
    parts += [f"SQLite {sqlite3.sqlite_version}", f"{platform.system()} {platform.machine()}"]
    return Check("versions", "ok", ", ".join(parts))


def _settings(config: Config) -> list[Check]:
    checks = [Check("settings", "warn", sentence, "Correct its name, or unset it.") for sentence in stray_variables()]
    if config.token is not None and len(config.token) < SHORT_TOKEN:
        advice = "Make a longer one: python3 -c 'import secrets; print(secrets.token_urlsafe())'"
        checks.append(Check("access", "warn", f"the token has only {len(config.token)} characters", advice))
    elif config.token is not None:
        checks.append(Check("access", "ok", "by token"))
    elif config.closed:
        checks.append(Check("access", "ok", "by tokens of the store"))
    elif config.insecure:
        advice = "Set TICKR_TOKEN, unless something in front of Tickr asks who they are."
        checks.append(Check("access", "warn", f"everybody who reaches {config.host} may do everything", advice))
    else:
        checks.append(Check("access", "ok", f"everybody on this machine, as only {config.host} is listened on"))
    return checks


def _keys(config: Config) -> list[Check]:
    checks = []
    if config.encryption_keys:
        checks.append(Check("encryption", "ok", f"payloads and results, {_which(config.encryption_keys)}"))
    if config.signing_keys:
        only = "; nothing else is run" if config.signed_only else ""
        checks.append(Check("signatures", "ok", f"jobs, {_which(config.signing_keys)}{only}"))
    return checks


def _which(keys: Sequence[tuple[str, str]]) -> str:
    (first, _), *others = keys
    older = f"; {', '.join(name for name, _ in others)} of earlier still count" if others else ""
    return f"with {first}{older}"


def _certificate(config: Config) -> list[Check]:
    """Look at how long the certificate of the port is good for; whether it can be used is said by its use."""
    if config.tls_cert is None:
        return []
    try:
        ends = x509.load_pem_x509_certificate(Path(config.tls_cert).read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        return [Check("certificate", "fail", f"{config.tls_cert} cannot be read: {error}", "See --tls-cert.")]
    left, until = ends - datetime.now(UTC), f"good until {ends:%Y-%m-%d %H:%M} UTC"
    if left > SOON:
        return [Check("certificate", "ok", until)]
    advice = "Renew it; a running node takes the new files within a minute."
    return [Check("certificate", "warn" if left > timedelta(0) else "fail", until, advice)]


def _descriptors(config: Config) -> Check:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FDS_FOR_ITSELF + 2 * config.workers
    if soft != resource.RLIM_INFINITY and soft < wanted:
        advice = f"ulimit -n {max(4096, wanted)}, or LimitNOFILE= in the systemd unit."
        return Check("descriptors", "warn", f"{soft} files and sockets at once for {config.workers} workers", advice)
    return Check("descriptors", "ok", f"{'any number of' if soft < 0 else soft} files and sockets at once")


async def _port(config: Config) -> list[Check]:
    if "api" not in config.roles or config.port == 0:
        return []
    where = f"{config.host}:{config.port}"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)  # asked, not bound to
    try:
        with trio.fail_after(CONNECT_S):
            stream = await trio.open_tcp_stream(host, config.port)
    except (OSError, trio.TooSlowError):
        return [Check("port", "ok", f"{where}, where nobody listens now")]
    if await _is_tickr(stream, host):
        return [Check("port", "ok", f"{where}, where a Tickr answers")]
    advice = "Stop it, or choose another port with --port."
    return [Check("port", "fail", f"{where}, where another program listens", advice)]


async def _is_tickr(stream: trio.SocketStream, host: str) -> bool:
    request = f"GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    answer = b""
    with trio.move_on_after(CONNECT_S):
        async with stream:
            try:
                await stream.send_all(request.encode())
                async for part in stream:
                    answer += part
                    if len(answer) > 4096:
                        break
            except trio.BrokenResourceError:
                return False
    return b'"alive"' in answer


# -- the store -------------------------------------------------------------------------------------------------------


async def _store(config: Config) -> list[Check]:
    try:
        with trio.fail_after(STORE_S):
            return await _store_at(config)
    except trio.TooSlowError:
        return [Check("store", "fail", f"no answer within {STORE_S:g} s", "Look at the server's load and its log.")]
    except StoreError as error:
        return [Check("store", "fail", str(error))]


async def _store_at(config: Config) -> list[Check]:
    if config.store != "memory:":
        state = await schema_state(config.store)
        if state.have == 0:
            advice = "tickr serve makes the tables by itself."
            return [Check("store", "ok", f"{shown(config.store)} is empty", advice)]
        if state.lacking:
            found = f"is at schema {state.have}, this program needs {state.want}"
            return [Check("store", "fail", f"{shown(config.store)} {found}", "Make a backup, then run tickr migrate.")]
    async with open_store(config.store) as store:
        return [
            Check("store", "ok", shown(config.store)),
            *await store.diagnose(),
            await _clock(store),
            *await _nodes(store),
            *await _inbox(store),
        ]


async def _clock(store: Store) -> Check:
    """The clock may only go forward: what is newest in the store must not lie in the future."""
    now = time.time_ns() // 1000
    newest = (await store.list_jobs(Filter(), limit=1)).jobs
    ahead_us = max((job.created_at for job in newest), default=now) - now
    at = datetime.now(UTC).isoformat(" ", "seconds").replace("+00:00", " UTC")
    if ahead_us > FUTURE_US:
        advice = "Set this machine's clock, and let NTP keep it."
        return Check("clock", "fail", f"{at}, but a job was created {ahead_us / 1e6:.0f} s later than that", advice)
    return Check("clock", "ok", at)


async def _nodes(store: Store) -> list[Check]:
    if store.name == "memory":
        return []
    everybody = await store.nodes()
    nodes = [node for node in everybody if ROLE not in node.roles]
    leases = [node for node in everybody if ROLE in node.roles]
    return [*_own(nodes, with_workers=bool(leases)), *_leases(leases)]


def _own(nodes: Sequence[Node], *, with_workers: bool) -> list[Check]:
    """Look at the nodes that are Tickr's own. ``with_workers``: there are remote ones, too."""
    if not nodes:
        return [Check("nodes", "ok", "none is running")]
    versions = {node.version for node in nodes}
    count = "1 is running" if len(nodes) == 1 else f"{len(nodes)} are running"
    slots = sum(node.slots for node in nodes if node.takes_jobs)
    checks = [Check("nodes", "ok", f"{count}, with room for {slots} jobs at once")]
    if quiet := [node.id for node in nodes if node.state == "quiet"]:
        advice = f"tickr nodes resume {' '.join(quiet)}"
        checks.append(Check("nodes", "warn", f"{len(quiet)} quiet: no new jobs there", advice))
    if len(versions) > 1:
        advice = "Fine while you are deploying; otherwise some were forgotten."
        checks.append(Check("nodes", "warn", f"of several versions: {', '.join(sorted(versions))}", advice))
    for role in ("scheduler", "worker"):
        if not any(role in node.roles for node in nodes) and not (role == "worker" and with_workers):
            checks.append(Check("nodes", "warn", f"none has the role {role}", f"Start one with --roles {role}."))
    return checks


def _leases(leases: Sequence[Node]) -> list[Check]:
    """Look at the remote workers; where there are none there is nothing to say."""
    if not leases:
        return []
    slots, types = sum(one.slots for one in leases), sorted({name for one in leases for name in one.types})
    count = "1 remote worker has a lease" if len(leases) == 1 else f"{len(leases)} remote workers have leases"
    named = ", ".join(types[:MOST_NAMED]) + (" …" if len(types) > MOST_NAMED else "")
    return [Check("workers", "ok", f"{count}, with room for {slots} jobs at once, of the types: {named}")]


async def _inbox(store: Store) -> list[Check]:
    """Look at the jobs that others have inserted: whether some were refused, and whether anybody takes what waits."""
    if store.name == "memory":
        return []
    refused = len(await store.inbox_refused(MANY_ROWS))
    if refused:
        many = f"{refused} or more" if refused == MANY_ROWS else str(refused)
        advice = "tickr inbox says why; mend what inserts them, then retry or delete them."
        return [Check("inbox", "warn", f"rows refused: {many}", advice)]
    waiting = await store.inbox_rows(1, max_bytes=1, max_row_bytes=0)
    if waiting and not any("api" in node.roles for node in await store.nodes()):
        advice = "Start one with --roles api; it takes them."
        return [Check("inbox", "warn", "rows wait, and no node has the role api", advice)]
    return [Check("inbox", "ok", "nothing was refused")]


def shown(url: str) -> str:
    """Return the URL without what must not be shown."""
    parts = urlsplit(url)
    if not parts.password:
        return url
    return parts._replace(netloc=f"{parts.username or ''}:…@{parts.netloc.rpartition('@')[2]}").geturl()


# -- the index and mail ----------------------------------------------------------------------------------------------


async def _index(config: Config) -> list[Check]:
    if config.index == "heap:":
        if config.store.startswith("mysql:"):
            advice = "With several nodes use a Redis, so that they wake each other at once."
            return [Check("index", "warn", "heap:, in each process by itself", advice)]
        return [Check("index", "ok", "heap:, in the process")]
    return await trio.to_thread.run_sync(_redis, config.index)


STRAIGHT = "Jobs run straight from the store until it is there: slower, none is lost."


def _redis(url: str) -> list[Check]:
    address = parse_redis_url(url)
    try:
        server = Sentinels(address).find() if address.sentinels else address
    except redis.RedisError as error:
        return [Check("index", "fail", f"{address}: {reason_for(error)}", STRAIGHT)]
    pool = redis.ConnectionPool(server.connection_class(), **server.settings())
    client = redis.Redis(connection_pool=pool)
    try:
        asked = time.perf_counter()
        client.ping()
        took_ms = (time.perf_counter() - asked) * 1000
        return [*_redis_version(dict(client.info("server")), f"{server}, {took_ms:.1f} ms away"), *_eviction(client)]
    except (redis.RedisError, OSError) as error:
        return [Check("index", "fail", f"{server}: {reason_for(error)}", STRAIGHT)]
    finally:
        pool.disconnect()


def _redis_version(server: dict[str, object], where: str) -> list[Check]:
    told = str(server.get("redis_version", "0"))
    name = "Valkey" if server.get("server_name") == "valkey" else "Redis"
    number = tuple(int(part) for part in told.split(".")[:2] if part.isdigit())
    found = f"{name} {server.get('valkey_version', told)} at {where}"
    if number < OLDEST_REDIS:
        return [Check("index", "fail", found, "Tickr needs Redis 7 or newer, for BZMPOP.")]
    return [Check("index", "ok", found)]


def _eviction(client: redis.Redis) -> list[Check]:
    try:
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy", b"")
    except redis.ResponseError:
        return []  # a managed Redis that lets nobody see its settings
    policy = policy.decode() if isinstance(policy, bytes) else str(policy)
    if policy == "noeviction":
        return [Check("eviction", "ok", "noeviction")]
    advice = "CONFIG SET maxmemory-policy noeviction: an index that loses entries is repaired, but only after a while."
    return [Check("eviction", "warn", f"maxmemory-policy is {policy}", advice)]


async def _smtp(config: Config) -> list[Check]:
    if config.smtp is None:
        return [Check("smtp", "ok", "none: email jobs are only logged")]
    server = read_server(config.smtp)
    where = f"{server.host}:{server.port}"
    try:
        with trio.fail_after(CONNECT_S):
            stream = await trio.open_tcp_stream(server.host, server.port)
            await stream.aclose()
    except (OSError, trio.TooSlowError) as error:
        why = "no answer" if isinstance(error, trio.TooSlowError) else told(error)
        return [Check("smtp", "fail", f"{where}: {why}", "email jobs will fail and be tried again.")]
    return [Check("smtp", "ok", f"{where} answers")]
