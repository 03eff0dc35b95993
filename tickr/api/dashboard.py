"""The dashboard: the files of a page that asks the API like any other client. It holds nothing of anybody's jobs.

So it is given to whoever asks, with or without a token; what it shows is asked for with one. The page may run its own
scripts and talk to the server it came from, and nothing else: where a text of a job's became markup all the same, it
could do nothing. Addresses in it are relative: it works behind whatever prefix a proxy puts before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from quart import Quart, Response, request

from tickr.api import wire
from tickr.api.problems import Problem

FILES = Path(__file__).parent.parent / "dashboard"
KINDS = {".mjs": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",  # asked for each time, and mostly answered by 304: an update shows at once
}


class File(NamedTuple):
    body: bytes
    kind: str
    tag: str


def add_routes(app: Quart) -> None:
    files = dict(_files())

    async def give(name: str = "index.html") -> Response:
        if not request.path.startswith("/ui/"):  # relative addresses count from below it
            return wire.empty_response(307, {"Location": "ui/"})
        file = files.get(name)
        if file is None:
            raise Problem(404, "not_found", "The dashboard has no such file.")
        headers = {**HEADERS, "ETag": f'"{file.tag}"'}
        if request.if_none_match.contains_weak(file.tag):
            return wire.empty_response(304, headers)
        return Response(file.body, headers=headers, content_type=file.kind)

    app.add_url_rule("/ui", "dashboard_entrance", give, methods=["GET"])
    app.add_url_rule("/ui/", "dashboard", give, methods=["GET"], strict_slashes=False)
    app.add_url_rule("/ui/<path:name>", "dashboard_file", give, methods=["GET"])


def is_open(path: str) -> bool:
    """Whether ``path`` is the dashboard's, which needs no token."""
    return path == "/ui" or path.startswith("/ui/")


def _files() -> Iterator[tuple[str, File]]:
    """Yield each file with its name in the address. They are few, and read once."""
    for path in sorted([*FILES.rglob("*"), *(FILES / "client").glob("*.mjs")]):
        if path.suffix in KINDS and path.is_file():
            body = path.read_bytes()
            kind = f"{KINDS[path.suffix]}; charset=utf-8"
            yield path.relative_to(FILES).as_posix(), File(body, kind, hashlib.sha256(body).hexdigest()[:16])
