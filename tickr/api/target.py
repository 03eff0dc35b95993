"""What a request is for, before anybody looks at more of it: its path in its usual form, within bounds."""

from __future__ import annotations

import re

from hypercorn.typing import HTTPScope, WebsocketScope

from tickr.api.problems import Problem

MAX_HEADER_BYTES = 16 * 1024
MAX_TARGET_BYTES = 8 * 1024

_absolute_form = re.compile(r"https?://[^/?#]*(/.*)?", re.IGNORECASE | re.DOTALL).fullmatch


def check_target(scope: HTTPScope | WebsocketScope) -> None:
    """Bring the path in ``scope`` to its usual form. Raises: Problem: this request goes no further."""
    path = scope["path"]
    if not path.startswith("/"):
        absolute = _absolute_form(path)
        if absolute is None:
            raise Problem(400, "bad_request", "The request's target is not a path.")
        scope["path"] = absolute[1] or "/"
    if scope["path"].startswith("//"):
        # The router would take all the leading slashes for one.
        raise Problem(404, "not_found", "There is nothing here; paths begin with one slash.")
    if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES:
        raise Problem(414, "target_too_long", f"Path and query may have {MAX_TARGET_BYTES} bytes.")
    # As long as in the request, where each has a colon, a blank and a line's end: thousands of tiny ones are work, too.
    if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > MAX_HEADER_BYTES:
        raise Problem(431, "headers_too_large", f"The headers may have {MAX_HEADER_BYTES} bytes.")
