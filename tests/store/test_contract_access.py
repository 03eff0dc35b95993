"""The contract, for tokens and the trail of changes."""

from __future__ import annotations

import pytest
import trio

from tests.store.backends import SECOND, START, SteppedClock
from tests.store.tokened import a_token, an_entry
from tickr.errors import TokenError, TokenExists, TokenNotFound, TokenOver, TooManyTokens
from tickr.scopes import Scope
from tickr.store import token_changes
from tickr.store.contract import Store
from tickr.tokens import Make, Revoke, Rotate, Token
from tickr.trail import Ended, Entry

HOUR = 3600 * SECOND


async def kept(store: Store) -> dict[str, Token]:
    found = await store.tokens()
    assert found is not None
    return found.tokens


async def version(store: Store) -> int:
    found = await store.tokens()
    assert found is not None
    return found.version


async def test_a_token_is_kept_with_all_that_it_says(store: Store) -> None:
    token = a_token("ci", scopes=(Scope.JOBS_WRITE, Scope.EVENTS_READ), created_by="tick é", expires_at=START + HOUR)
    assert await store.change_token(Make(token)) == token
    assert await kept(store) == {token.id: token}


async def test_tokens_are_read_anew_only_when_they_have_changed(store: Store) -> None:
    token = a_token("ci")
    seen = set()
    for change in (Make(token), Rotate(token.id, bytes(32), HOUR), Revoke(token.id)):
        before = await version(store)
        assert await store.tokens(before) is None
        await store.change_token(change)
        found = await store.tokens(before)
        assert found is not None
        assert found == await store.tokens()
        seen.add(found.version)
    await store.use_tokens({token.id: START})
    assert await store.tokens(found.version) is None
    assert len(seen) == 3


async def test_a_change_that_is_made_twice_is_made_once(store: Store, clock: SteppedClock) -> None:
    token = a_token("ci")
    for change in (Make(token), Rotate(token.id, bytes(32), HOUR), Revoke(token.id)):
        first = await store.change_token(change)
        clock.advance(SECOND)
        if not isinstance(change, Make):
            assert await store.change_token(change) == first
        assert await kept(store) == {token.id: first}
    assert await store.change_token(Make(token)) == first


async def test_a_rotated_token_has_two_secrets_for_a_while(store: Store, clock: SteppedClock) -> None:
    token = a_token("ci")
    await store.change_token(Make(token))
    new = bytes(range(32))
    rotated = await store.change_token(Rotate(token.id, new, HOUR))
    assert rotated == token._replace(digest=new, old_digest=token.digest, old_until=clock() + HOUR)
    assert rotated.takes(new, clock())
    assert rotated.takes(token.digest, clock() + HOUR - 1)
    assert not rotated.takes(token.digest, clock() + HOUR)
    assert not rotated.takes(bytes(32), clock())
    assert not token.takes(bytes(32), clock())
    assert await kept(store) == {token.id: rotated}


async def test_names_of_good_tokens_are_unique(store: Store, clock: SteppedClock) -> None:
    first, second, third = a_token("ci", expires_at=clock() + HOUR), a_token("ci"), a_token("ci")
    await store.change_token(Make(first))
    with pytest.raises(TokenExists) as told:
        await store.change_token(Make(second))
    assert told.value.token == "ci"
    clock.advance(HOUR)
    await store.change_token(Make(second))
    await store.change_token(Revoke(second.id))
    await store.change_token(Make(third))
    assert set(await kept(store)) == {first.id, second.id, third.id}


async def test_what_is_over_stays_over(store: Store, clock: SteppedClock) -> None:
    revoked, expired = a_token("a"), a_token("b", expires_at=clock() + 1)
    for token in (revoked, expired):
        await store.change_token(Make(token))
    assert (await store.change_token(Revoke(revoked.id))).revoked_at == clock()
    clock.advance(SECOND)
    for token in (revoked, expired):
        with pytest.raises(TokenOver):
            await store.change_token(Rotate(token.id, bytes(32), 0))
    for change in (Revoke("0" * 16), Rotate("0" * 16, bytes(32), 0)):
        with pytest.raises(TokenNotFound):
            await store.change_token(change)


async def test_tokens_are_bounded_and_the_oldest_that_are_over_go_first(
    store: Store, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_changes, "MAX_TOKENS", 3)
    tokens = [a_token(f"t{n}", created_at=START + n) for n in range(6)]
    for token in tokens[:3]:
        await store.change_token(Make(token))
    with pytest.raises(TooManyTokens):
        await store.change_token(Make(tokens[3]))
    await store.change_token(Revoke(tokens[1].id))
    await store.change_token(Revoke(tokens[0].id))
    await store.change_token(Make(tokens[3]))
    assert set(await kept(store)) == {tokens[n].id for n in (1, 2, 3)}


async def test_of_two_with_one_name_at_once_one_is_made(store: Store) -> None:
    made: list[Token] = []
    refused: list[TokenError] = []

    async def make() -> None:
        try:
            made.append(await store.change_token(Make(a_token("ci"))))
        except TokenError as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(make)
    assert (len(made), len(refused)) == (1, 3)
    assert await kept(store) == {made[0].id: made[0]}


async def test_it_is_kept_when_tokens_were_seen(store: Store) -> None:
    tokens = [a_token(name) for name in "abc"]
    for token in tokens:
        await store.change_token(Make(token))
    await store.use_tokens({tokens[0].id: START + 5, tokens[2].id: START + 7, "0" * 16: 1})
    found = await kept(store)
    assert [found[token.id].used_at for token in tokens] == [START + 5, None, START + 7]


# -- the trail --------------------------------------------------------------------------------------------------------


async def test_an_entry_is_kept_and_ended_once(store: Store) -> None:
    entry = Entry(an_entry().id, START, "ci é", "0" * 16, "::1", "make_mark", "POST", "/marks", "")
    await store.write_trail([entry], [])
    assert await store.trail(10) == [entry]
    await store.write_trail([], [Ended(entry.id, 201, "it")])
    await store.write_trail([entry], [Ended(an_entry().id, 500, "")])
    assert await store.trail(10) == [entry._replace(status=201, subject="it")]
    both = an_entry()
    await store.write_trail([both], [Ended(both.id, 409, "s")])
    assert (await store.trail(1))[0].status == 409


async def test_the_trail_is_read_newest_first_by_who_and_subject(store: Store) -> None:
    entries = [an_entry(n % 5, START + n) for n in range(12)]
    await store.write_trail(entries, [])
    newest = entries[::-1]
    assert await store.trail(100) == newest
    assert await store.trail(3, before=newest[4].id) == newest[5:8]
    assert await store.trail(100, who="t1") == [entry for entry in newest if entry.who == "t1"]
    assert await store.trail(1, subject="s3") == [entry for entry in newest if entry.subject == "s3"][:1]
    both = [entry for entry in newest if (entry.who, entry.subject) == ("t0", "s0")]
    assert await store.trail(100, who="t0", subject="s0") == both
    assert await store.trail(100, who="t0", subject="s0", before=both[0].id) == both[1:]
    assert await store.trail(100, who="T1") == []


async def test_old_entries_go_the_oldest_first(store: Store) -> None:
    entries = [an_entry(n, START + n) for n in range(5)]
    await store.write_trail(entries, [])
    assert await store.prune_trail(START + 4, 3) == 3
    assert await store.trail(10) == entries[:2:-1]
    assert await store.prune_trail(START + 4, 3) == 1
    assert await store.prune_trail(START + 4, 3) == 0
    assert await store.trail(10) == entries[4:]
