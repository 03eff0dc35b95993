"""Settings: each is read, each fault is told, all of them at once, and nothing secret is repeated."""

from __future__ import annotations

import math
from base64 import b64encode
from pathlib import Path

import msgspec
import pytest

from tickr import values
from tickr.config import SETTINGS, Config, describe
from tickr.configuring import Given, read
from tickr.errors import ConfigError
from tickr.setting import Setting
from tickr.values import Range

ROOT = Path(__file__).parent.parent


def faults(**raw: object) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        read({name: Given(value, f"<{name}>") for name, value in raw.items()})
    return list(refused.value.faults)


def config(**raw: object) -> Config:
    return read({name: Given(value, f"<{name}>") for name, value in raw.items()})


# -- single values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("5", 5), ("1.5", 1.5), (5, 5), (1.5, 1.5), ("0", 0), ("30s", 30), ("250ms", 0.25), ("5m", 300), ("2h", 7200),
        ("1d", 86_400), ("1w", 604_800), ("1h30m", 5400), ("1.5h", 5400), ("1e3", 1000),
    ],
)  # fmt: skip
def test_a_duration_is_seconds_or_has_units(given: object, meant: float) -> None:
    assert values.seconds(given) == pytest.approx(meant)


@pytest.mark.parametrize(
    "given", ["", "x", "-1", "-1s", "5 m", "5x", "1m x", "m", "nan", "inf", "1_000", "٣s", True, None, [5], "1h-5m"]
)
def test_what_is_no_duration_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match=r"^must be a duration"):
        values.seconds(given)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("65536", 65536), (2048, 2048), ("64KiB", 65536), ("64k", 65536), ("1 MiB", 2**20), ("1G", 2**30)],
)
def test_a_size_is_bytes_or_has_a_unit(given: object, meant: int) -> None:
    assert values.size(given) == meant


@pytest.mark.parametrize("given", ["", "x", "1023", "2G", "1.5M", "-5M", True, 1.0, None])
def test_what_is_no_size_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match=r"^must be a number of bytes"):
        values.size(given)


MANY_KEYS = [b64encode(bytes([n] * 32)).decode() for n in range(17)]
KEY, OLD, *_ = MANY_KEYS

GOOD: list[tuple[str, object, object]] = [
    ("store", "memory:", "memory:"),
    ("store", " sqlite:////var/lib/t.db ", "sqlite:////var/lib/t.db"),
    ("store", "mysql://u:p@db:3307/tickr?tls=required", "mysql://u:p@db:3307/tickr?tls=required"),
    ("index", "redis://cache:6379/0", "redis://cache:6379/0"),
    ("index", " redis+sentinel://a:1,b:2/main/0", "redis+sentinel://a:1,b:2/main/0"),
    ("index", "heap:", "heap:"),
    ("host", "::1", "::1"),
    ("host", "[::1]", "::1"),
    ("port", "0", 0),
    ("port", 65535, 65535),
    ("metrics_port", "0", 0),
    ("metrics_port", 9090, 9090),
    ("processes", "1", Range(1, 1)),
    ("processes", "1-1", Range(1, 1)),
    ("workers", " 7 ", 7),
    ("queues", "default", (("default", None),)),
    (
        "queues",
        "default, mail:5,team:mail,team:mail2:10",
        (("default", None), ("mail", 5), ("team:mail", None), ("team:mail2", 10)),
    ),
    ("queues", ["mail:1"], (("mail", 1),)),
    ("queue_order", "urgent, default", (("urgent", None), ("default", None))),
    ("queue_order", ["mail=3", "team:log=1"], (("mail", 3), ("team:log", 1))),
    ("roles", "worker, API", ("api", "worker")),
    ("roles", ["worker", "worker"], ("worker",)),
    ("grace", "1m", 60.0),
    ("lease", 2, 2.0),
    ("events_keep", "7d", 604_800.0),
    ("idempotency_keep", "90m", 5400.0),
    ("keep_succeeded", "1h", 3600.0),
    ("keep_succeeded", " Forever ", math.inf),
    ("keep_succeeded_count", "0", 0),
    ("keep_failed_count", "50000", 50_000),
    ("keep_failed", math.inf, math.inf),
    ("keep_failed", 90 * 86_400, 7_776_000.0),
    ("token", "s3cret!", "s3cret!"),
    ("encryption_keys", f"new:{KEY}, old:{OLD}", (("new", KEY), ("old", OLD))),
    ("encryption_keys", [f"new:{KEY}"], (("new", KEY),)),
    ("insecure", "yes", True),
    ("require_token", "true", True),
    ("keep_audit", "30d", 30 * 86_400.0),
    ("insecure", "off", False),
    ("http_allow_private", True, True),
    ("inbox", "no", False),
    ("tls_cert", "/etc/tickr/cert.pem", "/etc/tickr/cert.pem"),
    ("tls_key", "key.pem", "key.pem"),
    ("smtp", "smtps://u:p@mail", "smtps://u:p@mail"),
    ("debugger", "yes", True),
    ("max_body", "2MiB", 2**21),
    ("compress_above", "16KiB", 2**14),
    ("signing_keys", f"new:{KEY}, old:{OLD}", (("new", KEY), ("old", OLD))),
    ("signed_only", "no", False),
    ("max_result", 4096, 4096),
    ("job_log", "0", 0),
    ("process_jobs", "100", 100),
    ("process_memory", "256MiB", 2**28),
    ("log_level", "DEBUG", "debug"),
    ("log_format", "json", "json"),
]


PAIR = {"tls_cert": "cert.pem", "tls_key": "key.pem"}
"""Given together, or not at all."""


@pytest.mark.parametrize(("name", "given", "meant"), GOOD)
def test_a_good_value_is_taken(name: str, given: object, meant: object) -> None:
    together = PAIR if name in PAIR else {}
    assert getattr(config(**{**together, name: given}), name) == meant


def test_every_setting_is_tried_with_a_good_value_and_a_bad_one() -> None:
    assert {name for name, _, _ in GOOD} == {name for name, _ in BAD} == set(SETTINGS)


BAD: list[tuple[str, object]] = [
    ("store", "postgres://db/x"), ("store", "sqlite:///"), ("store", "sqlite://x.db"), ("store", "mysql://db"),
    ("store", "mysql:///x"), ("store", "mysql://db:port/x"), ("store", 5), ("store", "mysql://[::1/x"),
    ("index", "redis:"), ("index", "memcached://x"), ("index", "redis://x:99999/0"),
    ("host", ""), ("host", "a b"), ("host", "http://x"), ("host", 5),
    ("port", "80x"), ("port", -1), ("port", 65536), ("port", 80.5), ("port", True), ("port", "²"),
    ("metrics_port", "80x"), ("metrics_port", 65536), ("metrics_port", True),
    ("processes", 0), ("processes", "1.5"), ("processes", 257), ("processes", "0-2"), ("processes", "8-2"),
    ("processes", "2-257"), ("processes", "2-"), ("processes", "-2"), ("processes", "2-4-8"), ("processes", True),
    ("workers", 0), ("workers", "many"), ("workers", "99999999999999999999"),
    ("queues", ""), ("queues", "a,a:3"), ("queues", "mail:0"), ("queues", "mail,"), ("queues", "ma il"), ("queues", []),
    ("queues", 5), ("queues", [5.5]), ("queues", "mail:999999999"),
    ("queue_order", ""), ("queue_order", "a,a"), ("queue_order", "a=3,b"), ("queue_order", "a=,b="),
    ("queue_order", []), ("queue_order", "a=0"), ("queue_order", "a=1001"), ("queue_order", "a=x"),
    ("queue_order", 5), ("queue_order", [5]),
    ("queue_order", ",".join(f"q{n}" for n in range(101))),
    ("roles", ""), ("roles", "api,cook"), ("roles", []), ("roles", [1]), ("roles", 1),
    ("grace", -1), ("grace", "nan"), ("grace", 1e9), ("lease", 0), ("lease", "soon"),
    ("events_keep", 0.5), ("events_keep", "11y"), ("events_keep", "4000d"), ("events_keep", "forever"),
    ("idempotency_keep", 0), ("idempotency_keep", "366d"), ("idempotency_keep", "forever"),
    ("keep_succeeded", 0), ("keep_succeeded", "0"), ("keep_succeeded", "for ever"), ("keep_succeeded", "11y"),
    ("keep_failed", 0.5), ("keep_failed", -1), ("keep_failed", "nan"), ("keep_failed", None),
    ("encryption_keys", ""), ("encryption_keys", KEY), ("encryption_keys", f":{KEY}"), ("encryption_keys", "a:x"),
    ("encryption_keys", f"a:{KEY},a:{OLD}"), ("encryption_keys", f"a:{KEY},b:{KEY}"), ("encryption_keys", f"a b:{KEY}"),
    ("encryption_keys", "a:AAAA"), ("encryption_keys", [5]), ("encryption_keys", []), ("encryption_keys", 5),
    ("encryption_keys", ",".join(f"k{n}:{key}" for n, key in enumerate(MANY_KEYS))),
    ("token", ""), ("token", "two words"), ("token", "t\nn"), ("token", "tök"), ("token", 5),
    ("insecure", "maybe"), ("insecure", 1), ("require_token", "a"), ("keep_audit", "forever"),
    ("http_allow_private", ""), ("inbox", "sometimes"),
    ("tls_cert", ""), ("tls_cert", 5), ("tls_key", " "), ("tls_key", "a\0b"),
    ("smtp", "mail"), ("smtp", "http://mail"), ("smtp", "smtp://"),
    ("keep_succeeded_count", "many"), ("keep_failed_count", "50001"), ("keep_failed_count", -1),
    ("process_jobs", 0), ("process_jobs", "many"), ("process_memory", "0"), ("process_memory", "lots"),
    ("debugger", "perhaps"), ("max_body", "big"), ("max_result", 0), ("job_log", -1), ("log_level", "loud"),
    ("log_format", 1),
    ("compress_above", "10"), ("compress_above", -1), ("signing_keys", "a:x"), ("signed_only", "perhaps"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given"), BAD)
def test_a_bad_value_is_refused_in_one_sentence_that_names_its_origin(name: str, given: object) -> None:
    (fault,) = faults(**{name: given})
    assert fault.startswith(f"<{name}> must be ")
    assert "\n" not in fault


# -- the whole -------------------------------------------------------------------------------------------------------


def test_nothing_given_is_the_defaults() -> None:
    assert read({}) == Config()


def test_the_defaults_are_values_that_could_be_given() -> None:
    given = {name: Given(setting.default, name) for name, setting in SETTINGS.items() if setting.default is not None}
    assert read(given) == Config()


def test_all_faults_are_told_together() -> None:
    told = faults(port="x", workers=0, hots="::", host="0.0.0.0")
    assert [fault.split()[0] for fault in told] == ["<port>", "<workers>", "<hots>", "<host>"]


def test_an_unknown_setting_is_refused_with_the_nearest_one() -> None:
    assert faults(hots="x") == ["<hots> is not a setting of Tickr's; did you mean host?"]
    assert faults(zzz="x") == ["<zzz> is not a setting of Tickr's"]


@pytest.mark.parametrize("name", ["store", "index", "smtp", "token", "encryption_keys", "signing_keys"])
def test_what_may_hold_a_secret_is_not_repeated(name: str) -> None:
    (fault,) = faults(**{name: "ftp://user:canary canary@host"})
    assert "canary" not in fault


def test_a_long_value_is_not_repeated_whole() -> None:
    (fault,) = faults(port="9" * 10_000)
    assert len(fault) < 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com"])
def test_others_are_let_in_only_with_a_token_or_insecure(host: str) -> None:
    (fault,) = faults(host=host)
    assert fault.startswith(f"<host> is {host}, which others can reach")
    assert config(host=host, token="t").host == host
    assert config(host=host, insecure=True).host == host
    assert config(host=host, require_token=True).closed
    assert config(host=host, roles="worker,scheduler").host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST"])
def test_loopback_needs_no_token(host: str) -> None:
    assert config(host=host).host == host


def test_a_token_that_is_wrong_is_not_also_called_missing() -> None:
    assert len(faults(host="0.0.0.0", token="two words")) == 1


@pytest.mark.parametrize("url", ["mysql://u:p@db/t", "mariadb://u:p@db/t"])
def test_several_processes_need_a_store_that_serves_them(url: str) -> None:
    assert config(processes="4", store=url).processes == Range(4, 4)
    for store, why in (("sqlite:///t.db", "SQLite lets one process write"), ("memory:", "memory: is in one process")):
        (fault,) = faults(processes=4, store=store)
        assert fault.startswith(f"<processes> is 4, but {why}")
        assert "MySQL or MariaDB" in fault
        assert config(processes=1, store=store).processes == Range(1, 1)
        with pytest.raises(ConfigError, match="processes is 4, but"):
            read({"store": Given(store, "--store")}, config(processes=4, store=url))
    assert faults(processes=4)[0].startswith("<processes> is 4, but SQLite"), "which is the default"


def test_a_range_of_processes_needs_jobs_to_go_by() -> None:
    url = "mysql://u@db/t"
    for given, meant in (
        ("2-8", Range(2, 8)),
        (" 4 - 256 ", Range(4, 256)),
        (3, Range(3, 3)),
        (Range(1, 2), Range(1, 2)),
    ):
        assert config(processes=given, store=url).processes == meant
    assert [str(Range(2, 8)), str(Range(3, 3))] == ["2-8", "3"]
    assert config(processes="2-8", store=url, roles="worker").processes == Range(2, 8)
    assert config(processes="2", store=url, roles="api").processes == Range(2, 2)
    (fault,) = faults(processes="2-8", store=url, roles="api,scheduler")
    assert fault.startswith("<processes> is 2-8, which goes by the jobs that wait")
    (fault,) = faults(processes="1-2")
    assert fault.startswith("<processes> is 1-2, but SQLite"), "as there may be two"


def test_where_a_store_or_a_number_of_processes_is_wrong_nothing_is_said_of_both() -> None:
    assert len(faults(processes=4, store="sqlite:")) == 1
    assert len(faults(processes=0, store="memory:")) == 1


def test_nothing_would_be_run_without_a_key_to_check_signatures_with() -> None:
    assert faults(signed_only=True) == [
        "<signed_only> has nothing run but what is signed, and there is no key: set TICKR_SIGNING_KEYS"
    ]
    assert len(faults(signed_only=True, signing_keys="a:x")) == 1, "of one that cannot be read nothing more is said"
    assert config(signed_only=True, signing_keys=f"a:{KEY}").signed_only


def test_kubernetes_variable_for_a_service_named_tickr_is_explained() -> None:
    (fault,) = faults(port="tcp://10.0.0.7:8080")
    assert "enableServiceLinks" in fault


# -- the documentation -----------------------------------------------------------------------------------------------


def test_every_field_has_a_setting_with_its_names() -> None:
    assert list(SETTINGS) == [field.name for field in msgspec.structs.fields(Config)]
    assert SETTINGS["http_allow_private"].variable == "TICKR_HTTP_ALLOW_PRIVATE"
    assert SETTINGS["http_allow_private"].flag == "--http-allow-private"


def test_a_secret_has_no_flag() -> None:
    assert [name for name, setting in SETTINGS.items() if setting.flag is None] == [
        "token",
        "encryption_keys",
        "signing_keys",
    ]


def test_the_table_describes_every_setting() -> None:
    rows = describe().splitlines()[2:]
    assert len(rows) == len(SETTINGS)
    assert "| `--grace` | `TICKR_GRACE` | `grace` | `30s` |" in describe()
    assert "| `--events-keep` | `TICKR_EVENTS_KEEP` | `events_keep` | `24h` |" in describe()
    assert (Config().keep_succeeded, Config().keep_failed) == (7 * 86_400, 30 * 86_400)
    assert "| `--keep-succeeded` | `TICKR_KEEP_SUCCEEDED` | `keep_succeeded` | `7d` |" in describe()
    assert Setting(float, "", "DURATION", default=math.inf).shown_default == "forever"
    assert "| – | `TICKR_TOKEN` | `token` | – |" in describe()
    assert all(row.count("|") - row.count("\\|") == 6 for row in rows)


def test_the_documentation_holds_the_table() -> None:
    document = ROOT / "docs" / "configuration.md"
    if not document.exists():
        pytest.skip("docs/configuration.md has not been written yet")
    assert describe() in document.read_text()
