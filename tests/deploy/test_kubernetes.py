"""The manifests: Kubernetes has nothing against them, what they say of each other is so, and Tickr understands them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import httpx2
import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from tests.children import free_port
from tests.deploy.manifests import FILES, KUBERNETES, NO_OBJECTS, ROOT, Object, objects, of_kind, the, values
from tests.deploy.serving import AFTER_GRACE_S, served
from tests.docs.test_metrics_page import faults_of, promtool
from tests.processes import TickrProcess
from tickr.cli import main
from tickr.config import Config

VERSIONS = ("1.29", "1.37")
"""Of Kubernetes: an old one, and the newest that is known here."""
OTHERS = {"ScaledObject", "PodMonitor"}
"""Kinds that are no part of Kubernetes."""
MAKE_PODS = ("Deployment", "Job")
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
SECRET: dict[str, str] = the("Secret", "tickr").body["stringData"]
deployments = pytest.mark.parametrize("deployment", of_kind("Deployment"), ids=lambda one: one.name)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_has_nothing_against_them(version: str) -> None:
    known = [one for one in objects() if one.kind not in OTHERS]
    assert len(known) >= 9
    for one in known:
        kubernetes_validate.validate(one.body, version, strict=True)


def test_what_is_misspelt_would_be_found() -> None:
    body = the("Deployment", "tickr-api").body
    body["spec"]["template"]["spec"]["terminationGracePeriod"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(body, VERSIONS[-1], strict=True)


def test_the_kustomization_has_every_file_that_is_for_it() -> None:
    text = (KUBERNETES / "kustomization.yaml").read_text()
    named = {line.strip("# -\n") for line in text.splitlines() if line.strip("# -").endswith(".yaml")}
    apart = {"secret.example.yaml", "migrate.yaml"}
    assert named == {str(file.relative_to(KUBERNETES)) for file in FILES if file.name not in NO_OBJECTS | apart}
    (image,) = values("kustomization.yaml")["images"]
    assert {one.container["image"].partition(":")[0] for one in of_kind("Deployment")} == {image["name"]}
    assert the("Job", "tickr-migrate").container["image"] == f"{image['newName']}:{image['newTag']}"
    assert f'version = "{image["newTag"]}"' in (ROOT / "pyproject.toml").read_text()


def test_kubectl_makes_one_of_them() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed; the other tests read the files themselves")
    done = subprocess.run([kubectl, "kustomize", KUBERNETES], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    made = [(one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(done.stdout)]
    assert sorted(made) == [
        ("ConfigMap", "tickr"),
        *(("Deployment", name) for name in ("tickr-api", "tickr-workers")),
        *(("PodDisruptionBudget", name) for name in ("tickr-api", "tickr-workers")),
        ("Service", "tickr"),
    ]


# -- what they say of each other ---------------------------------------------------------------------------------------


def test_whoever_selects_pods_finds_those_of_one_deployment() -> None:
    pods = {one.name: one.pod_labels for one in of_kind(*MAKE_PODS)}

    def found(labels: dict[str, str]) -> list[str]:
        return [name for name, has in pods.items() if labels.items() <= has.items()]

    assert found(the("Service", "tickr").spec["selector"]) == ["tickr-api"]
    for one in of_kind("Deployment", "PodDisruptionBudget"):
        assert found(one.spec["selector"]["matchLabels"]) == [one.name]
    monitor = the("PodMonitor", "tickr").spec["selector"]
    (among,) = monitor["matchExpressions"]
    chosen = [name for name in found(monitor["matchLabels"]) if pods[name][among["key"]] in among["values"]]
    assert chosen == ["tickr-api", "tickr-workers"]
    assert {pods[name]["app.kubernetes.io/name"] for name in chosen} == {"tickr"}


def test_whatever_is_named_is_there() -> None:
    ports = {name for one in of_kind("Deployment") for name in one.ports}
    assert {port["port"] for port in the("PodMonitor", "tickr").spec["podMetricsEndpoints"]} == ports
    (port,) = the("Service", "tickr").spec["ports"]
    assert port["targetPort"] in the("Deployment", "tickr-api").ports
    for endpoint in the("PodMonitor", "tickr").spec["podMetricsEndpoints"]:
        assert endpoint["authorization"]["credentials"]["key"] in SECRET
    for one in of_kind(*MAKE_PODS):
        (source,) = one.container["envFrom"]
        assert source == {"secretRef": {"name": "tickr"}}
        mounted = {mount["name"] for mount in one.container.get("volumeMounts", ())}
        assert mounted == {volume["name"] for volume in one.pod.get("volumes", ())}
    for one in of_kind("ScaledObject", "HorizontalPodAutoscaler"):
        assert the("Deployment", one.spec["scaleTargetRef"]["name"])


def test_no_container_has_more_rights_than_it_needs() -> None:
    (uid,) = re.findall(r"--uid (\d+)", (ROOT / "Dockerfile").read_text())
    for one in of_kind(*MAKE_PODS):
        assert one.pod["securityContext"]["runAsNonRoot"]
        assert one.pod["securityContext"]["runAsUser"] == int(uid)
        assert one.pod["automountServiceAccountToken"] is False
        own = one.container["securityContext"]
        assert own["readOnlyRootFilesystem"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in one.container["resources"]["limits"]


# -- what Tickr makes of it --------------------------------------------------------------------------------------------


def words_of(deployment: Object, folder: Path) -> list[str]:
    """Return what the containers of ``deployment`` are started with, the file of settings being in ``folder``."""
    file = folder / "tickr.toml"
    file.write_text(the("ConfigMap", "tickr").body["data"]["tickr.toml"])
    return [str(file) if word == "/etc/tickr/tickr.toml" else word for word in deployment.container["args"]]


def config_of(deployment: Object, folder: Path) -> Config:
    return served(words_of(deployment, folder), SECRET)


@deployments
def test_tickr_understands_its_settings(deployment: Object, tmp_path: Path) -> None:
    config = config_of(deployment, tmp_path)
    assert {"/etc/tickr", "/tmp"} == {mount["mountPath"] for mount in deployment.container["volumeMounts"]}
    listens = {"http": config.port} if "api" in config.roles else {"metrics": config.metrics_port}
    assert deployment.ports == listens
    for probe in PROBES:
        assert deployment.container[probe]["httpGet"]["port"] in deployment.ports


def test_together_they_have_every_role(tmp_path: Path) -> None:
    roles = [config_of(one, tmp_path).roles for one in of_kind("Deployment")]
    assert sorted(role for some in roles for role in some) == ["api", "scheduler", "worker"]


@deployments
def test_a_pod_has_the_time_that_a_stop_takes(deployment: Object, tmp_path: Path) -> None:
    hooks = deployment.container.get("lifecycle", {})
    _, before = hooks["preStop"]["exec"]["command"] if hooks else ("sleep", 0)
    takes = float(before) + config_of(deployment, tmp_path).grace + AFTER_GRACE_S
    assert takes < deployment.pod["terminationGracePeriodSeconds"] < takes + 30


def test_the_service_puts_no_setting_into_a_pod() -> None:
    """Kubernetes gives each pod TICKR_PORT=tcp://… for a Service named tickr, unless told not to."""
    assert the("Service", "tickr")
    assert [one.pod["enableServiceLinks"] for one in of_kind(*MAKE_PODS)] == [False, False, False]


def test_the_job_calls_a_command_that_there_is() -> None:
    (command,) = the("Job", "tickr-migrate").container["args"]
    assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0
    said = CliRunner().invoke(main, [command], env={"TICKR_STORE": "memory:"})
    assert said.exit_code != 2, said.output


@pytest.mark.slow
@deployments
def test_its_probes_are_answered_without_a_token(
    deployment: Object, tmp_path: Path, mysql_url: str, redis_url: str
) -> None:
    asked = free_port()
    listening = ["--host", "127.0.0.1", *([] if "http" in deployment.ports else ["--metrics-port", str(asked)])]
    node = TickrProcess(
        store=mysql_url,
        index=redis_url,
        arguments=[*words_of(deployment, tmp_path)[1:], *listening],
        variables={"TICKR_TOKEN": SECRET["TICKR_TOKEN"]},
    )
    if "http" not in deployment.ports:
        node.url = f"http://127.0.0.1:{asked}"
    with node:
        for name in PROBES:
            path = deployment.container[name]["httpGet"]["path"]
            assert httpx2.get(node.url + path).status_code == 200
        assert httpx2.get(f"{node.url}/metrics").status_code == 401
        node.terminate()
        assert node.wait(timeout_s=20) == 0


# -- what scales them --------------------------------------------------------------------------------------------------


def keda_query() -> str:
    (trigger,) = the("ScaledObject", "tickr-workers").spec["triggers"]
    return str(trigger["metadata"]["query"])


def adapter_query() -> str:
    (rule,) = values("prometheus-adapter.yaml")["rules"]["external"]
    query = str(rule["metricsQuery"]).replace("<<.Series>>", rule["seriesQuery"])
    return query.replace("<<.LabelMatchers>>", 'namespace="jobs"')


def test_the_age_that_they_go_by_is_told_by_tickr() -> None:
    (rule,) = values("prometheus-adapter.yaml")["rules"]["external"]
    (metric,) = the("HorizontalPodAutoscaler", "tickr-workers").spec["metrics"]
    assert metric["external"]["metric"]["name"] == rule["name"]["as"]
    assert faults_of(keda_query()) == []
    assert faults_of(adapter_query().replace('namespace="jobs"', "")) == []


def test_both_ways_do_the_same() -> None:
    keda, hpa = the("ScaledObject", "tickr-workers").spec, the("HorizontalPodAutoscaler", "tickr-workers").spec
    (trigger,), (metric,) = keda["triggers"], hpa["metrics"]
    assert [keda["minReplicaCount"], keda["maxReplicaCount"]] == [hpa["minReplicas"], hpa["maxReplicas"]]
    assert trigger["metadata"]["threshold"] == metric["external"]["target"]["value"]
    assert trigger["metricType"] == metric["external"]["target"]["type"]
    assert keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]
    assert keda["minReplicaCount"] >= the("Deployment", "tickr-workers").spec["replicas"]


@pytest.mark.parametrize("query", [keda_query(), adapter_query()], ids=["keda", "adapter"])
def test_prometheus_answers_with_the_age_of_the_oldest_job_of_all_whoever_tells_it(query: str, tmp_path: Path) -> None:
    ages = {("a", "mail"): "40", ("a", "default"): "0", ("b", "mail"): "41", ("b", "default"): "0"}
    series = [
        {
            "series": f"tickr_queue_oldest_due_seconds{{instance='{pod}', queue='{queue}', namespace='jobs'}}",
            "values": f"{age}x10",
        }
        for (pod, queue), age in ages.items()
    ]
    asked = {"expr": query, "eval_time": "5m", "exp_samples": [{"labels": "{}", "value": 41}]}
    path = tmp_path / "tests.yml"
    path.write_text(yaml.safe_dump({"tests": [{"input_series": series, "promql_expr_test": [asked]}]}))
    assert promtool("test", "rules", path) == ""
    asked["exp_samples"] = [{"labels": "{}", "value": 81}]
    path.write_text(yaml.safe_dump({"tests": [{"input_series": series, "promql_expr_test": [asked]}]}))
    assert promtool("test", "rules", path) != ""
