"""The inbox in this process's memory: part of ``MemoryStore``. Nobody but a test can put anything into it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

import msgspec
import trio

from tickr.store.contract import Clock, InboxRow, RefusedRow
from tickr.store.inbox import EXCERPT, choose, in_order


class _Row(msgspec.Struct):
    id: str
    job: bytes
    refused_at: int | None = None
    reason: str = ""


class MemoryInbox:
    """``Inbox`` of the contract, on a dict of rows by number."""

    _clock: Clock

    def __init__(self) -> None:
        super().__init__()
        self._inbox: dict[int, _Row] = {}
        self._last_seq = 0

    def put_in_inbox(self, job: bytes, id: str | None = None) -> int:
        """Do what an INSERT does in a transaction that is committed at once; return the number of the row."""
        self._last_seq += 1
        self._inbox[self._last_seq] = _Row(id or str(uuid.uuid4()), job)
        return self._last_seq

    async def inbox_rows(self, limit: int, *, max_bytes: int, max_row_bytes: int) -> list[InboxRow]:
        await trio.lowlevel.checkpoint()
        waiting = [seq for seq in sorted(self._inbox) if self._inbox[seq].refused_at is None]
        sizes = [(seq, len(self._inbox[seq].job)) for seq in waiting[:limit]]
        choice = choose(sizes, max_bytes, max_row_bytes)
        read = [(seq, self._inbox[seq]) for seq in choice.fit]
        return in_order([InboxRow(seq, row.id, row.job, len(row.job)) for seq, row in read], choice.long)

    async def settle_inbox(self, taken: Sequence[int], refused: Mapping[int, str]) -> int:
        await trio.lowlevel.checkpoint()
        for seq, reason in refused.items():
            row = self._inbox.get(seq)
            if row is not None and row.refused_at is None:
                row.refused_at, row.reason = self._clock(), reason
        return sum(self._inbox.pop(seq, None) is not None for seq in taken)

    async def inbox_refused(self, limit: int) -> list[RefusedRow]:
        await trio.lowlevel.checkpoint()
        found = [
            RefusedRow(seq, row.id, row.job.decode(errors="replace")[:EXCERPT], row.refused_at, row.reason)
            for seq, row in self._inbox.items()
            if row.refused_at is not None
        ]
        return sorted(found, key=lambda row: (row.refused_at, row.seq), reverse=True)[:limit]

    async def retry_inbox(self, seq: int) -> bool:
        await trio.lowlevel.checkpoint()
        row = self._inbox.get(seq)
        if row is None or row.refused_at is None:
            return False
        row.refused_at, row.reason = None, ""
        return True

    async def drop_inbox(self, seq: int) -> bool:
        await trio.lowlevel.checkpoint()
        row = self._inbox.get(seq)
        return row is not None and row.refused_at is not None and self._inbox.pop(seq) is row

    async def prune_inbox(self, before: int, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        refused = ((row.refused_at, seq) for seq, row in self._inbox.items() if row.refused_at is not None)
        old = sorted((at, seq) for at, seq in refused if at < before)[:limit]
        for _, seq in old:
            del self._inbox[seq]
        return len(old)
