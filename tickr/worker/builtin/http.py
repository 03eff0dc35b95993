"""``http``: call a URL. What came back is the result; 408, 429 and 5xx are tried again, other refusals are final.

The submitter chooses the URL, so nothing about it is trusted: ``check_url`` says what is wrong with it in words, and
``checked.py`` decides where connections go. The answer may be hostile too: it is read as a stream up to a cap, never
unpacked, and all of it has to come within the job's ``timeout``. Messages go into logs and events, so they name host
and port and nothing else of the request, nor of an answer that may be its echo. Each request says for which attempt it
is made and in which trace (``Job.headers``), so that whoever gets it can refuse one that others have taken over.
"""

from __future__ import annotations

import math
import re
import ssl
from contextlib import aclosing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore2
import httpx2
import msgspec
import trio

from tickr.errors import told
from tickr.worker.builtin.checked import AddressRefused, CheckedTransport, Resolve, resolve
from tickr.worker.endings import GiveUp, RetryLater
from tickr.worker.view import Job

MAX_URL = 8_192
"""Characters of a URL."""
MAX_BODY_BYTES = 64 * 1024
"""Of an answer's body, so much is read and kept."""
MAX_TIMEOUT_S = 3_600.0
MAX_SHOWN = 40
"""Characters of a header's wrong name that are shown."""
MAX_HOPS = 5
"""Redirects followed, where they are asked for."""
MAX_RETRY_AFTER_S = 3_600.0
"""A longer wish of the server is cut to this, in seconds."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NOT_FOR_JOBS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade"}
)
"""Headers that would let a job speak about the connection, or to another host, than the one that was checked."""
NOT_FOR_JOBS_BEGIN = ("proxy-", "tickr-")
"""So do those that begin like this, or they are Tickr's word on who sends the request."""
OF_TRACE = ("traceparent", "tracestate")
"""A job that sets one of these is in charge of both."""
KEPT = ("content-type", "content-length", "location", "etag", "last-modified", "date", "retry-after", "x-request-id")
"""Headers of the answer that go into the result."""

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_QUOTED = re.compile(r""":? +(?:bytearray\(|b['"]|['"])""")
RETRIED = frozenset({408, 429})


class HttpFailed(Exception):
    """No answer, or one that may be better next time."""


class Http:
    """The handler.

    Args:
      allow_private: let jobs call private and loopback addresses.
      resolve: how names become addresses.
      tls: what certificates must fulfil; the system's rules by default.
    """

    def __init__(self, *, allow_private: bool, resolve: Resolve = resolve, tls: ssl.SSLContext | None = None) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._tls = tls

    async def __call__(
        self,
        job: Job,
        url: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: Any = None,
        timeout: float = 30.0,
        follow_redirects: bool = False,
    ) -> dict[str, Any]:
        """Send one request and return ``{"status", "headers", "body", "truncated", "url"}``.

        Args:
          body: text, sent as it is, or anything else, sent as JSON.
          timeout: seconds for all of it, redirects and body included.
        Raises: GiveUp: it can not be sent, or was refused for good. RetryLater, HttpFailed: worth another attempt.
        """
        method = method.upper()
        if method not in METHODS:
            raise GiveUp(f"method must be one of {', '.join(sorted(METHODS))}")
        if not 0 < timeout <= MAX_TIMEOUT_S:
            raise GiveUp(f"timeout must be more than 0 and at most {MAX_TIMEOUT_S:g} seconds")
        target = check_url(url)
        given, content = _headers_and_content(headers or {}, body)
        sent = [*given, *_of_tickr(job, headers or {})]
        where = _where(method, target)
        try:
            with trio.fail_after(timeout):
                async with self._client() as client:
                    request = client.build_request(method, target, headers=sent, content=content)
                    return await _exchange(client, request, where, follow=follow_redirects)
        except trio.TooSlowError:
            raise HttpFailed(f"{where}: no complete answer within {timeout:g} s") from None
        except AddressRefused as error:
            raise GiveUp(f"{where}: {error}") from None
        except (httpx2.LocalProtocolError, httpcore2.LocalProtocolError) as error:
            raise GiveUp(f"{where}: the request can not be sent: {_without_data(error)}") from None
        except UnicodeError as error:
            raise GiveUp(f"{where}: the host's name can not be looked up: {error}") from None
        except (httpx2.RemoteProtocolError, httpcore2.RemoteProtocolError) as error:
            raise HttpFailed(f"{where}: {type(error).__name__}: {_without_data(error)}") from None
        except (httpx2.HTTPError, *_NETWORK_ERRORS, OSError) as error:
            raise HttpFailed(f"{where}: {_reason(error)}") from error

    def _client(self) -> httpx2.AsyncClient:
        if self._tls is None:
            self._tls = ssl.create_default_context()  # once: it reads all the system's certificates
        transport = CheckedTransport(self._tls, allow_private=self._allow_private, resolve=self._resolve)
        # Packed bodies are not asked for: a small one can unpack to gigabytes.
        asked = {"accept-encoding": "identity", "user-agent": "tickr"}
        return httpx2.AsyncClient(transport=transport, trust_env=False, timeout=None, headers=asked)


_NETWORK_ERRORS = (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException)


def check_url(url: str) -> httpx2.URL:
    """Return the parsed URL. Raises: GiveUp: no request can or shall go there, and why."""
    if len(url) > MAX_URL:
        raise GiveUp(f"url has {len(url)} characters; at most {MAX_URL} are taken")
    if any(sign <= " " or sign == "\x7f" for sign in url):
        raise GiveUp("url holds blanks or control characters; they must be percent-encoded")
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise GiveUp(f"url can not be read: {_without_data(error)}") from None
    if parsed.scheme not in ("http", "https"):
        raise GiveUp("url must begin with http:// or https://")
    if not parsed.host.strip("."):
        raise GiveUp("url has no host")
    if parsed.userinfo:
        raise GiveUp("url holds credentials; send them in the Authorization header")
    if parsed.port is not None and not 0 < parsed.port < 65_536:
        raise GiveUp(f"url has port {parsed.port}; ports go from 1 to 65535")
    return parsed


def _headers_and_content(headers: dict[str, str], body: Any) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
    """Return both as they go over the wire: the values of headers are Latin-1 there."""
    for name, value in headers.items():
        if not TOKEN.fullmatch(name):
            begin = TOKEN.match(name)
            which = f"name that begins with {begin[0][:MAX_SHOWN]}" if begin else "name"
            raise GiveUp(f"headers: a {which} holds signs that no header's name has")
        if name.lower() in NOT_FOR_JOBS or name.lower().startswith(NOT_FOR_JOBS_BEGIN):
            raise GiveUp(f"headers: {name} is not for a job to set")
        if any((sign < " " and sign != "\t") or sign == "\x7f" or sign > "\xff" for sign in value):
            raise GiveUp(f"headers: the value of {name} holds line breaks, control characters or signs beyond Latin-1")
        if value != value.strip(" \t"):
            raise GiveUp(f"headers: the value of {name} begins or ends with a blank")
    if body is None or isinstance(body, str):
        try:
            content = None if body is None else body.encode()
        except UnicodeError:
            raise GiveUp("body holds text that is not Unicode (a lone surrogate)") from None
    else:
        content = msgspec.json.encode(body)
        if not any(name.lower() == "content-type" for name in headers):
            headers = {**headers, "content-type": "application/json"}
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()], content


def _of_tickr(job: Job, given: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """Return what Tickr adds to the headers that are ``given``: who sends the request, and for which trace."""
    traced = any(name.lower() in OF_TRACE for name in given)
    headers = {name: value for name, value in job.headers().items() if not (traced and name in OF_TRACE)}
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _without_data(error: Exception) -> str:
    """Return what ``error`` says, but for what it quotes: the URL, a header, or what came as an answer."""
    return _QUOTED.split(str(error), maxsplit=1)[0] or type(error).__name__


def _reason(error: BaseException) -> str:
    """Return what ``error`` says, or the first of its causes that says something."""
    said: BaseException | None = error
    while said is not None and not str(said):
        said = said.__cause__ or next((one for one in said.args if isinstance(one, BaseException)), None)
    return f"{type(error).__name__}: {told(said)}" if said is not None else type(error).__name__


def _where(method: str, url: httpx2.URL) -> str:
    """Return how messages name the request; path and query may hold secrets and are left out."""
    return f"{method} {url.scheme}://{url.netloc.decode('ascii', 'replace')}"


async def _exchange(client: httpx2.AsyncClient, request: httpx2.Request, where: str, *, follow: bool) -> dict[str, Any]:
    for _ in range(MAX_HOPS + 1):
        response = await client.send(request, stream=True, follow_redirects=False)
        try:
            if response.next_request is None or not follow:
                return await _judge(response, where)
        finally:
            await response.aclose()
        request = response.next_request
        check_url(str(request.url))
    raise GiveUp(f"{where}: more than {MAX_HOPS} redirects")


async def _judge(response: httpx2.Response, where: str) -> dict[str, Any]:
    status = response.status_code
    if status >= 500 or status in RETRIED:
        wanted_s = _retry_after_s(response.headers.get("retry-after", ""))
        if wanted_s is not None:
            raise RetryLater(wanted_s, f"{where}: status {status}; the server asks to come back in {wanted_s:g} s")
        raise HttpFailed(f"{where}: status {status}")
    if status >= 400:
        raise GiveUp(f"{where}: status {status}")
    body, truncated = await _read(response)
    return {
        "status": status,
        "headers": {name: response.headers[name] for name in KEPT if name in response.headers},
        "body": body,
        "truncated": truncated,
        "url": str(response.request.url),
    }


async def _read(response: httpx2.Response) -> tuple[str | None, bool]:
    """Return the body's text (None for a packed one, which nobody asked for) and whether more came than is kept."""
    if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        return None, True
    content = bytearray()
    async with aclosing(response.aiter_raw()) as parts:
        async for part in parts:
            content += part
            if len(content) > MAX_BODY_BYTES:
                break
    charset = response.charset_encoding or "utf-8"
    try:
        text = content[:MAX_BODY_BYTES].decode(charset, "replace")
    except (LookupError, UnicodeError):  # no such charset, or a Python codec that is none
        text = content[:MAX_BODY_BYTES].decode("utf-8", "replace")
    return text, len(content) > MAX_BODY_BYTES


def _retry_after_s(header: str) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, within bounds; None if it says nothing that can be read."""
    if header.isascii() and header.isdigit():
        return min(float(header[:10]), MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(header)
    except (ValueError, TypeError, IndexError):
        return None
    wanted_s = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(math.ceil(wanted_s), 0), MAX_RETRY_AFTER_S)
