"""A node goes through every fault of the lines to MySQL and Redis, and through all that these refuse while they live.

One fault comes after the other while jobs trickle in; ``trickle.py`` says what must be true meanwhile. In the end the
checker judges the whole run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import trio

from tests.faults import collect, ledger
from tests.faults.checker import check
from tests.faults.history import History
from tests.faults.ledger import now_us
from tests.faults.proxy import Proxy, proxy_before
from tests.faults.trickle import YES, YES_OR_LATER, Act, Trial, Trickle
from tests.processes import TickrProcess
from tests.servers import MariaDB, Redis

LEASE_S = 15.0
WORKERS = 8
CUT_AFTER_BYTES = (2, 50, 1_000)
"""In the header of a packet, in its body, and somewhere."""


async def go_through(trials: Sequence[Trial], *, store: str, truth: str, index: str, folder: Path) -> str:
    """Take a new node through ``trials``, see that all promises were kept, and return its log.

    Args:
      truth: the way to its database on which nothing is ever broken.
    """
    node = TickrProcess(
        store=store,
        index=index,
        workers=WORKERS,
        app="tests.faults.ledger:jobs",
        arguments=["--lease", str(LEASE_S)],
        variables={ledger.VARIABLE: str(folder / "ledger")},
    )
    try:
        await trio.to_thread.run_sync(node.start)
        async with httpx2.AsyncClient(base_url=node.url, timeout=10) as http:
            trickle = Trickle(http)
            await trickle.go_through(trials)
        assert node.running
        said = node.log
    finally:
        node.close()
    assert "Traceback" not in said
    trickle.assert_as_promised()
    jobs, events = await trio.to_thread.run_sync(collect.from_mysql, truth)
    marks = ledger.read(folder / "ledger")
    # Nothing was done to the node itself, so no job may have lost it.
    verdict = check(History(trickle.submissions, marks, jobs, events, [], LEASE_S, WORKERS, now_us()))
    assert verdict.violations == []
    assert verdict.table.succeeded == len(trickle.submissions) > 0
    return said


# -- the lines --------------------------------------------------------------------------------------------------------


def setting(proxy: Proxy, **values: Any) -> Callable[[], None]:
    def begin() -> None:
        for name, value in values.items():
            setattr(proxy, name, value)

    return begin


def dying(proxy: Proxy) -> None:
    proxy.refuse()
    proxy.reset()


def resetting_and_healing(proxy: Proxy) -> None:
    proxy.reset()
    proxy.heal()


def cutting(name: str, proxy: Proxy, begin: Callable[[], None], allowed: frozenset[int] = YES) -> Trial:
    """Return a trial that goes on until the proxy has cut one connection."""
    before = 0

    def arm() -> None:
        nonlocal before
        before = proxy.cuts
        begin()

    return Trial(name, arm, proxy.heal, allowed, struck=lambda: proxy.cuts > before)


def line_trials(part: str, proxy: Proxy, *, when_away: frozenset[int]) -> list[Trial]:
    """Return the faults of a line; ``when_away`` may be answered while its server cannot be reached."""
    return [
        Trial(f"{part} slow", setting(proxy, bytes_per_s=30_000), proxy.heal),
        Trial(f"{part} in a black hole", proxy.blackhole, proxy.heal, when_away),
        Trial(f"{part} dead", partial(dying, proxy), proxy.heal, when_away),
        Trial(f"{part} reset", proxy.reset, proxy.heal),
        Trial(f"{part} far, and reset", setting(proxy, latency_s=0.03), partial(resetting_and_healing, proxy)),
        *(
            cutting(f"{part} cut {way} after {n} bytes", proxy, partial(proxy.cut_after, n, way))
            for n in CUT_AFTER_BYTES
            for way in ("up", "down")
        ),
    ]


def commit_trials(proxy: Proxy) -> list[Trial]:
    return [
        cutting("cut before COMMIT", proxy, setting(proxy, cut="before")),
        cutting("cut after COMMIT", proxy, setting(proxy, cut="after")),
        cutting("COMMIT comes late", proxy, setting(proxy, cut="late"), YES_OR_LATER),
    ]


# -- the servers ------------------------------------------------------------------------------------------------------


def in_thread(call: Callable[..., object], *arguments: object) -> Act:
    """The proxies go on while the server makes up its mind."""
    return partial(trio.to_thread.run_sync, call, *arguments)


def mysql_trials(server: MariaDB, proxy: Proxy) -> list[Trial]:
    limit = server.limit_connections

    async def fill() -> None:
        await trio.to_thread.run_sync(limit, 0)
        proxy.reset()  # whoever has a connection would not notice

    return [
        Trial("MySQL read-only", in_thread(server.read_only, True), in_thread(server.read_only, False), YES_OR_LATER),
        Trial("MySQL frozen", server.stop, server.cont, YES_OR_LATER),
        Trial("MySQL full", fill, in_thread(limit, None), YES_OR_LATER),
    ]


def redis_trials(server: Redis) -> list[Trial]:
    return [
        Trial("Redis read-only", in_thread(server.readonly, True), in_thread(server.readonly, False)),
        Trial("Redis out of memory", in_thread(server.limit_memory, 1), in_thread(server.limit_memory, 0)),
        Trial("Redis frozen", server.stop, server.cont),
    ]


# By error 1040: before they have said who they are, or after; without those who never said it.
TURNED_AWAY = (
    "SELECT SUM(IF(variable_name = 'Aborted_connects_preauth', -1, 1) * variable_value) "
    "FROM information_schema.global_status WHERE variable_name IN "
    "('Connection_errors_max_connections', 'Aborted_connects', 'Aborted_connects_preauth')"
)


# -- the tests --------------------------------------------------------------------------------------------------------


async def break_mysql(server: MariaDB, index: str, folder: Path) -> None:
    async with proxy_before(server.ordinary_url) as line:
        trials = [
            *commit_trials(line),
            *line_trials("MySQL", line, when_away=YES_OR_LATER),
            *mysql_trials(server, line),
        ]
        said = await go_through(trials, store=line.url, truth=server.url, index=index, folder=folder)
    assert float(server.execute(TURNED_AWAY)[0][0]) >= 1
    assert "(1290)" in said


async def break_redis(server: Redis, store: str, folder: Path) -> None:
    async with proxy_before(server.url) as line:
        # Whoever submits never misses Redis.
        trials = [*line_trials("Redis", line, when_away=YES), *redis_trials(server)]
        said = await go_through(trials, store=store, truth=store, index=line.url, folder=folder)
    for reason in ("replica", "maxmemory", "does not answer"):
        assert reason in said


async def test_a_node_survives_whatever_happens_to_its_servers_and_the_lines_to_them(
    mysql_private_server: MariaDB, redis_server: Redis, mysql_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Side by side, as most of the time is waiting: one node whose MySQL is broken, and another whose Redis is."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(break_mysql, mysql_private_server, redis_url, made(tmp_path / "mysql"))
        nursery.start_soon(break_redis, redis_server, mysql_url, made(tmp_path / "redis"))


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder
