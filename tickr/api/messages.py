"""What a client says on a websocket, frame by frame → whole messages, within bounds. Pure.

A message may come in any number of fragments. One that is too long, or binary, or for which there is no room, is
dropped as it comes; in its place stands what its client is to be told.
"""

from __future__ import annotations

from typing import Any, Protocol

from wsproto.events import Message, TextMessage

from tickr.api.problems import Problem, body_timeout

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""How long a message may be, in bytes."""


LONG_BYTES = 64 * 1024
"""A message of which so much has come is long: it may be given up when others need its room."""


class Hearer(Protocol):
    """Who is told what a client says."""

    half_said: Messages | None
    """Where a long message is that is not whole."""

    def hold(self, count: int) -> None:
        """Count ``count`` bytes more in memory. Raises: Problem: there is no room for them."""

    def drop(self, count: int) -> None:
        """Count ``count`` bytes less."""

    async def hear(self, messages: list[bytes | Problem]) -> None:
        """Take messages; nothing more is read before this returns."""


class Messages:
    """Collects one client's messages for ``hearer``."""

    def __init__(self, hearer: Hearer) -> None:
        self._hearer = hearer
        self._text = bytearray()
        self._fault: Problem | None = None
        self._whole: list[bytes | Problem] = []
        self._whole_bytes = 0

    @property
    def body_bytes(self) -> int:
        """How much has come of the message that is not whole."""
        return len(self._text)

    def cancel(self) -> None:
        """Give up the message that is not whole, so that there is room for others."""
        self._give_up(body_timeout())

    def add(self, event: Message[Any]) -> None:
        """Take a frame, or a part of one."""
        if self._fault is None:
            try:
                self._keep(event)
            except Problem as fault:
                self._give_up(fault)
        if event.message_finished:
            self._hearer.half_said = None
            self._whole_bytes += len(self._text)
            self._whole.append(self._fault or bytes(self._text))
            self._fault, self._text = None, bytearray()

    def _give_up(self, fault: Problem) -> None:
        self._fault = fault
        self._hearer.half_said = None
        self._hearer.drop(len(self._text))
        self._text = bytearray()

    def _keep(self, event: Message[Any]) -> None:
        if not isinstance(event, TextMessage):
            raise Problem(400, "binary_frame", "Jobs are sent as text here, in JSON.")
        data = event.data.encode()
        if len(self._text) + len(data) > MAX_MESSAGE_BYTES:
            raise Problem(413, "frame_too_large", f"A message may be {MAX_MESSAGE_BYTES} bytes long.")
        self._hearer.hold(len(data))
        self._text += data
        if len(self._text) >= LONG_BYTES:
            self._hearer.half_said = self

    async def deliver(self) -> None:
        """Tell the hearer what is whole."""
        if self._whole:
            whole, self._whole = self._whole, []
            size, self._whole_bytes = self._whole_bytes, 0
            try:
                await self._hearer.hear(whole)
            finally:
                self._hearer.drop(size)
