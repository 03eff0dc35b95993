"""What ``tickr doctor`` says of keys and of the certificate; never the keys themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tests.cli.test_admin import doctor, tickr

KEYS = [f"{name}:{tail * 43}=" for name, tail in (("k2", "B"), ("k1", "A"))]


@pytest.fixture(autouse=True)
def _embedded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TICKR_STORE", f"sqlite:///{tmp_path}/t.db")


def certified(folder: Path, days: float) -> tuple[str, str]:
    ends = datetime.now(UTC) + timedelta(days=days)
    made = trustme.CA().issue_cert("127.0.0.1", not_before=ends - timedelta(days=90), not_after=ends)
    cert, key = folder / "cert.pem", folder / "key.pem"
    made.cert_chain_pems[0].write_to_path(cert)
    made.private_key_pem.write_to_path(key)
    return str(cert), str(key)


def test_which_keys_there_are_is_told_by_their_names() -> None:
    variables = {"TICKR_ENCRYPTION_KEYS": ",".join(KEYS), "TICKR_SIGNING_KEYS": KEYS[0], "TICKR_SIGNED_ONLY": "yes"}
    found = doctor(**variables)
    assert found["encryption"]["finding"] == "payloads and results, with k2; k1 of earlier still count"
    assert found["signatures"]["finding"] == "jobs, with k2; nothing else is run"
    assert "AAA" not in tickr("doctor", "--json", "--port", "0", **variables).stdout


def test_without_keys_nothing_is_said_of_them() -> None:
    assert not {"encryption", "signatures", "certificate"} & doctor().keys()


@pytest.mark.parametrize(("days", "level"), [(60, "ok"), (3, "warn"), (-1, "fail")])
def test_a_certificate_is_to_be_renewed_in_time(tmp_path: Path, days: float, level: str) -> None:
    cert, key = certified(tmp_path, days)
    found = doctor(TICKR_TLS_CERT=cert, TICKR_TLS_KEY=key, code=level == "fail")["certificate"]
    assert found["level"] == level
    assert found["finding"].startswith("good until 20")


def test_what_is_no_certificate_is_told(tmp_path: Path) -> None:
    _, key = certified(tmp_path, 60)
    assert "cannot be read" in doctor(TICKR_TLS_CERT=key, TICKR_TLS_KEY=key, code=1)["certificate"]["finding"]
