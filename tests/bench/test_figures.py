"""The statistics and what is shown of them."""

from __future__ import annotations

import argparse
import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.load.address import Address
from bench.report import figures, plot, terminal
from bench.report.report import Report, without_password
from bench.stage import usage


def rounds(**sides: list[float]) -> list[dict[str, object]]:
    return [
        {"round": number, "side": side, "jobs/s": value}
        for side, values in sides.items()
        for number, value in enumerate(values)
    ]


def test_a_distribution_has_its_quantiles_in_the_values_own_unit() -> None:
    found = figures.distribution([*range(1, 1001)])
    assert (found["count"], found["min"], found["max"], found["mean"]) == (1000, 1, 1000, 500.5)
    assert (found["p50"], found["p90"], found["p99"], found["p999"]) == (501, 901, 991, 1000)
    assert len(found["thousandths"]) == 1001
    assert figures.distribution([]) == {"count": 0}


def test_sides_take_turns_and_the_order_changes() -> None:
    assert list(figures.turns(["a", "b"], 3)) == [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]


def test_a_ratio_is_of_the_medians_with_the_spread_of_single_rounds() -> None:
    found = figures.ratio(rounds(mine=[8, 10, 30], theirs=[10, 20, 10]), "jobs/s", "mine", "theirs")
    assert found == {
        "of": "mine / theirs",
        "figure": "jobs/s",
        "ratio": 1.0,
        "least": 0.5,
        "most": 3.0,
        "rounds": 3,
    }
    assert figures.said(found) == "mine / theirs (jobs/s): 1.00 (0.50..3.00 over 3 rounds)"


def test_a_ratio_pairs_rounds_by_their_number_however_they_are_sorted() -> None:
    some = rounds(mine=[8, 10], theirs=[10, 20])
    mixed = [some[1], some[0], *some[2:]]
    assert figures.ratio(mixed, "jobs/s", "mine", "theirs") == figures.ratio(some, "jobs/s", "mine", "theirs")


def test_a_ratio_of_unequal_numbers_of_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        figures.ratio(rounds(mine=[8], theirs=[10, 20]), "jobs/s", "mine", "theirs")


def test_a_slope() -> None:
    assert figures.slope([0, 1, 2], [5, 7, 9]) == 2
    assert figures.slope([3], [5]) == 0


def test_a_table_aligns_words_left_and_numbers_right() -> None:
    table = terminal.table([{"side": "a", "jobs/s": 12345.6, "p50": 0.5}, {"side": "bare", "jobs/s": 7.0, "p50": None}])
    assert table.splitlines() == [
        "side  jobs/s   p50",
        "a     12,346  0.50",
        "bare    7.00     –",
    ]


def test_bars_are_as_long_as_their_values() -> None:
    lines = terminal.bars({"all": 8.0, "half": 4.0, "none": 0.0}, "jobs").splitlines()
    assert [line.count("█") for line in lines] == [terminal.BAR, terminal.BAR // 2, 0]
    assert [line.split()[-2:] for line in lines] == [["8", "jobs"], ["4", "jobs"], ["0", "jobs"]]


def test_no_password_is_kept(tmp_path: Path) -> None:
    url = "mysql://tickr:se:cret@db/tickr"
    assert without_password(f"--store {url} --index redis://:pw@cache/0") == (
        "--store mysql://tickr:…@db/tickr --index redis://:…@cache/0"
    )
    given = argparse.Namespace(store=url, results=tmp_path)
    path = Report("batch", ["batch", "--store", url], given).keep({"name": "mysql-redis"}, [{"round": 0}], {})
    assert "cret" not in path.read_text()
    assert json.loads(path.read_text())["given"]["store"] == "mysql://tickr:…@db/tickr"


def test_a_plot_is_a_picture_where_it_can_be_drawn(tmp_path: Path) -> None:
    curves = {"tickr": plot.Curve([1, 10], [100.0, 900.0])}
    path = tmp_path / "plot.png"
    drawn = plot.write(plot.Plot("Batches", "jobs of a batch", "jobs a second", curves, log="x"), path)
    assert drawn is (find_spec("matplotlib") is not None)
    assert drawn is (path.exists() and path.read_bytes().startswith(b"\x89PNG"))


def test_a_cumulative_plot_leaves_out_what_has_no_values() -> None:
    some = {"a": figures.distribution([1.0, 2.0]), "b": figures.distribution([])}
    found = plot.cumulative(some, "Latency", "ms")
    assert list(found.curves) == ["a"]
    assert (found.curves["a"].x[0], found.curves["a"].x[-1], found.curves["a"].y[-1]) == (1, 2, 100)
    assert found.log == "x"


def test_processor_time_of_a_party_counts_its_processes() -> None:
    mine = usage.Usage({"me": [os.getpid()]})
    before = usage.cpu_s(os.getpid())
    while usage.cpu_s(os.getpid()) < before + 0.05:
        pass
    assert mine.so_far()["cpu_s"]["me"] >= 0.05
    assert usage.cpu_s(2**22 + 1) == 0  # nobody
    assert os.getpid() in usage.family(os.getppid())


def test_an_address_of_a_url() -> None:
    assert Address.of("http://127.0.0.1:8080") == Address("127.0.0.1", 8080)
    assert Address.of("http://tickr/", "t").access == "Authorization: Bearer t\r\n"
    with pytest.raises(SystemExit, match="http://host:port"):
        Address.of("https://tickr")
