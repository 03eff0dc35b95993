"""The dashboard, and the page about the API: files that ask the API like any other client. They hold nothing of jobs.

So they are given to whoever asks, with or without a token; what they show is asked for with one. The pages may run
their own scripts and talk to the server they came from, and nothing else: where a text of a job's became markup all the
same, it could do nothing. Addresses in them are relative: they work behind whatever prefix a proxy puts before them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from quart import Quart, Response, request

from tickr.api import wire
from tickr.api.problems import Problem

FOLDERS = {name: Path(__file__).parent.parent / folder for name, folder in (("ui", "dashboard"), ("docs", "reference"))}
"""What is at ``/ui`` and ``/docs``."""
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
    for name, folder in FOLDERS.items():
        _add_page(app, name, dict(_files(folder)))


def _add_page(app: Quart, page: str, files: Mapping[str, File]) -> None:
    async def give(name: str = "index.html") -> Response:
        if not request.path.startswith(f"/{page}/"):  # relative addresses count from below it
            return wire.empty_response(307, {"Location": f"{page}/"})
        file = files.get(name)
        if file is None:
            raise Problem(404, "not_found", "There is no such file.")
        headers = {**HEADERS, "ETag": f'"{file.tag}"'}
        if request.if_none_match.contains_weak(file.tag):
            return wire.empty_response(304, headers)
        return Response(file.body, headers=headers, content_type=file.kind)

    app.add_url_rule(f"/{page}", f"{page}_entrance", give, methods=["GET"])
    app.add_url_rule(f"/{page}/", f"{page}_page", give, methods=["GET"], strict_slashes=False)
    app.add_url_rule(f"/{page}/<path:name>", f"{page}_file", give, methods=["GET"])


def is_open(path: str) -> bool:
    """Whether ``path`` is one of a page's, which need no token."""
    return path.split("/")[1:2] in ([name] for name in FOLDERS)


def _files(folder: Path) -> Iterator[tuple[str, File]]:
    """Yield each file with its name in the address. They are few, and read once."""
    for path in sorted([*folder.rglob("*"), *(folder / "client").glob("*.mjs")]):
        if path.suffix in KINDS and path.is_file():
            body = path.read_bytes()
            kind = f"{KINDS[path.suffix]}; charset=utf-8"
            yield path.relative_to(folder).as_posix(), File(body, kind, hashlib.sha256(body).hexdigest()[:16])
