"""What can be configured: every setting with its default, its limits and what it means. Pure: no I/O.

``Config`` is the one list of settings; each field carries a ``Setting`` that names it for the operator and reads its
values. ``configuring.py`` makes a Config from raw values whose origin is known (a flag, a variable, a key of the file);
fetching these is the command line's part (``cli/settings.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, get_type_hints

import msgspec

from tickr import values
from tickr.envelopes import read_keys
from tickr.job_log import KEPT_LINES
from tickr.queues import Order
from tickr.setting import Setting

ROLES = ("api", "scheduler", "worker")
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("auto", "text", "json")
MAX_KEEP_COUNT = 50_000
"""So many entries of an index are read once a minute, whether or not there is anything to delete."""


# -- the settings ----------------------------------------------------------------------------------------------------


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one node; durations in seconds, sizes in bytes. ``read`` makes one that has been checked."""

    store: Annotated[
        str,
        Setting(
            values.store,
            "Where jobs are kept: sqlite:///path, mysql://user:password@host:port/database or memory:. "
            "A MySQL URL may end in ?tls=required or ?tls=verify&tls_ca=/path/to/ca.pem; memory: is lost at the end.",
            "URL",
        ),
    ] = "sqlite:///tickr.db"
    index: Annotated[
        str,
        Setting(
            values.index,
            "The order of jobs: heap: (in this process), redis://host:port/0 or redis+sentinel://host:port,…/master/0. "
            "Disposable: Tickr rebuilds it from the store.",
            "URL",
        ),
    ] = "heap:"
    host: Annotated[
        str,
        Setting(
            values.host, "Address the API listens on. Other than loopback it needs tokens, or --insecure.", "ADDRESS"
        ),
    ] = "127.0.0.1"
    port: Annotated[int, Setting(values.port, "Port the API listens on; 0 takes a free one.", "NUMBER")] = 8080
    metrics_port: Annotated[
        int | None,
        Setting(
            values.port,
            "Port beside it that answers /metrics, /livez and /readyz alone, also on a node without the role api; 0 "
            "takes a free one. None if not given: then the API's port answers them.",
            "NUMBER",
        ),
    ] = None
    processes: Annotated[
        values.Range,
        Setting(
            values.whole_or_range(1, 256),
            "How many processes serve behind the port, each a node with all the workers. More than one needs MySQL or "
            "MariaDB, and Redis to be quick. One that dies is replaced. With 2-8 there are 2, and more while due jobs "
            "wait for all of them.",
            "NUMBER",
        ),
    ] = values.Range(1, 1)
    workers: Annotated[
        int, Setting(values.whole(1, 10_000), "How many jobs run at once in each process.", "NUMBER")
    ] = 50
    queues: Annotated[
        tuple[tuple[str, int | None], ...] | None,
        Setting(
            values.queues,
            "Which queues the workers take jobs from, and how many jobs of one each process runs at once: "
            "default,mail:5. All of them if not given.",
            "LIST",
        ),
    ] = None
    queue_order: Annotated[
        Order | None,
        Setting(
            values.queue_order,
            "Which queues come before others: urgent,default is strict, mail=3,log=1 by weight. In turns if not given.",
            "LIST",
        ),
    ] = None
    roles: Annotated[
        tuple[str, ...],
        Setting(
            values.some_of(*ROLES), "What each process does: any of api,scheduler,worker, separated by commas.", "LIST"
        ),
    ] = ROLES
    grace: Annotated[
        float,
        Setting(
            values.seconds_between(0, 86_400),
            "How long a stop waits for running jobs. What has not finished then is handed back and runs again.",
            "DURATION",
        ),
    ] = 30.0
    lease: Annotated[
        float,
        Setting(
            values.seconds_between(0.3, 3600),
            "How long a node may be silent before its jobs are taken over. It sends three heartbeats in this time.",
            "DURATION",
        ),
    ] = 15.0
    events_keep: Annotated[
        float,
        Setting(
            values.seconds_between(1, 10 * 365 * 86_400),
            "How long events are kept for those who come back to the feed. An older cursor is refused, and its client "
            "has to list the jobs again.",
            "DURATION",
        ),
    ] = 86_400.0
    keep_succeeded: Annotated[
        float,
        Setting(
            values.seconds_or_forever(1, 10 * 365 * 86_400),
            "How long jobs are kept after they have succeeded, or forever. Then they are deleted with their attempts, "
            "and their ids can be used again.",
            "DURATION",
        ),
    ] = 7 * 86_400.0
    keep_failed: Annotated[
        float,
        Setting(
            values.seconds_or_forever(1, 10 * 365 * 86_400),
            "How long jobs are kept after they have failed or were cancelled, or forever. Until then they can be "
            "retried.",
            "DURATION",
        ),
    ] = 30 * 86_400.0
    keep_succeeded_count: Annotated[
        int | None,
        Setting(
            values.whole(0, MAX_KEEP_COUNT),
            "How many of the jobs that have succeeded are kept at most, the last ones; any number if not given.",
            "NUMBER",
        ),
    ] = None
    keep_failed_count: Annotated[
        int | None,
        Setting(
            values.whole(0, MAX_KEEP_COUNT),
            "How many of the jobs that have failed, and of those that were cancelled, are kept at most, the last "
            "ones; any number if not given.",
            "NUMBER",
        ),
    ] = None
    job_log: Annotated[
        int,
        Setting(
            values.whole(0, 100_000),
            "How many lines that a job logs are kept with it, the newest, up to 1 KiB for each; 0 keeps none.",
            "NUMBER",
        ),
    ] = KEPT_LINES
    idempotency_keep: Annotated[
        float,
        Setting(
            values.seconds_between(1, 365 * 86_400),
            "How long an Idempotency-Key is kept after its first use. Whoever sends it again later than that submits "
            "another job.",
            "DURATION",
        ),
    ] = 86_400.0
    keep_audit: Annotated[
        float,
        Setting(
            values.seconds_between(1, 10 * 365 * 86_400),
            "How long it is kept who changed what (`tickr audit`).",
            "DURATION",
        ),
    ] = 90 * 86_400.0
    inbox: Annotated[
        bool,
        Setting(
            values.yes_or_no,
            "Take jobs that other programs have inserted into the table inbox (SQLite, MySQL), by nodes with the role "
            "api; --no-inbox does not.",
            "",
        ),
    ] = True
    token: Annotated[
        str | None,
        Setting(
            values.token,
            "Bearer token that allows everything. No flag sets it: anybody on the machine could read it with ps.",
            secret=True,
        ),
    ] = None
    require_token: Annotated[
        bool,
        Setting(
            values.yes_or_no,
            "Let in nobody without a token, TICKR_TOKEN or one of `tickr token create`, on loopback as well. With "
            "TICKR_TOKEN that is so in any case.",
            "",
        ),
    ] = False
    encryption_keys: Annotated[
        tuple[tuple[str, str], ...] | None,
        Setting(
            read_keys,
            "Keys that payloads and results are encrypted with: name:base64 of 32 bytes, separated by commas. The "
            "first encrypts, all decrypt; `tickr keys new` makes one. Without any, everything is stored as it is.",
            "LIST",
            secret=True,
        ),
    ] = None
    signing_keys: Annotated[
        tuple[tuple[str, str], ...] | None,
        Setting(
            read_keys,
            "Keys that jobs are signed with as they come in: name:base64 of 32 bytes, separated by commas. The first "
            "signs, all are good; `tickr keys new` makes one. Without any, nothing is signed.",
            "LIST",
            secret=True,
        ),
    ] = None
    signed_only: Annotated[
        bool,
        Setting(
            values.yes_or_no,
            "Run no job that is not signed with one of the signing keys: it fails. Take none from an inbox.",
            "",
        ),
    ] = False
    compress_above: Annotated[
        int | None,
        Setting(
            values.size,
            "Payloads and results that are longer are stored compressed, if they come by way of this node. Every node "
            "reads them. None is if not given.",
            "SIZE",
        ),
    ] = None
    insecure: Annotated[
        bool, Setting(values.yes_or_no, "Listen on other than loopback addresses without a token.", "")
    ] = False
    tls_cert: Annotated[
        str | None,
        Setting(
            values.file,
            "Certificate (PEM, with those between it and its authority) with which the port speaks HTTPS, and nothing "
            "else. Needs --tls-key. New files are taken within a minute.",
            "FILE",
        ),
    ] = None
    tls_key: Annotated[
        str | None, Setting(values.file, "Private key of --tls-cert (PEM, without a password).", "FILE")
    ] = None
    smtp: Annotated[
        str | None,
        Setting(
            values.smtp,
            "Server that email jobs are sent through: smtp://user:password@host:587?starttls or "
            "smtps://user:password@host. Without it they are only logged.",
            "URL",
        ),
    ] = None
    http_allow_private: Annotated[
        bool, Setting(values.yes_or_no, "Let http jobs call private and loopback addresses.", "")
    ] = False
    max_body: Annotated[int, Setting(values.size, "Largest request that submits one job, in bytes.", "SIZE")] = (
        1024 * 1024
    )
    max_result: Annotated[int, Setting(values.size, "Largest result of a handler, in bytes.", "SIZE")] = 1024 * 1024
    process_jobs: Annotated[
        int | None,
        Setting(
            values.whole(1, 1_000_000),
            'After how many jobs a process of run_in="process" is replaced; never if not given.',
            "NUMBER",
        ),
    ] = None
    process_memory: Annotated[
        int | None,
        Setting(
            values.memory,
            'With how much memory after a job a process of run_in="process" is replaced; never if not given.',
            "SIZE",
        ),
    ] = None
    debugger: Annotated[
        bool,
        Setting(
            values.yes_or_no,
            "Let tickr.breakpoint() in a plain handler wait for `tickr debug`, run by the same user on this machine. "
            "Otherwise it does nothing.",
            "",
        ),
    ] = False
    log_level: Annotated[
        str, Setting(values.one_of(*LOG_LEVELS), f"Least level that is logged: {', '.join(LOG_LEVELS)}.", "LEVEL")
    ] = "info"
    log_format: Annotated[
        str,
        Setting(
            values.one_of(*LOG_FORMATS),
            f"How log lines look: {', '.join(LOG_FORMATS)}; auto is text on a terminal.",
            "FORMAT",
        ),
    ] = "auto"

    def __repr__(self) -> str:
        """Leaves out what may hold a password, and what is as it is by default: whoever holds this may be logged."""
        said = {
            name: getattr(self, name) for name, setting in SETTINGS.items() if getattr(self, name) != setting.default
        }
        parts = (f"{name}={'…' if SETTINGS[name].may_be_secret else repr(value)}" for name, value in said.items())
        return f"Config({', '.join(parts)})"

    @property
    def closed(self) -> bool:
        """Whether everybody is asked for a token."""
        return self.require_token or self.token is not None

    @property
    def exposed(self) -> bool:
        """Whether others than this machine reach an API that asks nobody who they are."""
        listens = "api" in self.roles or self.metrics_port is not None
        return listens and not self.closed and not self.insecure and not values.is_loopback(self.host)


def _settings() -> dict[str, Setting]:
    hints = get_type_hints(Config, include_extras=True)
    found = {}
    for field in msgspec.structs.fields(Config):
        (setting,) = hints[field.name].__metadata__
        found[field.name] = setting._replace(name=field.name, default=field.default)
    return found


SETTINGS: Mapping[str, Setting] = _settings()
"""Every setting by its name, in the order of the documentation."""


def describe() -> str:
    """Return every setting as a table in Markdown; ``docs/configuration.md`` holds exactly this."""
    lines = ["| flag | variable | key in the file | default | meaning |", "|---|---|---|---|---|"]
    for setting in SETTINGS.values():
        flag = f"`{setting.flag}`" if setting.flag else "–"
        default = f"`{setting.shown_default}`" if setting.default is not None else "–"
        lines.append(f"| {flag} | `{setting.variable}` | `{setting.name}` | {default} | {setting.help} |")
    return "\n".join(lines)
