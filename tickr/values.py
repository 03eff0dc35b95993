"""Reading single values as an operator writes them: durations, sizes, switches, addresses. Pure.

Each function takes text (of a flag or a variable) or a TOML value and returns what it means, or raises ``ValueError``
whose message begins with "must" and says what would be right; the caller puts in front where the value came from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import msgspec

from tickr.jobs import is_queue
from tickr.queues import MAX_ORDER, MAX_WEIGHT, Order

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+", re.ASCII).fullmatch
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])", re.ASCII).findall
_UNITS_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_SIZE = re.compile(r"(\d{1,12}) ?([kmg]?)(?:i?b)?", re.IGNORECASE | re.ASCII).fullmatch


def seconds(value: object) -> float:
    """Return a duration in seconds: a number, or text like ``1.5``, ``30s``, ``5m``, ``1h30m``, ``2d``.

    Raises: ValueError: not a duration, negative, or not finite.
    """
    wrong = ValueError("must be a duration: seconds like 30 or 1.5, or with a unit like 30s, 5m, 2h, 1d")
    if isinstance(value, str) and _DURATION(value):
        return math.fsum(float(number) * _UNITS_S[unit] for number, unit in _DURATION_PART(value))
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong
    try:
        found = float(str(value).replace("_", "?"))  # float would take 1_000
    except ValueError:
        raise wrong from None
    if not (math.isfinite(found) and found >= 0):
        raise wrong
    return found


def seconds_between(low: float, high: float) -> Callable[[object], float]:
    def read(value: object) -> float:
        found = seconds(value)
        if not low <= found <= high:
            raise ValueError(f"must be between {low:g} and {high:g} seconds")
        return found

    return read


FOREVER = "forever"


def seconds_or_forever(low: float, high: float) -> Callable[[object], float]:
    """Return a reader of durations that also takes ``forever``, which is infinity.

    0 is none of them: to some it means "at once", to others "never", and one of the two would be a loss.
    """

    def read(value: object) -> float:
        if value == math.inf or (isinstance(value, str) and value.strip().lower() == FOREVER):
            return math.inf
        found = seconds(value)
        if not low <= found <= high:
            raise ValueError(f"must be forever, or between {low:g} and {high:g} seconds")
        return found

    return read


def whole(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        wrong = ValueError(f"must be a whole number from {low} to {high}")
        if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value.strip(), re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise wrong
        return value

    return read


class Range(msgspec.Struct, frozen=True):
    """Whole numbers from ``least`` to ``most``, both included. Written as ``2-8``, or ``2`` where both are the same."""

    least: int
    most: int

    def __str__(self) -> str:
        return f"{self.least}-{self.most}" if self.least < self.most else str(self.least)


def whole_or_range(low: int, high: int) -> Callable[[object], Range]:
    one = whole(low, high)

    def read(value: object) -> Range:
        least, dash, most = str(value).partition("-") if isinstance(value, str | Range) else (value, "", "")
        with suppress(ValueError):
            found = Range(one(least), one(most if dash else least))
            if found.least <= found.most:
                return found
        raise ValueError(f"must be a whole number from {low} to {high}, or a range of them like 2-8")

    return read


def port(value: object) -> int:
    if isinstance(value, str) and value.startswith("tcp://"):
        raise ValueError(
            "must be a port number; Kubernetes sets this variable in every pod beside a service named tickr: "
            "name the service differently, or set enableServiceLinks: false"
        )
    return whole(0, 65_535)(value)


def size(value: object) -> int:
    wrong = ValueError("must be a number of bytes, like 65536, 64KiB or 1MiB, at least 1KiB and at most 1GiB")
    return _bytes(value, 1024, 1024**3, wrong)


def memory(value: object) -> int:
    wrong = ValueError("must be a number of bytes, like 512MiB, at least 1MiB and at most 1024GiB")
    return _bytes(value, 1024**2, 1024**4, wrong)


def _bytes(value: object, low: int, high: int, wrong: ValueError) -> int:
    if isinstance(value, str) and (parts := _SIZE(value.strip())):
        value = int(parts[1]) * _UNITS_BYTES[parts[2].lower()]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise wrong
    return value


def yes_or_no(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise ValueError("must be true or false")


def one_of(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or value.strip().lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value.strip().lower()

    return read


def some_of(*choices: str) -> Callable[[object], tuple[str, ...]]:
    """Return a reader of lists: names separated by commas, or a TOML array; each once, in the order of ``choices``."""

    def read(value: object) -> tuple[str, ...]:
        names = value.split(",") if isinstance(value, str) else value
        wanted = {str(name).strip().lower() for name in names} if isinstance(names, list | tuple) else set()
        if not wanted or not wanted <= set(choices):
            raise ValueError(f"must be one or more of {', '.join(choices)}, separated by commas")
        return tuple(choice for choice in choices if choice in wanted)

    return read


def queues(value: object) -> tuple[tuple[str, int | None], ...]:
    """Return queues and how many jobs of each may run at once (None: any number): ``default,mail:5`` or an array."""
    wrong = ValueError("must be names of queues, each with how many at once if it is bound: default,mail:5")
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not parts or not all(isinstance(part, str) for part in parts):
        raise wrong
    found: dict[str, int | None] = {}
    for part in parts:
        name, colon, most = part.strip().rpartition(":")
        if not colon or not re.fullmatch(r"\d+", most, re.ASCII):  # names may have colons too
            name, most = part.strip(), ""
        if not is_queue(name) or name in found or (most and not 1 <= int(most[:9]) <= 10_000):
            raise wrong
        found[name] = int(most) if most else None
    return tuple(found.items())


def queue_order(value: object) -> Order:
    """Return queues in the order of their ranks (``urgent,default``), or with their weights (``mail=3,log=1``)."""
    wrong = ValueError(
        f"must be up to {MAX_ORDER} names of queues, urgent,default; or all with a weight, mail=3,log=1, of at most "
        f"{MAX_WEIGHT}"
    )
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise wrong
    found = dict(_ranked(part.strip()) for part in parts)
    weighed = [weight for weight in found.values() if weight is not None]
    if not all(map(is_queue, found)) or len(found) < len(parts) or not 1 <= len(found) <= MAX_ORDER:
        raise wrong
    if len(weighed) not in (0, len(found)) or not all(1 <= weight <= MAX_WEIGHT for weight in weighed):
        raise wrong
    return tuple(found.items())


def _ranked(part: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(.*)=([0-9]{1,5})", part)
    return (found[1], int(found[2])) if found else (part, None)


def file(value: object) -> str:
    """Return the path of a file; whether it is there shows when it is read."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("must be the path of a file")
    return value


def host(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._:%-]{1,253}", value.strip().strip("[]")):
        raise ValueError("must be an address or a host name, like 127.0.0.1, :: or localhost")
    return value.strip().strip("[]")


def is_loopback(host: str) -> bool:
    """Return whether ``host``, an address or a name, is this machine as only it can reach it."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def token(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]{1,1000}", value.strip()):
        raise ValueError("must be printable ASCII without spaces")
    return value.strip()


def store(value: object) -> str:
    kinds = "must be sqlite:///path, mysql://user:password@host:port/database or memory:"
    text = _url(value, kinds)
    if text in ("memory:", "memory://"):
        return "memory:"
    if text.startswith("sqlite:///") and len(text) > len("sqlite:///"):
        return text
    if text.startswith(("mysql://", "mariadb://")) and urlsplit(text).hostname and urlsplit(text).path.strip("/"):
        return text
    raise ValueError(kinds)


def index(value: object) -> str:
    kinds = "must be heap:, redis://host:port/0 (rediss:// for TLS) or redis+sentinel://host:port,host:port/master/0"
    if isinstance(value, str) and value.strip().startswith(("redis+sentinel://", "rediss+sentinel://")):
        return value.strip()  # of several hosts and ports; who uses it reads it as a whole
    text = _url(value, kinds)
    if text in ("heap:", "heap://"):
        return "heap:"
    if text.startswith(("redis://", "rediss://")) and urlsplit(text).hostname:
        return text
    raise ValueError(kinds)


def smtp(value: object) -> str:
    kinds = "must be smtp://user:password@host:587?starttls (or without, in the clear) or smtps://user:password@host"
    text = _url(value, kinds)
    if not text.startswith(("smtp://", "smtps://")) or not urlsplit(text).hostname:
        raise ValueError(kinds)
    return text


TORN_LOGIN = 'the URL must have "/", "?", "#" and "@" in a user name or password as %2F, %3F, %23 and %40'


def has_torn_login(parts: SplitResult) -> bool:
    """Return whether a sign in the login of a network URL was taken for its end; then none of it may be repeated."""
    return "@" in parts.path or ("@" in parts.query + parts.fragment and "@" not in parts.netloc)


def _url(value: object, kinds: str) -> str:
    if not isinstance(value, str):
        raise ValueError(kinds)
    try:
        urlsplit(value.strip()).port  # noqa: B018  # raises ValueError for a port that is none
    except ValueError:
        raise ValueError(f"{kinds}; its port is not a number from 0 to 65535") from None
    return value.strip()
