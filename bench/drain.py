"""Draining: how fast one node works off no-op jobs that are waiting, beside a bare pipeline.

Each round fills an empty store (and the index) without any node running, then starts one. The clock runs from the
first job's start by the store's clock until nothing is due or running there any more. The other side is
``bench/bare_pipeline.py``; with SQLite there is none.
"""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from bench.bare_pipeline import pipeline
from bench.load.store import Fill, Filled, fill
from bench.report import figures
from bench.report.report import Report
from bench.stage import stage
from bench.stage.remote import Remote
from bench.stage.stage import Place, Stage
from bench.stage.usage import SERVING, Usage, cpu_columns, others_share
from bench.stage.watch import Ended, Watch, watch

WITHIN_S = 300.0


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser, workers=100)
    parser.add_argument("--jobs", type=int, default=40_000, help="of each round")
    parser.add_argument("--rounds", type=int, default=5, help="of each side")
    parser.add_argument("--payload-bytes", type=int, default=32)
    parser.add_argument("--alone", action="store_true", help="without the bare pipeline")


def run(given: argparse.Namespace, report: Report) -> None:
    rounds: list[dict[str, Any]] = []
    with stage.open_stage(given) as on:
        sides = (
            ["tickr"]
            if given.alone or not on.name.endswith("-redis") or on.name.startswith("sqlite")
            else ["tickr", "bare"]
        )
        with report.steps(len(sides) * given.rounds) as progress:
            for number, side in figures.turns(sides, given.rounds):
                progress.step(f"{side}, round {number + 1} of {given.rounds}: {given.jobs:,} jobs")
                place = on.place()
                found = (_bare if side == "bare" else _tickr)(given, on, place)
                on.clear(place)
                rounds.append({"round": number, "side": side, "jobs": given.jobs, **found})
        described = on.describe()
    table = [row(rounds, side) for side in sides]
    told = [figure for figure in ("jobs/s", "jobs/cpu_s") if all(one[figure] for one in rounds)]
    ratios = [figures.ratio(rounds, figure, "tickr", "bare") for figure in told] if len(sides) > 1 else []
    report.table(table)
    report.ratios(ratios)
    report.bars({line["side"]: line["jobs/s"] for line in table}, "jobs/s", "jobs drained a second")
    report.keep(described, rounds, {"table": table, "ratios": ratios})


def _tickr(given: argparse.Namespace, on: Stage, place: Place) -> dict[str, Any]:
    payload = payload_of(given.payload_bytes)
    with Remote("fill", fill) as filling:
        order = Fill(given.jobs, {"type": "noop", "payload": payload})
        filled: Filled = filling.ask(place.store, place.index, order, within_s=600)
    with Remote("watch", watch, place.store) as watching, on.node(place, wait=False) as node:
        watching.tell(Watch(filled.since_us, given.jobs, WITHIN_S, tell_begin=True))
        assert node.process is not None
        process = node.process
        watching.answer(WITHIN_S, while_=lambda: process.running)
        usage = Usage(on.parties(node, watching))  # without what the start of the node took
        ended: Ended = watching.answer(WITHIN_S + 30, while_=lambda: process.running)
        used = usage.so_far()
    if ended.succeeded != given.jobs:
        raise SystemExit(f"only {ended.succeeded:,} of {given.jobs:,} jobs succeeded within {WITHIN_S:g} s")
    seconds = (ended.seen_at - ended.first_started) / 1e6
    return {**_rates(given.jobs, seconds, used), "filled/s": given.jobs / filled.seconds}


def _bare(given: argparse.Namespace, on: Stage, place: Place) -> dict[str, Any]:
    with Remote("bare", pipeline, place.store, place.index) as bare:
        bare.ask("fill", given.jobs, payload_of(given.payload_bytes), within_s=600)
        usage = Usage(on.parties(bare.pid))
        seconds: float = bare.ask("drain", given.jobs, given.workers, within_s=WITHIN_S)
        return _rates(given.jobs, seconds, usage.so_far())


def _rates(jobs: int, seconds: float, used: dict[str, Any]) -> dict[str, Any]:
    busy_s = sum(used["cpu_s"].get(party, 0.0) for party in SERVING)
    return {"seconds": seconds, "jobs/s": jobs / seconds, "jobs/cpu_s": jobs / busy_s if busy_s else None, **used}


def payload_of(n_bytes: int) -> str:
    return msgspec.json.encode({"data": "x" * n_bytes}).decode()


def row(rounds: list[dict[str, Any]], side: str) -> dict[str, Any]:
    """Return a line of the table."""
    mine = [one for one in rounds if one["side"] == side]
    return {
        "side": side,
        "jobs/s": figures.median(mine, side, "jobs/s"),
        "least": min(one["jobs/s"] for one in mine),
        "most": max(one["jobs/s"] for one in mine),
        **{f"{name} µs": cpu_columns(mine, "jobs").get(f"{name} µs") for name in ("server", "database", "redis")},
        "others": others_share(mine),
    }
