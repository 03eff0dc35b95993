"""Which events a subscriber wants. Pure."""

from __future__ import annotations

import msgspec

from tickr.events import AnyEvent


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """All conditions together; within one, any of its values. Empty means no condition.

    ``jobs`` are ids, ``types`` job types, ``events`` names as in ``Event.what``, ``names`` those of events of the
    application's own. What happens to other things than jobs
    has no job, no type, no such name, and no queue unless it happens to one; so a choice by these leaves it out.
    """

    jobs: frozenset[str] = frozenset()
    queues: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    def takes(self, event: AnyEvent) -> bool:
        return (
            (not self.jobs or event.job in self.jobs)
            and (not self.queues or event.queue in self.queues)
            and (not self.types or event.type in self.types)
            and (not self.events or event.what in self.events)
            and (not self.names or (event.what == "emitted" and event.name in self.names))
        )


EVERYTHING = Selection()
