"""Every call of the API with every scope: who may do what is just what the table of routes says."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from tests.api.listening import Close, Socket
from tests.api.site import Site
from tests.api.tokened import OWNER, bearer, open_closed, put_token
from tests.feed_clients import connect
from tests.websocket_frames import TEXT, to_send
from tickr.api import known_tokens
from tickr.api.app import create_lookout
from tickr.api.routes import Route
from tickr.scopes import Scope
from tickr.tokens import Revoke, parts_of

OPEN = {"livez", "readyz", "openapi"}
"""The calls that need no token."""


class Keys(NamedTuple):
    """Texts of tokens: those that let nobody in, and one for each scope."""

    bad: dict[str, str | None]
    good: dict[Scope, str]


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(known_tokens, "PAUSE_S", 0)  # or who shows an unknown one waits each time
    async with open_closed() as site:
        yield site


async def keys_of(site: Site) -> Keys:
    now = site.store.now_us()
    expired = await put_token(site, Scope.ADMIN, expires_at=now - 1)
    revoked = await put_token(site, Scope.ADMIN)
    rotated = await put_token(site, Scope.ADMIN)
    known, unknown = parts_of(revoked), parts_of(rotated)
    assert known is not None
    assert unknown is not None
    await site.store.change_token(Revoke(known[0]))
    other_secret = f"{rotated.rpartition('_')[0]}_{'A' * 43}"
    wrong = {"of another": OWNER[:-1], "unknown": f"tickr_{'0' * 16}_{'A' * 43}", "wrong secret": other_secret}
    bad = {"none": None, "odd": "x", "expired": expired, "revoked": revoked, **wrong}
    return Keys(bad, {scope: await put_token(site, scope) for scope in Scope})


def address(route: Route) -> str:
    """Return a path that goes to ``route``."""
    return re.sub(r"<[^>]*>", lambda _: "0197a2c4-0000-7000-8000-0000000000ff", route.path)


async def ask(site: Site, method: str, path: str, text: str | None, **headers: str) -> tuple[int, str]:
    """Return the status of the answer, and the code of the problem. The body stays unread where it has no end."""
    wanted = (bearer(text) if text is not None else {}) | headers
    body = {"content": b"[1]", "headers": wanted | {"content-type": "application/json"}}
    given = {"headers": wanted} if method in ("GET", "HEAD", "OPTIONS") else body
    async with site.http.stream(method, path, **given) as answer:  # type: ignore[arg-type]
        if answer.status_code < 400:
            return answer.status_code, ""
        return answer.status_code, "" if method == "HEAD" else (await _code(await answer.aread(), answer.status_code))


async def _code(body: bytes, status: int) -> str:
    found = re.search(rb'"code":"(\w+)"', body)
    return found[1].decode() if found else str(status)


async def test_each_call_is_open_to_its_scope_alone(site: Site) -> None:
    keys = await keys_of(site)
    routes = list(site.app.routes.values())
    assert len(routes) > 50
    for route in routes:
        if route.name in OPEN:
            assert (await ask(site, "GET", address(route), None))[0] in (200, 503)
            continue
        for why, text in keys.bad.items():
            assert (await ask(site, route.method, address(route), text))[0] == 401, (route.name, why)
        for scope, text in keys.good.items():
            status, code = await ask(site, route.method, address(route), text)
            may = route.scope is None or scope in (route.scope, Scope.ADMIN)
            assert status != 401, (route.name, scope)
            assert (status == 403 and code in ("forbidden", "403")) is not may, (route.name, scope, status, code)
        assert (await ask(site, route.method, address(route), OWNER))[0] not in (401, 403), route.name


async def test_head_is_what_get_is_and_options_only_need_to_be_let_in(site: Site) -> None:
    keys = await keys_of(site)
    for route in site.app.routes.values():
        for scope in (Scope.JOBS_WRITE, Scope.METRICS_READ):
            if route.method == "GET" and route.name not in OPEN:
                got = (await ask(site, "HEAD", address(route), keys.good[scope]))[0]
                assert (got == 403) is (route.scope not in (None, scope)), route.name
            assert (await ask(site, "OPTIONS", address(route), keys.good[scope]))[0] == 204
    assert (await ask(site, "OPTIONS", "/jobs", None))[0] == 401


async def test_nothing_is_done_for_who_may_not(site: Site) -> None:
    keys = await keys_of(site)
    for text in [*keys.bad.values(), *(keys.good[scope] for scope in Scope if scope not in ("admin", "jobs:write"))]:
        await ask(site, "POST", "/api/v2/jobs", text)
        for body in (b'{"type":"a"}', b'[{"type":"a"}]'):
            for path in ("/jobs", "/jobs/batch"):
                headers = bearer(text or "x") | {"content-type": "application/json"}
                assert (await site.http.post(path, content=body, headers=headers)).status_code in (401, 403)
    assert await site.rows() == []
    headers = bearer(keys.good[Scope.JOBS_WRITE]) | {"content-type": "application/json"}
    assert (await site.http.post("/jobs", content=b'{"type":"a"}', headers=headers)).status_code == 201


@pytest.mark.parametrize(("path", "scope"), [("/events", Scope.EVENTS_READ), ("/jobs/stream", Scope.JOBS_WRITE)])
async def test_websockets_say_by_their_close_code_what_is_lacking(site: Site, path: str, scope: Scope) -> None:
    keys = await keys_of(site)

    async def ending(text: str | None) -> Close | None:
        headers = b"" if text is None else b"Authorization: Bearer %b\r\n" % text.encode()
        async with await connect(site.port) as stream:
            socket = Socket(stream)
            assert (await socket.shake_hands(path, headers)).startswith(b"HTTP/1.1 101 ")
            if text in (keys.good[scope], keys.good[Scope.ADMIN]):
                await stream.send_all(to_send(TEXT, b"{"))  # answered, or the end: so it was open
                return None if (await socket.frame()).opcode == TEXT else Close(0, "")  # type: ignore[union-attr]
            return (await socket.end())[1]

    for text in keys.bad.values():
        assert await ending(text) == Close(4401, "unauthenticated")
    for other, text in keys.good.items():
        assert await ending(text) == (None if other in (scope, Scope.ADMIN) else Close(4403, "forbidden")), other


async def test_streams_of_events_need_their_scope(site: Site) -> None:
    keys = await keys_of(site)
    stream = {"accept": "text/event-stream"}
    for text in keys.bad.values():
        assert (await ask(site, "GET", "/events", text, **stream))[0] == 401
    for scope, text in keys.good.items():
        may = scope in (Scope.EVENTS_READ, Scope.ADMIN)
        assert (await ask(site, "GET", "/events", text, **stream))[0] == (200 if may else 403)


async def test_the_lookout_asks_for_the_scope_of_the_metrics(site: Site) -> None:
    lookout = create_lookout(site.context)
    assert {name: route.scope for name, route in lookout.routes.items()} == {
        "livez": None,
        "readyz": None,
        "metrics": Scope.METRICS_READ,
    }


async def test_what_is_encrypted_is_opened_for_administrators_alone(site: Site) -> None:
    keys = await keys_of(site)
    made = await site.http.post("/jobs", json={"type": "a"}, headers=bearer(OWNER))
    job = f"/jobs/{made.json()['id']}"
    for path in (job, f"{job}/attempts", f"{job}/log", "/schedules/x", "/operations/" + made.json()["id"]):
        code = await ask(site, "GET", f"{path}?decrypt=true", keys.good[Scope.JOBS_READ])
        assert code == (403, "forbidden"), path
        assert (await ask(site, "GET", f"{path}?decrypt=false", keys.good[Scope.JOBS_READ]))[0] != 403
        assert (await ask(site, "GET", f"{path}?decrypt=true", keys.good[Scope.ADMIN]))[0] != 403
    assert await ask(site, "GET", "/events?decrypt=true", keys.good[Scope.EVENTS_READ]) == (403, "forbidden")


async def test_what_is_not_there_is_told_to_those_who_were_let_in(site: Site) -> None:
    keys = await keys_of(site)
    assert await ask(site, "GET", "/nope", None) == (401, "unauthenticated")
    assert await ask(site, "GET", "/nope", keys.good[Scope.METRICS_READ]) == (404, "not_found")
    assert (await ask(site, "PUT", "/jobs", keys.good[Scope.METRICS_READ]))[0] == 405


async def test_a_refusal_names_what_is_needed_and_what_there_is(site: Site) -> None:
    text = await put_token(site, Scope.JOBS_READ, Scope.EVENTS_READ, name="viewer")
    answer = await site.http.delete("/queues/mail", headers=bearer(text))
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["needed"]) == (403, "forbidden", "queues:admin")
    assert problem["scopes"] == ["jobs:read", "events:read"]
    assert "queues:admin" in problem["detail"]
    assert "viewer-" in problem["detail"]
    told = 'Bearer realm="tickr", error="insufficient_scope", scope="queues:admin"'
    assert answer.headers["www-authenticate"] == told
