"""What ``tickr doctor`` wants to know about a MySQL or MariaDB. Reads settings only; no row of a table is looked at."""

from __future__ import annotations

from collections.abc import Mapping

from tickr.store.contract import Check, wall_clock
from tickr.store.mysql_address import Address
from tickr.store.mysql_transactions import BEGIN, Transaction
from tickr.store.mysql_values import number, text

MIN_PACKET_BYTES = 16 * 1024 * 1024
CLOCKS_APART_US = 2_000_000

VARIABLES = (
    "SHOW VARIABLES WHERE Variable_name IN ('version', 'version_comment', 'innodb_flush_log_at_trx_commit', "
    "'sync_binlog', 'log_bin', 'max_allowed_packet', 'transaction_isolation', 'tx_isolation', 'wsrep_on', 'read_only')"
)
CIPHER = "SHOW SESSION STATUS LIKE 'Ssl_cipher'"
SCHEMA = "SELECT MAX(version) FROM schema_version"


async def findings(tx: Transaction, address: Address) -> list[Check]:
    """Return the checks of ``Store.diagnose``."""
    settings = {text(name): text(value) for name, value in (await tx.run(VARIABLES)).rows}
    ((_, cipher),) = (await tx.run(CIPHER)).rows
    ((schema,),) = (await tx.run(SCHEMA)).rows
    ((told,),) = (await tx.run(BEGIN)).rows
    return [
        Check(
            "server", "ok", f"{settings.get('version', '?')} ({settings.get('version_comment', '?')}) at {address!r}"
        ),
        Check("schema", "ok", f"at version {number(schema)}"),
        *_durability(settings),
        _isolation(settings),
        _packet(settings),
        _clock(number(told) - wall_clock()),
        _tls(text(cipher), address),
        *_writers(settings),
    ]


def _durability(settings: Mapping[str, str]) -> list[Check]:
    flush = settings.get("innodb_flush_log_at_trx_commit", "?")
    checks = [Check("durability", "ok", "innodb_flush_log_at_trx_commit=1: every commit is on disk")]
    if flush != "1":
        advice = "SET GLOBAL innodb_flush_log_at_trx_commit=1, and in the server's configuration."
        checks = [Check("durability", "fail", f"innodb_flush_log_at_trx_commit={flush}: a crash loses jobs", advice)]
    synced = settings.get("sync_binlog", "?")
    if settings.get("log_bin") == "ON" and synced != "1":
        advice = "SET GLOBAL sync_binlog=1: after a crash of the machine replicas may have what this server lost."
        checks.append(Check("binlog", "warn", f"sync_binlog={synced}", advice))
    return checks


def _isolation(settings: Mapping[str, str]) -> Check:
    level = settings.get("transaction_isolation") or settings.get("tx_isolation", "?")
    advice = "Something between Tickr and the server (a proxy?) keeps session settings from getting through."
    return _judged("isolation", level == "READ-COMMITTED", f"{level} in Tickr's sessions", advice)


def _packet(settings: Mapping[str, str]) -> Check:
    size = int(settings.get("max_allowed_packet", "0"))
    advice = f"Set max_allowed_packet to at least {MIN_PACKET_BYTES}."
    return _judged("max_allowed_packet", size >= MIN_PACKET_BYTES, f"{size / 2**20:.0f} MiB", advice)


def _clock(apart_us: int) -> Check:
    found = f"the server's clock is {apart_us / 1e6:+.3f} s from this machine's"
    advice = "Harmless for jobs, which go by the server's clock; but let both follow NTP, so that logs agree."
    return _judged("clock", abs(apart_us) < CLOCKS_APART_US, found, advice)


def _tls(cipher: str, address: Address) -> Check:
    if cipher:
        checked = "certificate checked" if address.tls == "verify" else "certificate not checked"
        return Check("tls", "ok", f"{cipher}, {checked}")
    advice = "Add tls=verify&tls_ca=/path/to/ca.pem to the store's URL."
    return _judged("tls", address.is_local, "the connection is not encrypted", advice)


def _writers(settings: Mapping[str, str]) -> list[Check]:
    checks = []
    if settings.get("wsrep_on") == "ON":
        advice = "Send all of Tickr to one node of the cluster: with several writers Galera loses updates."
        checks.append(Check("galera", "warn", "the server is part of a Galera cluster", advice))
    if settings.get("read_only") == "ON":
        checks.append(Check("writable", "fail", "the server is read-only", "Point Tickr at the primary."))
    return checks


def _judged(name: str, good: bool, finding: str, advice: str) -> Check:
    return Check(name, "ok", finding) if good else Check(name, "warn", finding, advice)
