"""``email``: send a mail through an SMTP server. Without one configured, nothing is sent and the result says so.

Runs in a thread, with the standard library's client and a time-out on every step. Who may submit jobs chooses what
goes into the mail's header, so line breaks there are refused before anything is sent. From the moment the server has
taken the mail for anybody the job succeeds, whatever else goes wrong: a second attempt would send it to them twice.
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import ssl
from base64 import b64encode
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate, parseaddr
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
import structlog

from tickr.errors import ConfigError
from tickr.values import TORN_LOGIN, has_torn_login
from tickr.worker.endings import GiveUp
from tickr.worker.view import Job

STEP_S = 30.0
"""Longest wait for the server's answer to one step, in seconds."""
MAX_RECIPIENTS = 100
MAX_LINE = 998
"""Characters of one line of the header, as RFC 5322 has it."""
MAX_ECHO = 8
"""So many characters of a password, or of how it is sent, in a reply are one too many."""
MAX_REPLY = 200
"""Characters of what the server says about a recipient that are kept."""
NOT_SENT = "No SMTP server is configured (TICKR_SMTP), so nothing was sent."
SHAPE = "must look like smtp://user:password@host:port, with ?starttls behind it if wanted, or smtps://..."

ADDRESS = re.compile(r"[^\s@<>()\[\],;:\"\\]{1,64}@[^\s@<>()\[\],;:\"\\]{1,255}")
SEVEN_BIT = SMTP.clone(cte_type="7bit")
"""How mails are written: not every server takes bytes beyond ASCII, and none has to."""
NOT_IN_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

log = structlog.get_logger("tickr.worker")


class Server(msgspec.Struct, frozen=True):
    """An SMTP server, from its URL. ``tls``: from the first byte on (``smtps``), after STARTTLS, or not at all."""

    host: str
    port: int
    tls: str
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"Server({self.host!r}, {self.port}, {self.tls!r})"  # never the password


class Email:
    """The handler.

    Args:
      smtp: the server's URL; see ``register``.
      tls: what the server's certificate must fulfil; the system's rules by default.
    Raises: ConfigError: ``smtp`` can not be read.
    """

    def __init__(self, smtp: str | None, *, tls: ssl.SSLContext | None = None) -> None:
        self._server = read_server(smtp) if smtp is not None else None
        self._tls = tls

    def __call__(
        self,
        job: Job,
        to: str | list[str],
        from_: str,
        body: str,
        subject: str = "",
        cc: str | list[str] | None = None,
        reply_to: str | None = None,
        html: str | None = None,
    ) -> dict[str, Any]:
        """Send one mail and return ``{"sent": true, "recipients", "refused", "message_id"}``; without a server
        ``{"sent": false, "note"}``.

        ``recipients`` is how many the server took the mail for, ``refused`` what it said about each of the others.

        Args:
          to, cc: one address or several, each ``a@b.c`` or ``Name <a@b.c>``.
          html: another form of ``body``.
        Raises: GiveUp: the mail can not be made or was refused for good. OSError, SMTPException: worth another attempt.
        """
        message, recipients = _message(to, from_, subject, cc, reply_to)
        international = not _addresses(to, cc, reply_to, from_).isascii()
        sender = parseaddr(from_)[1]
        # The same at every attempt: whoever gets the mail twice can see that it is one.
        message["Message-ID"] = f"<{job.id}@{sender.rpartition('@')[2]}>"
        _set_text(message, body, html)
        if self._server is None:
            log.info("email.not_sent", job=job.id, recipients=len(recipients))
            return {"sent": False, "note": NOT_SENT}
        try:
            refused = self._send(self._server, message, sender, recipients, international=international)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            _give_up_if_final(min(codes), f"the server refused all {len(codes)} recipients")
            raise
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            _give_up_if_final(error.smtp_code, "the server refused the mail")
            raise
        if refused:
            statuses = sorted({reply.partition(" ")[0] for reply in refused.values()})
            log.warning("email.partly_refused", job=job.id, refused=len(refused), of=len(recipients), statuses=statuses)
        return {
            "sent": True,
            "recipients": len(recipients) - len(refused),
            "refused": refused,
            "message_id": str(message["Message-ID"]),
        }

    def _send(
        self, server: Server, message: EmailMessage, sender: str, recipients: list[str], *, international: bool
    ) -> dict[str, str]:
        """Send the mail and return what the server said about each recipient that it refused."""
        with self._connected(server) as client:
            client.ehlo_or_helo_if_needed()
            if international and not client.has_extn("smtputf8"):
                raise GiveUp("the server takes no addresses with other signs than ASCII (it does not offer SMTPUTF8)")
            # The bytes are made here: smtplib's ``send_message`` puts ">" before lines that begin with "From ".
            policy, options = (SMTPUTF8, ["SMTPUTF8", "BODY=8BITMIME"]) if international else (SEVEN_BIT, [])
            refused = client.sendmail(sender, recipients, message.as_bytes(policy=policy), options)
        return {address: _said(code, reply) for address, (code, reply) in refused.items()}

    @contextlib.contextmanager
    def _connected(self, server: Server) -> Iterator[smtplib.SMTP]:
        """A connection, logged in; whatever goes wrong while it is closed says nothing about the mail."""
        tls = self._tls or ssl.create_default_context()
        if server.tls == "implicit":
            client: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=STEP_S, context=tls)
        else:
            client = smtplib.SMTP(server.host, server.port, timeout=STEP_S)
        try:
            if server.tls == "starttls":
                client.starttls(context=tls)  # raises if the server can not: never in the clear instead
            if server.user is not None:
                _log_in(client, server.user, server.password or "")
            yield client
        finally:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                client.quit()
            client.close()


def _log_in(client: smtplib.SMTP, user: str, password: str) -> None:
    """Log in. Raises: OSError, SMTPException: neither says a password, even if the server repeats what it was told."""
    try:
        client.login(user, password)
    except UnicodeError:
        raise smtplib.SMTPException("user name and password of TICKR_SMTP must be ASCII") from None
    except smtplib.SMTPResponseException as error:
        said = _said(error.smtp_code, error.smtp_error)
        told = [password, *(b64encode(text.encode()).decode() for text in (password, f"\0{user}\0{password}"))]
        if any(text[:MAX_ECHO] in said for text in told):
            said = str(error.smtp_code)
        raise smtplib.SMTPException(f"the server refused our login: {said}") from None


def _give_up_if_final(code: int, what: str) -> None:
    if code >= 500:
        raise GiveUp(f"{what} (status {code})")


def _said(code: int, reply: bytes | str) -> str:
    text = reply if isinstance(reply, str) else reply.decode(errors="replace")
    return f"{code} {' '.join(text.split())}"[:MAX_REPLY]


def _message(
    to: str | list[str], from_: str, subject: str, cc: str | list[str] | None, reply_to: str | None
) -> tuple[EmailMessage, list[str]]:
    """Return the mail without its text, and the addresses of all who get it."""
    several = {"to": _list(to), "cc": _list(cc)}
    fields = {"from": [from_], "reply_to": _list(reply_to), **several}
    message = EmailMessage(policy=SEVEN_BIT)
    for name, addresses in fields.items():
        for address in addresses:
            _check_address(name, address)
        if addresses:
            message[name.replace("_", "-").title()] = ", ".join(addresses)
    _check_line("subject", subject)
    message["Subject"] = subject
    message["Date"] = formatdate()
    recipients = [parseaddr(address)[1] for addresses in several.values() for address in addresses]
    if not 1 <= len(recipients) <= MAX_RECIPIENTS:
        raise GiveUp(f"to and cc must name 1 to {MAX_RECIPIENTS} recipients")
    # Each once: of one that stands there twice and is refused, smtplib believes that it was accepted the other time.
    return message, list(dict.fromkeys(recipients))


def _addresses(*fields: str | list[str] | None) -> str:
    return " ".join(parseaddr(one)[1] for field in fields for one in _list(field))


def _list(given: str | list[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else given or []


def _check_line(name: str, text: str) -> None:
    if len(text) > MAX_LINE or NOT_IN_LINE.search(text):
        raise GiveUp(f"{name} must be one line of at most {MAX_LINE} characters, without control characters")


def _check_address(name: str, text: str) -> None:
    _check_line(name, text)
    found = parseaddr(text)[1]
    # Whole, or at the end in angle brackets: what else parseaddr finds an address in is nobody's name for one.
    if not ADDRESS.fullmatch(found) or not (text.strip() == found or text.rstrip().endswith(f"<{found}>")):
        raise GiveUp(f"{name} must hold addresses like a@example.com or Name <a@example.com>")


def _set_text(message: EmailMessage, body: str, html: str | None) -> None:
    try:
        message.set_content(body)
        if html is not None:
            message.add_alternative(html, subtype="html")
    except UnicodeError:
        raise GiveUp("body holds text that is not Unicode (a lone surrogate)") from None


def read_server(url: str) -> Server:
    """Return the server that ``smtp://[user:password@]host[:port][?starttls]`` or ``smtps://…`` names.

    Raises: ConfigError: it is no such URL; the message does not repeat it, for it holds a password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigError([f"smtp: {SHAPE}"]) from None
    if has_torn_login(parts):
        raise ConfigError([f"smtp: {TORN_LOGIN}"])
    options = set(parse_qs(parts.query, keep_blank_values=True))
    if parts.scheme not in ("smtp", "smtps") or not host or parts.path not in ("", "/") or options - {"starttls"}:
        raise ConfigError([f"smtp: {SHAPE}"])
    tls = "implicit" if parts.scheme == "smtps" else "starttls" if options else "none"
    return Server(
        host,
        port or {"implicit": 465, "starttls": 587, "none": 25}[tls],
        tls,
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
    )
