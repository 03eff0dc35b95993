"""A small blocking client for the HTTP API: what the commands about jobs talk to a running Tickr with.

Comes in: the server's URL and a token. Goes out: ``RemoteJob`` records that keep the server's own bytes, so that no
number in a payload loses a digit on its way to the screen. Every refusal is an ``Exit`` whose sentence is the server's.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote, unquote, urlsplit

import httpx2
import msgspec
from msgspec import Raw

from tickr.cli.exits import MISUSED, UNREACHABLE, Exit, of_status
from tickr.cli.remote_records import Answer, RemoteAttempt, RemoteExplanation, RemoteJob, RemoteQueue
from tickr.cli.trust import verify, why_not_secure
from tickr.values import is_loopback
from tickr.values import token as checked_token

Record = TypeVar("Record", bound=msgspec.Struct)

DEFAULT_URL = "http://127.0.0.1:8080"
CONNECT_S = 5.0
ANSWER_S = 30.0
SILENCE_S = 20.0
"""Longest pause on the feed, in seconds; the server says something at least every 10."""
PAGE = 200
"""Most jobs that the API puts on one page."""
MAX_EVENT_BYTES = 4 * 1024 * 1024
"""Longest event that is taken from the feed; Tickr's own stay below 2 MiB."""
EVENT_STREAM = "text/event-stream"


class Unanswered(Exit):
    """No answer came, or it broke off; trying again may help."""

    def __init__(self, message: str) -> None:
        super().__init__(message, UNREACHABLE)


class Refused(Exit):
    """The server said no, with the HTTP status ``status``."""

    def __init__(self, message: str, status: int, code: int | None = None, *, problem: bytes = b"") -> None:
        super().__init__(message, of_status(status) if code is None else code, problem=problem)
        self.status = status


class Fault(msgspec.Struct, frozen=True):
    pointer: str = ""
    detail: str = ""


class Problem(msgspec.Struct, frozen=True):
    """The parts of an ``application/problem+json`` that a person reads."""

    code: str = ""
    detail: str = ""
    errors: list[Fault] = []

    def sentences(self) -> str:
        faults = [f"\n  {fault.pointer or 'the body'} {fault.detail}" for fault in self.errors]
        return self.detail + "".join(faults)


class _Page(msgspec.Struct, frozen=True):
    items: list[Raw]
    next_cursor: str | None = None


class Remote:
    """One Tickr at ``url``. A context manager. Every method raises ``Exit`` when the answer is no, or none comes."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url, login = _checked(url)
        self._http = httpx2.Client(
            auth=login,
            verify=verify(),
            headers={"Authorization": f"Bearer {_checked_token(token)}"} if token else {},
            timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S),
            # A proxy of the surrounding network has no way to this machine's loopback.
            trust_env=not is_loopback(urlsplit(self.url).hostname or ""),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def submit(self, body: bytes, job_id: str | None, idempotency_key: str | None = None) -> Answer:
        """Hand in the job that ``body`` describes.

        Args:
          job_id: its id, None if the server makes it; then there is a key.
          idempotency_key: as its header has it.
        """
        again = f"--id {job_id}: the same id" if idempotency_key is None else "the same --idempotency-key: it"
        named = f"job {job_id}" if job_id else "the job"
        unsure = f"whether {named} is stored is not known. Submit it again with {again} is never stored twice."
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        answer = self._ask("POST", "/jobs", body=body, unsure=unsure, headers=headers)
        return msgspec.structs.replace(_answer(answer), held="tickr-unique" in answer.headers)

    def job(self, job_id: str, *, wait_s: float = 0.0, decrypt: bool = False) -> Answer:
        """Return the job; once it has ended, or after ``wait_s`` seconds if that is sooner, below ``ANSWER_S``."""
        query = ({"wait": f"{wait_s:.3f}"} if wait_s else {}) | ({"decrypt": "true"} if decrypt else {})
        return _answer(self._ask("GET", f"/jobs/{quote(job_id, safe='')}", query=query))

    def attempts(self, job_id: str, *, decrypt: bool = False) -> tuple[list[RemoteAttempt], bytes]:
        """Return every attempt, oldest first, and the JSON array they came as."""
        query = {"decrypt": "true"} if decrypt else {}
        page = _decode(self._ask("GET", f"/jobs/{quote(job_id, safe='')}/attempts", query=query), _Page)
        return [_decoded(raw, RemoteAttempt, self.url) for raw in page.items], msgspec.json.encode(page.items)

    def jobs(self, filters: Mapping[str, str | Sequence[str]], *, limit: int | None) -> Iterator[Answer]:
        """Yield the jobs that pass ``filters``, newest first, ``limit`` at most (None: all), page by page."""
        cursor: str | None = None
        while limit is None or limit > 0:
            page, cursor = self.job_page(filters, limit=PAGE if limit is None else min(limit, PAGE), cursor=cursor)
            yield from page
            if cursor is None:
                return
            limit = None if limit is None else limit - len(page)

    def job_page(
        self, filters: Mapping[str, str | Sequence[str]], *, limit: int, cursor: str | None = None
    ) -> tuple[list[Answer], str | None]:
        """Return a page of the jobs that pass ``filters``, ``limit`` (1 to PAGE) at most, and the next one's cursor."""
        query = {**filters, "limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        page = _decode(self._ask("GET", "/jobs", query=query), _Page)
        return [Answer(_decoded(raw, RemoteJob, self.url), bytes(raw)) for raw in page.items], page.next_cursor

    def explained(self, job_id: str) -> tuple[RemoteExplanation, bytes]:
        answer = self._ask("GET", f"/jobs/{quote(job_id, safe='')}/explain")
        return _decode(answer, RemoteExplanation), answer.content

    def queues(self, action: str = "", body: bytes | None = None) -> list[tuple[RemoteQueue, bytes]]:
        """Return all queues, each with the JSON it came as; ``action``, ``pause`` or ``resume``, comes first."""
        asked = self._ask("POST", f"/queues/*/{action}", body=body) if action else self._ask("GET", "/queues")
        page = _decode(asked, _Page)
        return [(_decoded(raw, RemoteQueue, self.url), bytes(raw)) for raw in page.items]

    def queue(self, name: str) -> tuple[RemoteQueue, bytes]:
        return self._about_queue("GET", name)

    def pause(self, name: str, action: str, body: bytes | None) -> tuple[RemoteQueue, bytes]:
        """``action``: ``pause`` or ``resume``. ``body``: when the pause is over."""
        return self._about_queue("POST", name, f"/{action}", body)

    def limit(self, name: str, body: bytes) -> tuple[RemoteQueue, bytes]:
        return self._about_queue("PUT", name, body=body)

    def order(self, name: str, body: bytes) -> tuple[RemoteQueue, bytes]:
        return self._about_queue("PUT", name, "/order", body)

    def _about_queue(
        self, method: str, name: str, action: str = "", body: bytes | None = None
    ) -> tuple[RemoteQueue, bytes]:
        answer = self._ask(method, f"/queues/{quote(name, safe='')}{action}", body=body)
        return _decode(answer, RemoteQueue), answer.content

    def cancel(self, job_id: str, body: bytes | None = None) -> Answer:
        """Cancel the job. ``body``: says why."""
        return _answer(self._ask("POST", f"/jobs/{quote(job_id, safe='')}/cancel", body=body))

    def edit(self, job_id: str, body: bytes) -> Answer:
        """Change the job as ``body`` says."""
        return _answer(self._ask("PATCH", f"/jobs/{quote(job_id, safe='')}", body=body))

    def retry(self, job_id: str, body: bytes | None = None) -> Answer:
        """Start the job over. ``body``: what is to be different about it."""
        return _answer(self._ask("POST", f"/jobs/{quote(job_id, safe='')}/retry", body=body))

    def asked(self, method: str, path: str, kind: type[Record], *, body: bytes | None = None) -> tuple[Record, bytes]:
        """Return the record of ``kind`` that is the answer, and the bytes it came as."""
        answer = self._ask(method, path, body=body)
        return _decode(answer, kind), answer.content

    def job_made(self, method: str, path: str) -> Answer:
        """Return the job that was made by asking so."""
        return _answer(self._ask(method, path, unsure="whether a job was made is not known."))

    def done(self, method: str, path: str) -> None:
        """Have something be done to which there is no more to say."""
        self._ask(method, path)

    def read(self, raw: Raw, kind: type[Record]) -> Record:
        """Return the record of ``kind`` that a part of an answer is."""
        return _decoded(raw, kind, self.url)

    def events(self, query: Mapping[str, str | Sequence[str]]) -> Generator[httpx2.ServerSentEvent]:
        """Yield what ``GET /events`` sends, as it comes, until the connection is lost.

        Raises: Unanswered: sooner or later, this or one of the others. Refused. Exit: what answers is not Tickr.
        """
        within = httpx2.Timeout(SILENCE_S, connect=CONNECT_S)
        headers = {"Accept": EVENT_STREAM, "Accept-Encoding": "identity"}
        try:
            with self._http.stream(
                "GET", f"{self.url}/events", params=query, headers=headers, timeout=within
            ) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _refusal(answer, self.url)
                yield from messages(answer)
        except httpx2.SSEError:  # another kind of answer, or a line without an end
            raise _not_tickr(self.url) from None
        except httpx2.TransportError as error:
            raise self._unanswered(error) from None
        raise Unanswered(f"{self.url} ended the feed.")

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        query: Mapping[str, str | Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        unsure: str = "whether it was done is not known.",
    ) -> httpx2.Response:
        told = {"Content-Type": "application/json"} if body is not None else {}
        told |= headers or {}
        try:
            answer = self._http.request(method, self.url + path, content=body, params=query, headers=told)
        except httpx2.TransportError as error:
            raise self._unanswered(error, "" if method == "GET" else f"; {unsure}") from None
        if answer.is_success:
            return answer
        raise _refusal(answer, self.url)

    def _unanswered(self, error: httpx2.TransportError, told: str = "") -> Unanswered:
        if why := why_not_secure(str(error), self.url):
            return Unanswered(why)
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            start = "Start one with `tickr serve`, or name another with --url."
            return Unanswered(f"No Tickr answers at {self.url}. {start}")
        return Unanswered(f"{self.url} did not answer ({_named(error)}){told}")


def messages(answer: httpx2.Response) -> Iterator[httpx2.ServerSentEvent]:
    """Yield the server-sent events of ``answer`` as they come. Raises: httpx2.TransportError."""
    answer.encoding = "utf-8-sig"  # always UTF-8, whatever the header says, and perhaps with a BOM
    yield from httpx2.EventSource(answer, MAX_EVENT_BYTES)


def _refusal(answer: httpx2.Response, url: str) -> Refused:
    try:
        problem = msgspec.json.decode(answer.content, type=Problem)
    except msgspec.DecodeError:
        problem = Problem()
    if not problem.detail:
        told = f"What answers at {url} is not Tickr: HTTP {answer.status_code}."
        return Refused(told, answer.status_code, UNREACHABLE)
    told = problem.sentences()
    if problem.code == "unauthenticated":
        told += "\nThe command line takes the token from the variable TICKR_TOKEN."
    return Refused(told, answer.status_code, problem=answer.content)


def _not_tickr(url: str) -> Exit:
    return Exit(f"What answers at {url} is not Tickr, or of too different a version.", UNREACHABLE)


def _answer(response: httpx2.Response) -> Answer:
    return Answer(_decode(response, RemoteJob), response.content)


def _decode(response: httpx2.Response, kind: type[Record]) -> Record:
    return _decoded(response.content, kind, str(response.url))


def _decoded(text: bytes | Raw, kind: type[Record], url: str) -> Record:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError:
        raise _not_tickr(url) from None


def _checked(url: str) -> tuple[str, tuple[str, str] | None]:
    """Return ``url`` as it may be shown, and the user and password that stood in it, for a proxy on the way."""
    wrong = Exit("--url must be like http://127.0.0.1:8080", MISUSED)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise wrong
    login = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/"), login


def _checked_token(token: str) -> str:
    try:
        return checked_token(token)
    except ValueError as error:
        raise Exit(f"TICKR_TOKEN {error}", MISUSED) from None


def _named(error: httpx2.TransportError) -> str:
    return str(error) or type(error).__name__
