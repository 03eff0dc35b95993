"""The text of a token is told once and then nowhere: not in logs, events, answers, metrics, the audit or the store."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from tests.processes import TickrProcess
from tickr.tokens import digest_of, parts_of

pytestmark = pytest.mark.slow

OWNER = "canary-of-the-owner-2c7f"


def test_a_token_is_found_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    seen: list[str] = []
    with TickrProcess(store=f"sqlite:///{path}", variables={"TICKR_TOKEN": OWNER, "TICKR_LOG_LEVEL": "debug"}) as node:
        with httpx2.Client(base_url=node.url, timeout=20) as http:
            owner = {"Authorization": f"Bearer {OWNER}"}
            made = http.post("/tokens", json={"name": "ci", "scopes": ["jobs:write"]}, headers=owner).json()
            text = made["token"]
            second = http.post(f"/tokens/{made['id']}/rotate", headers=owner).json()["token"]
            for shown in (text, second, OWNER, text[:-1] + "!", f"{OWNER}x"):
                for scheme in ("Bearer", "Basic", "Token"):
                    headers = {"Authorization": f"{scheme} {shown}"}
                    seen += [http.get(path, headers=headers).text for path in ("/jobs", "/whoami", "/nope", "/metrics")]
                    seen += [http.post("/jobs", content=b"{", headers=headers).text]
                    seen += [http.post("/queues/mail/pause", headers=headers).text]
                    seen += [http.post("/jobs", json={"type": "a"}, headers=headers).text]
            for ask in ("/tokens", "/audit?limit=200", "/events?after=earliest", "/metrics", "/queues/x"):
                seen.append(http.get(ask, headers=owner).text)
        stored = b"".join(one.read_bytes() for one in tmp_path.glob("jobs.db*"))
        log = node.log
    parts = parts_of(second)
    assert parts is not None
    assert parts[1] in stored
    secrets = [text.rpartition("_")[2], second.rpartition("_")[2], OWNER]
    secrets += [digest_of(secret).hex() for secret in secrets]
    for secret in secrets:
        assert secret not in log
        assert not any(secret in answer for answer in seen)
        assert secret.encode() not in stored
