"""What is said of the calls about who may do what, and who did."""

from __future__ import annotations

from tickr.api import audit, tokens, wire
from tickr.api.openapi.about import About, Answer, Body, Group
from tickr.scopes import Scope

NO_TOKEN = {404: ("token_not_found",)}

ACCESS = Group(
    "Access",
    "Who asks; tokens with rights of their own; who changed what.",
    "access.md",
    {
        "whoami": About("Who asks", (Answer(200, "Who, and what he may do.", tokens.WhoDocument),)),
        "tokens": About(
            "List tokens",
            (Answer(200, "All that are kept, the newest first; of none its text.", wire.Items[tokens.TokenDocument]),),
        ),
        "make_token": About(
            "Make a token",
            (Answer(201, "The token, with its text, which is told this once.", tokens.TokenDocument, ("Location",)),),
            body=Body(
                tokens.TokenBody,
                {"to submit jobs": {"name": "web", "scopes": [Scope.JOBS_WRITE], "expires_in": 7776000}},
            ),
            problems={409: ("token_exists", "too_many_tokens")},
        ),
        "rotate_token": About(
            "Give a token a new text",
            (Answer(200, "The token, with its new text, which is told this once.", tokens.TokenDocument),),
            "The old text is good for another while, so that programs can change over.",
            body=Body(tokens.RotateBody, {"for a day": {"grace": 86400}}, required=False),
            problems={**NO_TOKEN, 409: ("token_over",)},
        ),
        "revoke_token": About(
            "Revoke a token",
            (Answer(200, "The token, which is good for nothing any more.", tokens.TokenDocument),),
            problems=NO_TOKEN,
        ),
        "audit": About(
            "Who changed what",
            (Answer(200, "A page of it, the newest first.", audit.Page),),
            query=(audit.WHO, audit.SUBJECT, audit.LIMIT, audit.CURSOR),
        ),
    },
)
