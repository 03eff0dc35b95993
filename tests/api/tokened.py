"""An API that asks for tokens, with some in its store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.api.site import Site, open_site
from tickr.scopes import Scope
from tickr.tokens import Make, Token, digest_of, new_id, new_secret, text_of

OWNER = "the one of TICKR_TOKEN"


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


async def put_token(site: Site, *scopes: Scope, name: str = "t", **given: Any) -> str:
    """Put a token into the store; return its text."""
    id_, secret = new_id(), new_secret()
    made = {"created_at": site.store.now_us(), "created_by": "test"} | given
    await site.store.change_token(Make(Token(id_, f"{name}-{id_}", digest_of(secret), scopes, **made)))
    return text_of(id_, secret)


@asynccontextmanager
async def open_closed(**settings: Any) -> AsyncIterator[Site]:
    async with open_site(**({"token": OWNER} | settings)) as site:
        yield site
