"""Board: where the processes of one node leave what they have counted, for each other; in a file that all have mapped.

A scrape comes to one of them and is to say what all have done. Each writes its own place, in two halves by turns: a
process killed in the middle has spoiled the half that nobody reads. Whoever takes a dead one's place goes on from its
figures, so that no counter of the node ever goes back.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import tempfile
import zlib
from typing import IO, NamedTuple

HALF_BYTES = 1024 * 1024
"""What one process may have to say; a page of memory is taken when it is written to."""
PLACE_BYTES = 2 * HALF_BYTES
TRIES = 3
"""How often a place is read whose writer may be faster."""

_HEAD = struct.Struct("<II?")  # length and checksum of what follows, and whether its writer lives


class Board:
    """The places of all processes, from 0.

    Attributes:
      file: to be inherited by the others; belongs to whoever made it.
    """

    def __init__(self, file: IO[bytes] | int, places: int) -> None:
        descriptor = file if isinstance(file, int) else file.fileno()
        self.places = places
        self._map = mmap.mmap(descriptor, places * (1 + PLACE_BYTES))

    def write(self, place: int, said: bytes, *, lives: bool = True) -> None:
        """Put ``said`` in the place of what stood there. Only its owner does; when it is dead, the supervisor."""
        if len(said) > HALF_BYTES - _HEAD.size:
            raise ValueError(f"{len(said)} bytes are more than a process may have to say")
        half = 1 - self._map[place]
        at = self._at(place, half)
        _HEAD.pack_into(self._map, at, len(said), zlib.crc32(said), lives)
        self._map[at + _HEAD.size : at + _HEAD.size + len(said)] = said
        self._map[place] = half

    def read(self, place: int) -> Said:
        """Return what was written last; nothing, if nothing was."""
        for _ in range(TRIES):
            at = self._at(place, self._map[place])
            length, checksum, lives = _HEAD.unpack_from(self._map, at)
            said = self._map[at + _HEAD.size : at + _HEAD.size + min(length, HALF_BYTES)]
            if zlib.crc32(said) == checksum:
                return Said(said, lives)
        return NOTHING_SAID

    def bury(self, place: int) -> None:
        """Let all know that the process with this place has ended."""
        self.write(place, self.read(place).text, lives=False)

    def _at(self, place: int, half: int) -> int:
        return self.places + place * PLACE_BYTES + half * HALF_BYTES


class Said(NamedTuple):
    """What stands in a place, and whether its writer lives."""

    text: bytes
    lives: bool


NOTHING_SAID = Said(b"", False)


class Seat(NamedTuple):
    """A process's own place on a board."""

    board: Board
    place: int


def board_file(places: int) -> IO[bytes]:
    """Return a new file for a ``Board``, without a name, in which nobody has said anything."""
    # In memory where that can be: there may be no folder that can be written to.
    if sys.platform == "linux":
        file = os.fdopen(os.memfd_create("tickr-metrics"), "r+b", 0)
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - whoever asked for it closes it
    os.ftruncate(file.fileno(), places * (1 + PLACE_BYTES))
    return file
