"""Tokens over HTTP: made, listed, rotated, revoked; how soon each holds; and who asks."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.api.listening import Close, open_socket
from tests.api.site import Site
from tests.api.submitting import open_submitter
from tests.api.tokened import OWNER, bearer, open_closed, put_token
from tests.waiting import eventually, happens
from tickr.api import known_tokens
from tickr.errors import StoreUnavailable
from tickr.scopes import Scope
from tickr.store import token_changes
from tickr.store.memory import MemoryStore
from tickr.tokens import Kept, Revoke, parts_of


async def make(site: Site, /, **body: Any) -> Any:
    answer = await site.http.post("/tokens", json={"scopes": ["admin"], **body}, headers=bearer(OWNER))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def status(site: Site, text: str, path: str = "/whoami") -> int:
    return (await site.http.get(path, headers=bearer(text))).status_code


async def test_a_token_is_told_once_and_lets_in() -> None:
    async with open_closed() as site:
        scopes = ["events:read", "jobs:read", "jobs:read"]
        answer = await site.http.post(
            "/tokens", json={"name": "ci", "scopes": scopes, "expires_in": 60}, headers=bearer(OWNER)
        )
        made = answer.json()
        assert (answer.status_code, answer.headers["location"]) == (201, f"/tokens/{made['id']}")
        assert answer.headers["cache-control"] == "no-store"
        text = made.pop("token")
        assert text.startswith(made["prefix"] + "_")
        assert (made["scopes"], made["state"], made["created_by"]) == (["jobs:read", "events:read"], "good", OWNER_NAME)
        told = (await site.http.get("/whoami", headers=bearer(text))).json()
        assert told == {
            "who": "ci",
            "token": made["id"],
            "scopes": ["jobs:read", "events:read"],
            "expires_at": made["expires_at"],
            "asked": True,
        }
        (listed,) = (await site.http.get("/tokens", headers=bearer(OWNER))).json()["items"]
        assert listed | {"last_used_at": None} == made
        assert made["expires_at"] > made["created_at"]


OWNER_NAME = "TICKR_TOKEN"


async def test_who_asks_with_everything_and_where_nobody_is_asked(site: Site) -> None:
    async with open_closed() as closed:
        told = (await closed.http.get("/whoami", headers=bearer(OWNER))).json()
        assert (told["who"], told["scopes"], told["asked"]) == ("TICKR_TOKEN", list(Scope), True)
    told = (await site.http.get("/whoami", headers=bearer("anything"))).json()
    assert told == {"who": "anybody", "token": None, "scopes": list(Scope), "expires_at": None, "asked": False}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "a b"}, "/name"),
        ({"name": "x" * 65}, "/name"),
        ({"name": "TICKR_TOKEN"}, "/name"),
        ({"name": "anybody"}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["jobs"]}, "/scopes/0"),
        ({"expires_in": 0}, "/expires_in"),
        ({"expires_in": 1e300}, "/expires_in"),
        ({"secret": "x"}, "/secret"),
    ],
)
async def test_what_is_wrong_with_it_is_told(site: Site, body: dict[str, Any], pointer: str) -> None:
    answer = await site.post("/tokens", **({"name": "ci", "scopes": ["admin"]} | body))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert (await site.http.get("/tokens")).json() == {"items": []}


async def test_errors_of_tokens(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_changes, "MAX_TOKENS", 2)
    body = {"name": "ci", "scopes": ["admin"]}
    token = (await site.post("/tokens", **body)).json()["id"]
    told = (await site.post("/tokens", **body)).json()
    assert (told["status"], told["code"], told["token"]) == (409, "token_exists", "ci")
    await site.post("/tokens", **body | {"name": "b"})
    assert (await site.post("/tokens", **body | {"name": "c"})).json()["code"] == "too_many_tokens"
    assert (await site.http.delete(f"/tokens/{token}")).json()["state"] == "revoked"
    assert (await site.http.delete(f"/tokens/{token}")).status_code == 200
    assert (await site.post(f"/tokens/{token}/rotate")).json()["code"] == "token_over"
    assert (await site.post(f"/tokens/{'0' * 16}/rotate")).json()["code"] == "token_not_found"
    assert (await site.http.delete("/tokens/x")).json()["code"] == "invalid_id"
    assert (await site.post(f"/tokens/{token}/rotate", grace=-1)).status_code == 422


async def test_a_revoked_token_lets_nobody_in_at_once() -> None:
    async with open_closed() as site:
        made = await make(site, name="ci")
        assert await status(site, made["token"]) == 200
        await site.http.delete(f"/tokens/{made['id']}", headers=bearer(OWNER))
        answer = await site.http.get("/whoami", headers=bearer(made["token"]))
        assert (answer.status_code, answer.json()["detail"]) == (401, "This token was revoked.")


async def test_a_rotated_token_has_two_secrets_for_a_while() -> None:
    async with open_closed() as site:
        made = await make(site, name="ci")
        rotate = f"/tokens/{made['id']}/rotate"
        second = (await site.http.post(rotate, headers=bearer(OWNER))).json()
        assert second["old_until"] is not None
        assert [await status(site, text) for text in (made["token"], second["token"])] == [200, 200]
        third = (await site.http.post(rotate, json={"grace": 0}, headers=bearer(OWNER))).json()
        texts = made["token"], second["token"], third["token"]
        assert [await status(site, text) for text in texts] == [401, 401, 200]


# -- what a node knows ------------------------------------------------------------------------------------------------


class Watched(MemoryStore):
    """Counts readings of the tokens, and fails while ``away``."""

    def __init__(self) -> None:
        super().__init__()
        self.readings = 0
        self.away = False

    async def tokens(self, known: int | None = None) -> Kept | None:
        self.readings += 1
        if self.away:
            await trio.lowlevel.checkpoint()
            raise StoreUnavailable("away")
        return await super().tokens(known)


async def test_a_token_that_was_made_or_revoked_elsewhere_holds_here_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_tokens, "FRESH_S", 0.01)
    monkeypatch.setattr(known_tokens, "OLD_S", 0.05)
    async with open_closed() as site:
        text = await put_token(site, Scope.JOBS_READ)
        assert await status(site, text) == 200
        parts = parts_of(text)
        assert parts is not None
        await site.store.change_token(Revoke(parts[0]))

        async def out() -> bool:
            return await status(site, text) == 401

        await eventually(out)


async def test_known_tokens_cost_no_reading_and_unknown_ones_share_theirs() -> None:
    store = Watched()
    async with open_closed(store=store) as site:
        text = await put_token(site, Scope.JOBS_WRITE)
        for _ in range(50):
            assert (await site.http.post("/jobs", json={"type": "a"}, headers=bearer(text))).status_code == 201
        assert store.readings <= 2
        before, since = store.readings, trio.current_time()
        answers: list[int] = []

        async def guess(number: int) -> None:
            answers.append(await status(site, f"tickr_{number:016x}_{'A' * 43}"))

        async with trio.open_nursery() as nursery:
            for number in range(300):
                nursery.start_soon(guess, number)
        assert set(answers) <= {401, 429}
        assert len(answers) == 300
        assert store.readings - before <= 2 + (trio.current_time() - since) / known_tokens.PAUSE_S
        assert await status(site, text) == 200


async def test_while_the_store_is_away_known_tokens_go_on_and_unknown_ones_are_503(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Watched()
    async with open_closed(store=store) as site:
        text = await put_token(site, Scope.JOBS_READ)
        unknown = await put_token(site, Scope.JOBS_READ)
        assert await status(site, text) == 200
        other = f"tickr_{'0' * 16}_{'A' * 43}"
        store.away = True
        monkeypatch.setattr(known_tokens, "FRESH_S", 0)
        monkeypatch.setattr(known_tokens, "OLD_S", 0)
        assert await status(site, other) == 503
        assert await status(site, text) == 200
        assert await status(site, unknown) == 200
        assert await status(site, OWNER) == 200
        monkeypatch.setattr(known_tokens, "AWAY_S", 0)
        answer = await site.http.get("/whoami", headers=bearer(text))
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        store.away = False
        monkeypatch.setattr(known_tokens, "AGAIN_S", 0)
        monkeypatch.setattr(known_tokens, "OLD_S", 5)
        assert await status(site, text) == 200


async def test_it_is_noted_when_a_token_was_seen() -> None:
    async with open_closed() as site:
        made = await make(site, name="ci")
        await status(site, made["token"])

        async def seen() -> bool:
            (found,) = (await site.http.get("/tokens", headers=bearer(OWNER))).json()["items"]
            return found["last_used_at"] is not None

        await eventually(seen)


# -- those who listen -------------------------------------------------------------------------------------------------


async def test_whoever_listens_is_sent_away_when_his_token_is_revoked() -> None:
    async with open_closed() as site:
        made = await make(site, name="ci")
        headers = b"Authorization: Bearer %b\r\n" % made["token"].encode()
        async with open_socket(site, headers=headers) as socket, open_submitter(site, headers=headers) as submitter:
            await socket.until("caught_up")
            await site.http.delete(f"/tokens/{made['id']}", headers=bearer(OWNER))
            assert (await socket.end())[1] == Close(4401, "unauthenticated")
            assert (await submitter.end())[1] == (4401, "unauthenticated")


async def test_whoever_listens_is_sent_away_when_his_token_expires() -> None:
    async with open_closed() as site:
        made = await make(site, name="ci", expires_in=1)
        async with open_socket(site, headers=b"Authorization: Bearer %b\r\n" % made["token"].encode()) as socket:
            await socket.until("caught_up")
            assert (await socket.end())[1] == Close(4401, "unauthenticated")
        answer = await site.http.get("/whoami", headers=bearer(made["token"]))
        assert answer.json()["detail"] == "This token has expired."


async def test_whoever_waits_is_told_when_his_token_is_revoked_and_gets_no_job_after_that() -> None:
    async with open_closed() as site:
        made = await make(site, name="worker", scopes=["jobs:run", "jobs:read"])
        asked = {"headers": bearer(made["token"]), "timeout": 30}
        late = await site.http.post("/jobs", json={"type": "a", "delay": 3600}, headers=bearer(OWNER))
        answers: list[Any] = []

        async def lease() -> None:
            wish = {"types": ["resize"], "wait": 20}
            answers.append(await site.http.post("/leases", json=wish, **asked))

        async def look() -> None:
            answers.append(await site.http.get(f"{late.headers['location']}?wait=20", **asked))

        with trio.fail_after(15):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lease)
                nursery.start_soon(look)
                await eventually(happens(lambda: site.app.audience.count == 2 and site.app.in_flight == 0))
                await site.http.delete(f"/tokens/{made['id']}", headers=bearer(OWNER))
        assert [(one.status_code, one.json()["code"]) for one in answers] == [(401, "unauthenticated")] * 2
        submitted = await site.http.post("/jobs", json={"type": "resize"}, headers=bearer(OWNER))
        found = await site.http.get(submitted.headers["location"], headers=bearer(OWNER))
        assert found.json()["state"] == "ready"
        await eventually(happens(lambda: site.app.in_flight == 0))
