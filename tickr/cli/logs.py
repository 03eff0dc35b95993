"""Logging of a node: one line for each event, as text on a terminal and as JSON elsewhere, on stderr.

Every JSON line has ``event``, ``level`` and ``timestamp`` first, then what the event is about (``job``, ``type``,
``attempt``, ``node`` …). What libraries log comes out the same way, from WARNING on.

Lines are written by a thread, so that a slow reader of stderr (a full pipe) never holds up the event loop and with it
the lease. Who owns what: the loop puts lines into ``_Sink``, its thread takes them out; when there are too many, new
ones are dropped and their number is told.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from tickr.cli.screen import harmless

MAX_WAITING = 10_000
"""Lines that may wait for the thread."""
BYTES_AT_ONCE = select.PIPE_BUF
"""How much is written in one go where there is more. So much goes into a pipe in one piece; processes that
share it would otherwise tear each other's lines whenever it is full. A longer line may be torn."""
FLUSH_S = 2.0
"""How long the end of the process waits for the last lines to be written, in seconds."""
COLOURS = {"debug": "\033[2m", "warning": "\033[33m", "error": "\033[31m", "critical": "\033[31m"}
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

Record = MutableMapping[str, Any]
Renderer = Callable[[Any, str, Record], bytes]


@contextmanager
def logging_on_stderr(*, level: str, form: str, process: int | None = None) -> Iterator[None]:
    """Send all logging of this process to stderr for the length of the block; its last lines are written at the end.

    Args:
      level: least level: ``debug, info, warning, error``.
      form: ``text``, ``json`` or ``auto``.
      process: put into every line, as ``process``, where several write to the same place.
    """
    sink = _Sink(sys.stderr.fileno())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            *([_naming(process)] if process else []),
            _renderer(form),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_FromLibraries(sink)], level=max(LEVELS[level], logging.WARNING), force=True)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        sink.close()


def _naming(process: int) -> structlog.typing.Processor:
    def name(_: Any, __: str, record: Record) -> Record:
        return {**record, "process": process}

    return name


def is_text(form: str) -> bool:
    """Whether lines in ``form`` are text, on the stderr this process has."""
    return form == "text" or (form == "auto" and sys.stderr.isatty())


def _renderer(form: str) -> Renderer:
    if not is_text(form):
        return _as_json
    colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return _TextRenderer(colours)


# -- how a line looks ------------------------------------------------------------------------------------------------


def _as_json(_: Any, __: str, record: Record) -> bytes:
    line = {"event": record.pop("event"), "level": record.pop("level"), "timestamp": _now()}
    exception = _exception(record)
    line |= record
    if exception:
        line["exception"] = exception
    return msgspec.json.encode(line, enc_hook=str) + b"\n"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _exception(record: Record) -> str | None:
    """Take ``exc_info`` (an exception, True, or what ``sys.exc_info`` gives) out of the record, as a traceback."""
    told = record.pop("exc_info", None)
    error = told if isinstance(told, BaseException) else told[1] if isinstance(told, tuple) else None
    if told is True:
        error = sys.exc_info()[1]
    return None if error is None else "".join(traceback.format_exception(error)).rstrip()


class _TextRenderer:
    """``12:00:01 job.started   0197… report attempt=1``. Lines about a job leave the node out, to fit 80 columns."""

    def __init__(self, colours: bool) -> None:
        self._colours = colours

    def __call__(self, _: Any, __: str, record: Record) -> bytes:
        level, event = record.pop("level"), harmless(str(record.pop("event")).rstrip())
        exception = _exception(record)
        words = [datetime.now().strftime("%H:%M:%S"), f"{event:13}" if record else event]
        if level != "info":
            words.insert(1, level.upper())
        if "job" in record:
            record.pop("node", None)
            words += [str(record.pop("job")), str(record.pop("type", ""))]
        words += [f"{name}={_shown(value)}" for name, value in record.items()]
        line = " ".join(word for word in words if word)
        if exception:
            line += "\n" + harmless(exception)
        if self._colours and (colour := COLOURS.get(level)):
            line = f"{colour}{line}\033[0m"
        return line.encode(errors="backslashreplace") + b"\n"


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return repr(text) if not text or any(sign in text for sign in " \n\t\"'=") else harmless(text)


# -- the way out -----------------------------------------------------------------------------------------------------


class _Sink:
    """Takes lines without waiting; its thread writes them. The logger that structlog hands its lines to."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._something = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._write_all, name="tickr-log", daemon=True)
        self._thread.start()

    def msg(self, line: bytes) -> None:
        if self._closing:
            self._write(line)  # the thread may have gone
            return
        if len(self._lines) >= MAX_WAITING:
            self._dropped += 1
            return
        self._lines.append(line)
        if not self._something.is_set():
            self._something.set()

    log = debug = info = warn = warning = error = critical = fatal = failure = err = exception = msg

    def close(self) -> None:
        """Write what is waiting, for at most ``FLUSH_S``; later lines are written at once. May be called again."""
        self._closing = True
        self._something.set()
        self._thread.join(FLUSH_S)

    def _write_all(self) -> None:
        while not self._closing or self._lines:
            self._something.wait()
            self._something.clear()
            while self._lines:
                self._write(self._next())
                if self._dropped:
                    dropped, self._dropped = self._dropped, 0
                    self._write(b'{"event":"log.dropped","level":"warning","lines":%d}\n' % dropped)

    def _next(self) -> bytes:
        """Take out as many lines as are written in one piece, at least one."""
        chosen = [self._lines.popleft()]
        room = BYTES_AT_ONCE - len(chosen[0])
        while self._lines and len(self._lines[0]) <= room:
            chosen.append(self._lines.popleft())
            room -= len(chosen[-1])
        return b"".join(chosen)

    def _write(self, text: bytes) -> None:
        while text:
            try:
                text = text[os.write(self._descriptor, text) :]
            except BlockingIOError:
                # Somebody made the pipe non-blocking: it is full, so wait for it here, where waiting hurts nobody.
                select.select([], [self._descriptor], [])
            except OSError:
                return  # nobody reads any more; that is no reason to stop working


class _FromLibraries(logging.Handler):
    """Standard logging → structlog. ``logging.shutdown()`` gets all lines written, for a process that just ends."""

    def __init__(self, sink: _Sink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)

    def flush(self) -> None:
        self._sink.close()
