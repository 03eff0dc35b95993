"""The container files say nothing that Tickr would not understand. (That they run is seen only where Docker is.)"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.serving import AFTER_GRACE_S, served
from tickr.errors import ConfigError
from tickr.store.mysql_address import parse

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
TICKR: dict[str, Any] = SERVICES["tickr"]
TOKEN = "a-token-that-is-long-enough-0123456789"


def environment(**of_shell: str) -> dict[str, str]:
    """Return Tickr's variables as compose fills them in from those of the shell, or of a file .env."""
    unset = re.compile(r"\$\{(\w+):-([^}]*)\}")
    return {
        name: unset.sub(lambda found: of_shell.get(found[1]) or found[2], value)
        for name, value in TICKR["environment"].items()
    }


def dockerfile() -> dict[str, list[str]]:
    """Return the instructions of the image that is shipped: word → what follows it, each time it comes."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.rpartition("\nFROM ")[2].splitlines()[1:]:
        word, _, rest = line.partition(" ")
        found.setdefault(word, []).append(rest.strip())
    return found


def test_tickr_understands_its_settings() -> None:
    config = served(TICKR["command"], environment())
    database = parse(config.store)
    made = SERVICES[database.host]["environment"]
    assert database.port == 3306
    assert [database.database, database.user, database.password] == [
        made[f"MYSQL_{key}"] for key in ("DATABASE", "USER", "PASSWORD")
    ]
    assert config.index == "redis://redis:6379/0"
    assert "redis" in SERVICES
    assert float(TICKR["stop_grace_period"].removesuffix("s")) > config.grace + AFTER_GRACE_S
    assert config.token is None
    assert served(TICKR["command"], environment(TICKR_TOKEN=TOKEN)).token == TOKEN


def test_without_access_control_only_this_machine_gets_in() -> None:
    config = served(TICKR["command"], environment())
    assert config.insecure
    assert TICKR["ports"] == [f"127.0.0.1:8080:{config.port}"]
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["tickr"]


def test_all_of_them_come_back_by_themselves_and_the_jobs_are_kept() -> None:
    assert {service["restart"] for service in SERVICES.values()} == {"unless-stopped"}
    assert SERVICES["mysql"]["volumes"] == ["mysql:/var/lib/mysql"]
    assert all("healthcheck" in SERVICES[name] for name in ("mysql", "redis"))
    assert dockerfile()["HEALTHCHECK"]


def test_every_server_that_is_waited_for_tells_its_health() -> None:
    for name, wanted in TICKR["depends_on"].items():
        assert wanted["condition"] == "service_started" or "healthcheck" in SERVICES[name]
    assert set(COMPOSE["volumes"]) == {"mysql"}


def test_the_image_asks_for_access_control() -> None:
    (command,) = dockerfile()["CMD"]
    words = yaml.safe_load(command)
    with pytest.raises(ConfigError, match="TICKR_TOKEN"):
        served(words, {})
    config = served(words, {"TICKR_TOKEN": TOKEN})
    assert dockerfile()["EXPOSE"] == [str(config.port)]
    assert f"127.0.0.1:{config.port}/livez" in dockerfile()["HEALTHCHECK"][0]


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert dockerfile()["USER"] == ["tickr"]
    assert dockerfile()["STOPSIGNAL"] == ["SIGTERM"]
    assert dockerfile()["ENTRYPOINT"] == ['["tickr"]']


def seen_by_docker() -> set[str]:
    """Return what ``.dockerignore`` leaves of this folder."""
    return {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}


def copied() -> list[tuple[list[str], str]]:
    """Return what the image is built from, and where each comes to."""
    words = [line.split()[1:] for line in (ROOT / "Dockerfile").read_text().splitlines() if line[:5] == "COPY "]
    return [(names, to) for *names, to in words]


def test_everything_the_image_is_built_from_reaches_docker() -> None:
    built_from = {"pyproject.toml", "README.md", "LICENSE", "tickr", "clients/js"}
    assert seen_by_docker() == built_from
    assert {name for names, _ in copied() for name in names} == built_from
    assert all((ROOT / name).exists() for name in built_from)
