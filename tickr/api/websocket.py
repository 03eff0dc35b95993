"""One websocket on the wire: Hypercorn's stream, for an application that only tells, or that hears what it is told.

Comes in: frames of the client. Where nothing is to be said (the feed), any message is told to the application once
(``websocket.receive``, without its content) and never kept, however long. An application that names a ``hearer`` when
it accepts has all messages handed to that, by the task that reads the connection and before it reads on, so that the
client is held up by whoever it talks to. Goes out: text frames, and pings.

Hypercorn closes without a word what speaks no websocket; and of a client that speaks before it was let in it does not
tell the application, whose answer may collide with its own. Both are mended here.
"""

from __future__ import annotations

from typing import Any

import trio
from hypercorn.protocol.events import Body, Data, Event, StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from hypercorn.typing import ASGISendEvent
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message, Ping

from tickr.api.messages import Messages

_TURN = 256
"""Frames that are looked at before the others get a turn: some milliseconds."""
_PING = b"\x89\x00"
_TEXT = b"\x81"  # the only fragment of a text message
_SHORT = 125
_MEDIUM = 0xFFFF


def text_frame(text: str) -> bytes:
    """Return ``text`` as one frame from a server (RFC 6455, 5.2)."""
    payload = text.encode()
    length = len(payload)
    if length <= _SHORT:
        return b"%b%c%b" % (_TEXT, length, payload)
    if length <= _MEDIUM:
        return b"%b\x7e%b%b" % (_TEXT, length.to_bytes(2, "big"), payload)
    return b"%b\x7f%b%b" % (_TEXT, length.to_bytes(8, "big"), payload)


def _frames(message: Any) -> bytes:
    """Return what an application says, on the wire: one ``text``, or all of ``texts``."""
    if message["type"] == "websocket.ping":
        return _PING
    if "texts" in message:
        return b"".join(map(text_frame, message["texts"]))
    assert message["text"] is not None, "only text is sent here"
    return text_frame(message["text"])


class WebsocketStream(WSStream):
    """One websocket, from its handshake to its end."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._spoken = False
        self._messages: Messages | None = None

    async def handle(self, event: Event) -> None:
        if isinstance(event, Body | Data) and not self.closed and not self.handshake.accepted:
            await self._refuse_early_words()
        else:
            await super().handle(event)

    async def _refuse_early_words(self) -> None:
        """The client speaks before it was let in. If it is being refused anyway, that goes on."""
        if self.state is ASGIWebsocketState.HANDSHAKE:
            self.closed = True  # first, so that what the application answers meanwhile is not sent as well
            await self._send_error_response(400)
            if self.app_put is not None:
                await self.app_put({"type": "websocket.disconnect", "code": 1006})

    async def app_send(self, message: ASGISendEvent | None) -> None:
        asked: Any = message or {"type": ""}
        if asked["type"] == "websocket.accept" and "hearer" in asked:
            self._messages = Messages(asked["hearer"])
        if asked["type"] not in ("websocket.send", "websocket.ping"):
            await super().app_send(message)
        elif self._is_open():
            await self.send(Data(stream_id=self.stream_id, data=_frames(asked)))

    def _is_open(self) -> bool:
        """Whether anything may follow: not after a close, of either side."""
        accepted = self.state is ASGIWebsocketState.CONNECTED and not self.closed
        return accepted and self.connection.state is ConnectionState.OPEN

    async def _handle_events(self) -> None:
        await self._look_at_events()
        if self._messages is not None:
            await self._messages.deliver()

    async def _look_at_events(self) -> None:
        for number, event in enumerate(self.connection.events(), start=1):
            if number % _TURN == 0 and self._messages is not None:
                await trio.lowlevel.checkpoint()
            if isinstance(event, Message):
                if self._messages is not None:
                    self._messages.add(event)
                elif not self._spoken and self.app_put is not None:
                    self._spoken = True
                    await self.app_put({"type": "websocket.receive", "bytes": None, "text": ""})
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection):
                if self._messages is not None:
                    await self._messages.deliver()  # before its sender counts as gone
                if self.connection.state is ConnectionState.REMOTE_CLOSING:
                    await self._send_wsproto_event(event.response())
                elif self.connection.state is ConnectionState.OPEN:
                    # Not the client's close but wsproto's word for what is no websocket frame.
                    await self._send_wsproto_event(CloseConnection(event.code, event.reason))
                await self.send(StreamClosed(stream_id=self.stream_id))
                return
