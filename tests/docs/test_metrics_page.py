"""docs/metrics.md, the dashboard and the alerts speak of what a real node tells, and Prometheus understands them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.conftest import do_without
from tests.docs.pages import ROOT, anchors, code, table
from tests.processes import TickrProcess
from tests.scraped import Scrape
from tickr.metrics.families import FAMILIES, Family

PAGE = ROOT / "docs" / "metrics.md"
DASHBOARD = ROOT / "deploy" / "grafana" / "tickr.json"
PROMETHEUS = ROOT / "deploy" / "prometheus"
PARTS = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
OF_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus puts on every series; and ``up`` is a series of its own."""
VARIABLES = {"$job": "tickr", "$queue": ".*", "$__rate_interval": "5m"}


# -- the table --------------------------------------------------------------------------------------------------------


def documented() -> dict[str, list[str]]:
    """Return the row of each metric on the page, without its name."""
    rows = table(PAGE.read_text(), "metric", "kind", "labels", "what it says")
    return {name: row for (cell, *row) in rows for name in code(cell)}


def row_of(family: Family) -> list[str]:
    return [family.kind, ", ".join(f"`{label}`" for label in family.labels) or "–", family.help]


def test_the_table_is_that_of_the_program() -> None:
    shown = documented()
    del shown["python_info"]
    assert shown == {family.name: row_of(family) for family in FAMILIES.values()}


@pytest.mark.slow
def test_the_table_has_what_a_real_node_tells_and_nothing_else() -> None:
    with TickrProcess(workers=2) as node:
        httpx2.post(f"{node.url}/jobs", json={"type": "report", "payload": {"time": 0}}).raise_for_status()
        httpx2.get(f"{node.url}/queues").raise_for_status()
        found = Scrape(httpx2.get(f"{node.url}/metrics").raise_for_status().text)
    told = {name: [family.type, family.documentation] for name, family in found.families.items()}
    assert told == {name: [row[0], row[2]] for name, row in documented().items()}
    for name, family in found.families.items():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels == set(code(documented()[name][1])), name


def test_names_and_units_go_by_the_conventions_of_prometheus() -> None:
    for family in FAMILIES.values():
        assert re.fullmatch(r"(tickr|process)_[a-z]+(_[a-z]+)*", family.name)
        assert (family.kind == "counter") == family.name.endswith("_total")
        assert not re.search(r"_(ms|us|milliseconds|kb|mb)\b", family.name)
        assert family.help.endswith(".")
        assert (family.kind == "histogram") == bool(family.bounds)
        assert list(family.bounds) == sorted(set(family.bounds))


# -- what asks for them -----------------------------------------------------------------------------------------------


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text())["panels"])


def expressions() -> Iterator[tuple[str, str]]:
    """Yield every PromQL there is, and where it stands."""
    for alert in alerts():
        yield alert["alert"], alert["expr"]
    for panel in panels():
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            yield panel["title"], expression
    for question, cell in table(PAGE.read_text(), "question", "PromQL"):
        yield question, code(cell)[0]


SERIES = {family.name + part: family for family in FAMILIES.values() for part in PARTS[family.kind]}
_SELECTOR = re.compile(r"\b((?:tickr|process)_\w+|up\b)(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\b(?:by|without) \(([^)]*)\)")


def faults_of(expression: str) -> list[str]:
    """Return what ``expression`` asks for that no scrape has: names, and labels of these names."""
    faults: list[str] = []
    known = set(OF_PROMETHEUS)
    for name, matchers in _SELECTOR.findall(expression):
        if name not in SERIES and name != "up":
            faults.append(f"there is no {name}")
            continue
        labels = {*OF_PROMETHEUS, *(SERIES[name].labels if name in SERIES else ())}
        labels |= {"le"} if name.endswith("_bucket") else set()
        known |= labels
        asked = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)
        faults += [f"{name} has no label {label}" for label in asked if label not in labels]
    grouped = {label.strip() for found in _GROUPED.findall(expression) for label in found.split(",")}
    return faults + [f"nothing here has a label {label}" for label in sorted(grouped - known)]


def test_whatever_is_asked_for_is_there() -> None:
    faults = [f"{where}: {fault}" for where, expression in expressions() for fault in faults_of(expression)]
    assert not faults, "\n" + "\n".join(faults)


def test_what_is_not_there_is_found() -> None:
    assert faults_of("rate(tickr_jobs_done_total[5m])") == ["there is no tickr_jobs_done_total"]
    assert faults_of('tickr_queue_ready_jobs{kind="a"}') == ["tickr_queue_ready_jobs has no label kind"]
    assert faults_of("sum by (le, quue) (rate(tickr_job_run_seconds_bucket[5m]))") == ["nothing here has a label quue"]
    assert faults_of("tickr_job_run_seconds") == ["there is no tickr_job_run_seconds"]
    assert faults_of('sum by (le) (rate(tickr_job_run_seconds_bucket{type="a", job="x"}[5m])) > up') == []


def test_every_metric_of_tickr_is_on_the_dashboard_or_said_to_be_for_other_use() -> None:
    shown = {name for _, expression in expressions() for name, _ in _SELECTOR.findall(expression)}
    unseen = {
        family.name for family in FAMILIES.values() if not {family.name + part for part in PARTS[family.kind]} & shown
    }
    assert unseen == {
        "tickr_node_info",  # the dashboard's list of jobs is made of it
        "tickr_node_stopping",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    }


def test_the_dashboard_is_whole() -> None:
    found = json.loads(DASHBOARD.read_text())
    assert len({panel["id"] for panel in panels()}) == len(panels())
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()]
    assert len(set(places)) == len(places)
    assert all(0 <= panel["gridPos"]["x"] <= 24 - panel["gridPos"]["w"] for panel in panels())
    assert {one["name"] for one in found["templating"]["list"]} == {"datasource", "job", "queue"}
    assert re.findall(r"\$\{?(\w+)", DASHBOARD.read_text()) != []
    assert set(re.findall(r"\$\{?(\w+)", DASHBOARD.read_text())) == {"datasource", "job", "queue", "__rate_interval"}


def test_every_alert_says_where_it_is_told_what_to_do() -> None:
    for alert in alerts():
        link = alert["annotations"]["runbook_url"]
        assert link == f"docs/metrics.md#{alert['alert'].lower()}"
        assert link.partition("#")[2] in anchors(PAGE.read_text())
        assert alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in ("warning", "critical")
    told = set(re.findall(r"^### (Tickr\w+)$", PAGE.read_text(), re.MULTILINE))
    assert told == {alert["alert"] for alert in alerts()}


# -- Prometheus itself ------------------------------------------------------------------------------------------------


def promtool(*arguments: str | Path, told: str = "") -> str:
    """Run Prometheus' own checker, and tell it ``told``. Returns what it says is wrong; "": nothing."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), f"{sys.prefix}/bin"))
    found = shutil.which("promtool", path=path)
    if found is None:
        do_without("promtool is not installed")
    command = [found, *map(str, arguments)]
    done = subprocess.run(command, input=told, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_prometheus_takes_the_alerts_and_the_configuration() -> None:
    assert promtool("check", "rules", PROMETHEUS / "alerts.yml") == ""
    assert promtool("check", "config", "--syntax-only", PROMETHEUS / "prometheus.yml") == ""


def test_prometheus_understands_every_expression(tmp_path: Path) -> None:
    rules = [{"record": f"x:{number}", "expr": expression} for number, (_, expression) in enumerate(expressions())]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    assert promtool("check", "rules", path) == ""
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": [{"record": "x:y", "expr": "sum by (a up"}]}]}))
    assert promtool("check", "rules", path) != ""


@pytest.mark.slow
def test_prometheus_has_nothing_against_a_scrape() -> None:
    with TickrProcess(workers=2) as node:
        httpx2.post(f"{node.url}/jobs", json={"type": "report", "payload": {"time": 0}}).raise_for_status()
        text = httpx2.get(f"{node.url}/metrics").raise_for_status().text
    assert promtool("check", "metrics", told=text) == ""
    assert promtool("check", "metrics", told=text + "tickr_bad{ 1\n") != ""


SERIES_OF_ALERTS = {
    "TickrDown": [("up{job='tickr', instance='a'}", "0x60")],
    "TickrStoreDown": [("tickr_store_up{instance='a'}", "0x60")],
    "TickrNoWorker": [
        ("tickr_cluster_nodes{job='tickr', instance='a', role='worker'}", "0x60"),
        ("tickr_cluster_nodes{job='tickr', instance='a', role='remote'}", "0x60"),
    ],
    "TickrBacklogOld": [("tickr_queue_oldest_due_seconds{job='tickr', queue='q'}", "301x60")],
    "TickrFailures": [
        ("tickr_jobs_finished_total{job='tickr', type='a', outcome='failed'}", "0+2x60"),
        ("tickr_jobs_finished_total{job='tickr', type='a', outcome='succeeded'}", "0+10x60"),
    ],
    "TickrDeadLettersGrow": [("tickr_jobs_finished_total{job='tickr', type='a', outcome='failed'}", "0+4x60")],
    "TickrIndexDown": [("tickr_index_up{instance='a'}", "0x60")],
    "TickrIndexLosesJobs": [("tickr_index_missing_jobs_total{job='tickr'}", "0+20x60")],
    "TickrLoopLag": [
        ("tickr_event_loop_lag_seconds_bucket{job='tickr', instance='a', le='0.25'}", "0+90x60"),
        ("tickr_event_loop_lag_seconds_bucket{job='tickr', instance='a', le='0.5'}", "0+100x60"),
        ("tickr_event_loop_lag_seconds_bucket{job='tickr', instance='a', le='+Inf'}", "0+100x60"),
    ],
    "TickrLeaseOld": [("tickr_node_lease_age_seconds{instance='a'}", "11x60")],
    "TickrStuckHandlers": [("tickr_node_stuck_handlers{instance='a'}", "1x60")],
    "TickrStoreBusy": [("tickr_store_connections_waiting{instance='a', pool='jobs'}", "1x60")],
    "TickrFeedTooSlow": [("tickr_feed_too_slow_total{job='tickr', instance='a'}", "0+1x60")],
}
"""For each alert series with which it is to fire within the hour, and does not with their healthy opposite."""
HEALTHY = {
    "up": "1x60",
    "tickr_store_up": "1x60",
    "tickr_index_up": "1x60",
    "tickr_cluster_nodes": "1x60",
    "tickr_jobs_finished_total{job='tickr', type='a', outcome='succeeded'}": "0+10x60",
    "tickr_event_loop_lag_seconds_bucket": "0+100x60",
}


def test_every_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    assert SERIES_OF_ALERTS.keys() == {alert["alert"] for alert in alerts()}
    tests = [*_cases(fires=True), *_cases(fires=False)]
    path = tmp_path / "tests.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(PROMETHEUS / "alerts.yml")], "tests": tests}))
    assert promtool("test", "rules", path) == ""


def _cases(*, fires: bool) -> Iterator[dict[str, Any]]:
    for name, series in SERIES_OF_ALERTS.items():
        given = [
            {"series": one, "values": bad if fires else HEALTHY.get(one, HEALTHY.get(one.partition("{")[0], "0x60"))}
            for one, bad in series
        ]
        expression = f"count(ALERTS{{alertname='{name}', alertstate='firing'}}) > bool 0"
        expected = [{"labels": "{}", "value": 1}] if fires else []
        yield {
            "interval": "1m",
            "input_series": given,
            "promql_expr_test": [{"expr": expression, "eval_time": "59m", "exp_samples": expected}],
        }
