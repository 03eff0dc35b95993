"""The manifests in deploy/kubernetes/, taken apart.

Comes in: the files. Goes out: what a cluster would be given.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parent.parent.parent
KUBERNETES = ROOT / "deploy" / "kubernetes"
FILES = sorted(KUBERNETES.rglob("*.yaml"))
NO_OBJECTS = {"kustomization.yaml", "prometheus-adapter.yaml"}
"""For `kubectl`, and for helm."""


class Object(NamedTuple):
    """One object: the file that it is from, and what it says."""

    file: str
    body: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def spec(self) -> dict[str, Any]:
        return dict(self.body["spec"])

    @property
    def pod_labels(self) -> dict[str, str]:
        return dict(self.spec["template"]["metadata"]["labels"])

    @property
    def pod(self) -> dict[str, Any]:
        """What a pod of this one is. Raises: KeyError: it makes none."""
        return dict(self.spec["template"]["spec"])

    @property
    def container(self) -> dict[str, Any]:
        (only,) = self.pod["containers"]
        return dict(only)

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container.get("ports", ())}


def objects() -> Iterator[Object]:
    for file in FILES:
        if file.name not in NO_OBJECTS:
            for body in yaml.safe_load_all(file.read_text()):
                yield Object(file.name, body)


def of_kind(*kinds: str) -> list[Object]:
    return [one for one in objects() if one.kind in kinds]


def the(kind: str, name: str) -> Object:
    (found,) = [one for one in of_kind(kind) if one.name == name]
    return found


def values(name: str) -> dict[str, Any]:
    """Return a file that holds no objects."""
    (file,) = [one for one in FILES if one.name == name]
    return dict(yaml.safe_load(file.read_text()))
