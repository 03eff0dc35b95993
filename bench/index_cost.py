"""What the index of dead letters costs: storing, claiming and ending jobs with it and, beside that, without it.

Straight through the store, in turns, in processor time of this process and of the database: with SQLite that is one,
with --store mysql the server's alone is told. --failed of a hundred jobs end as dead letters.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import trio
import uuid_utils

from bench.million.asking import cpu_ns
from bench.report import figures
from bench.report.report import Report
from bench.stage import stage
from bench.stage.stage import Place
from tests.servers import mysql_execute
from tickr.jobs import Job, NewJob
from tickr.reasons import Failure
from tickr.reports import Outcome
from tickr.store.contract import Node, Store
from tickr.store.open import open_store

SIZE = 500
"""Jobs of a transaction."""
WITH, WITHOUT = "with", "without"
NODE = Node(id="n1", host="bench", pid=1, version="0", types=("noop",), slots=SIZE, roles=("worker",))


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser)
    parser.add_argument("--rounds", type=int, default=10, help="of each side; one more before them does not count")
    parser.add_argument("--jobs", type=int, default=5_000, help="of each round")
    parser.add_argument("--failed", default="0,10", help="of a hundred jobs; several take turns, too")


def run(given: argparse.Namespace, report: Report) -> None:
    shares = [int(word) for word in given.failed.split(",")]
    rounds: list[dict[str, Any]] = []
    with ExitStack() as opened:
        on = opened.enter_context(stage.open_stage(given))
        places = {side: on.place() for side in (WITH, WITHOUT)}
        for place in places.values():
            trio.run(_make, place.store)
        _without(places[WITHOUT])
        pids = on.parties(0).get("database", [os.getpid()])
        progress = opened.enter_context(report.steps(2 * (given.rounds + 1) * len(shares)))
        for share in shares:
            for number, side in figures.turns([WITH, WITHOUT], given.rounds + 1):
                progress.step(f"{share} % failed, {side}, round {number}")
                used = cpu_ns(pids)
                trio.run(partial(_work, places[side].store, given.jobs, share))
                us = (cpu_ns(pids) - used) / given.jobs / 1000
                rounds.append({"round": number - 1, "side": f"{share} %, {side}", "cpu_us": us})
        described = on.describe()
    counted = [one for one in rounds if one["round"] >= 0]
    sides = [f"{share} %, {side}" for share in shares for side in (WITH, WITHOUT)]
    table = [{"side": side, "cpu_us": figures.median(counted, side, "cpu_us")} for side in sides]
    pairs = zip(sides[::2], sides[1::2], strict=True)
    ratios = [figures.ratio(counted, "cpu_us", one, other) for one, other in pairs]
    report.table(table, "microseconds of processor time for each job, medians")
    report.ratios(ratios)
    report.keep(described, counted, {"table": table, "ratios": ratios})


async def _make(url: str) -> None:
    async with open_store(url):
        pass


def _without(place: Place) -> None:
    """Take the index away, and the column that it is of: whoever writes does not know of it."""
    if place.store.startswith("sqlite:"):
        with closing(sqlite3.connect(place.store.removeprefix("sqlite:///"))) as db, db:
            db.execute("DROP INDEX jobs_dead")
            db.execute("ALTER TABLE jobs DROP COLUMN dead_kind")
    else:
        mysql_execute(place.store, "ALTER TABLE jobs DROP KEY jobs_dead, DROP COLUMN dead_kind")


async def _work(url: str, count: int, share: int) -> None:
    async with open_store(url) as store:
        await store.register(NODE, lease_s=600)
        stored = [await _insert(store) for _ in range(count // SIZE)]
        for ids in stored:
            claimed = await store.claim(ids, node=NODE.id, types={"noop"}, suspects=0)
            await store.finish(list(_ends(claimed, share)))


async def _insert(store: Store) -> list[str]:
    payload = '{"data":"' + "x" * 200 + '"}'
    jobs = [NewJob(id=str(uuid_utils.uuid7()), type="noop", payload=payload) for _ in range(SIZE)]
    return [job.id for job, _ in await store.insert(jobs)]


def _ends(jobs: list[Job], share: int) -> Iterator[Outcome]:
    for number, job in enumerate(jobs):
        if number % 100 < share:
            yield Outcome(job=job, kind="failed", failure=Failure("exception", "no"))
        else:
            yield Outcome(job=job, kind="succeeded", result="{}")
