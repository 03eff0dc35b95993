"""Where settings come from: flag > variable > file > default, and the faults of all of them in one go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tickr.cli.settings import load, setting_flags, stray_variables
from tickr.config import SETTINGS, Config
from tickr.errors import ConfigError


def faults(flags: dict[str, Any], environ: dict[str, str]) -> Sequence[str]:
    with pytest.raises(ConfigError) as refused:
        load(flags, environ)
    return refused.value.faults


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tickr.toml"
    path.write_text('port = 1\nworkers = 2\nroles = ["api"]\nhttp_allow_private = true\ntoken = "from-file"\n')
    return path


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default(file: Path) -> None:
    config = load({"config": str(file), "port": "3"}, {"TICKR_PORT": "4", "TICKR_WORKERS": "5"})
    assert (config.port, config.workers, config.roles, config.grace) == (3, 5, ("api",), 30.0)
    assert (config.http_allow_private, config.token) == (True, "from-file")


def test_a_variable_names_the_file(file: Path) -> None:
    assert load({}, {"TICKR_CONFIG": str(file)}).port == 1
    assert load({"config": None}, {"TICKR_CONFIG": str(file)}).port == 1


def test_an_empty_variable_is_as_good_as_none(file: Path) -> None:
    assert load({}, {"TICKR_TOKEN": "", "TICKR_PORT": "", "TICKR_CONFIG": ""}) == Config()


def test_faults_of_flags_variables_and_file_are_told_together_with_their_origins(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text('port = "x"\ncolour = "red"\n')
    told = faults({"config": str(path), "grace": "-1"}, {"TICKR_WORKERS": "no", "TICKR_STORE": "mysql://db/a/b"})
    assert len(told) == 6
    for start in (f"{path}: port must", f"{path}: colour is not", "--grace must", "TICKR_WORKERS must"):
        assert any(fault.startswith(start) for fault in told), (start, told)
    assert sum(fault.startswith("TICKR_STORE:") for fault in told) == 2  # no user, two databases


@pytest.mark.parametrize(
    ("text", "told"), [("port = ", "is not TOML"), (None, "cannot be read"), ("\xff", "is not TOML")]
)
def test_a_file_that_cannot_be_used_is_a_fault_beside_the_others(tmp_path: Path, text: str | None, told: str) -> None:
    path = tmp_path / "t.toml"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    first, second = faults({"config": str(path)}, {"TICKR_PORT": "x"})
    assert first.startswith(f"{path} {told}")
    assert second.startswith("TICKR_PORT must")


def test_what_the_adapters_find_wrong_with_their_urls_is_told_too() -> None:
    first, second = faults({"store": "mysql://u:canary@db/t?tls=maybe"}, {"TICKR_INDEX": "redis://r/0?namespce=x"})
    assert first.startswith("--store: tls must be one of")
    assert second.startswith("TICKR_INDEX:")
    assert "canary" not in first


def test_a_fault_that_the_adapter_finds_is_told_once() -> None:
    assert faults({"store": "mysql://127.0.0.1:1"}, {}) == (
        "--store: the URL must name a user: mysql://user:password@host/database",
        "--store: the URL must name one database: mysql://user:password@host/database",
    )


def test_nothing_is_said_of_processes_where_the_store_is_not_known() -> None:
    (fault,) = faults({"store": "mysql://127.0.0.1/t", "processes": "4"}, {})
    assert fault == "--store: the URL must name a user: mysql://user:password@host/database"


def test_every_setting_but_secrets_has_a_flag_that_load_understands() -> None:
    @click.command()
    @setting_flags()
    def command(**flags: Any) -> None:
        config = load(flags, {})
        click.echo(f"{config.store} {config.port} {config.insecure} {config.http_allow_private}")

    told = CliRunner().invoke(command, ["--store", "memory:", "--port", "7", "--insecure"])
    assert told.output == "memory: 7 True False\n"
    help_ = CliRunner().invoke(command, ["--help"], env={"COLUMNS": "80"}).output
    for setting in SETTINGS.values():
        assert (setting.flag is None) == setting.secret
        if setting.flag:
            assert f"  {setting.flag}" in help_
            assert setting.variable in help_
    assert "--token" not in help_
    assert max(len(line) for line in help_.splitlines()) <= 80


@pytest.mark.parametrize(
    ("flags", "variable", "on"),
    [
        ([], None, True),
        ([], "false", False),
        ([], "true", True),
        (["--no-inbox"], "true", False),
        (["--inbox"], "false", True),
    ],
)
def test_what_is_on_by_itself_can_be_turned_off(flags: list[str], variable: str | None, on: bool) -> None:
    @click.command()
    @setting_flags("inbox")
    def command(**flags: Any) -> None:
        click.echo(load(flags, {"TICKR_INBOX": variable} if variable else {}).inbox)

    assert CliRunner().invoke(command, flags).output == f"{on}\n"


def test_chosen_settings_alone_have_flags() -> None:
    @click.command()
    @setting_flags("store")
    def command(**flags: Any) -> None:
        click.echo(",".join(sorted(flags)))

    assert CliRunner().invoke(command, []).output == "config,store\n"


def test_a_variable_misspelt_is_noticed_and_others_left_alone() -> None:
    told = stray_variables({"TICKR_WORKER": "5", "TICKR_PORT": "1", "TICKR_URL": "x", "TICKR_TEST_MYSQL": "x", "X": ""})
    assert told == ["TICKR_WORKER is not a setting; did you mean TICKR_WORKERS?"]
