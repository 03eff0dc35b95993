"""Duties: what every node with the role ``scheduler`` does, beside keeping up the index. Each is safe to do twice.

Comes in: what the node works on, open, and its settings. Goes out: nothing; the duties run in the nursery that is given
until it is cancelled.
"""

from __future__ import annotations

import trio

from tickr.announce import Announcer
from tickr.bell import Bell
from tickr.config import Config
from tickr.index.contract import Index
from tickr.scheduler.backlog import BacklogAge
from tickr.scheduler.expire import expire
from tickr.scheduler.operations import Operations
from tickr.scheduler.reap import Reaper
from tickr.scheduler.retention import (
    CountRetention,
    InboxRetention,
    JobRetention,
    KeyRetention,
    OwnAgeRetention,
    Retention,
    TrailRetention,
)
from tickr.scheduler.schedules import Schedules
from tickr.scheduler.statistics import Statistics
from tickr.store.contract import Store


def start_duties(
    nursery: trio.Nursery,
    store: Store,
    index: Index,
    bell: Bell,
    announcer: Announcer,
    config: Config,
    stretch: float,
) -> None:
    """Start them all in ``nursery``. ``stretch``: how many times longer their pauses are."""
    nursery.start_soon(Reaper(store, announcer, stretch=stretch).run)
    nursery.start_soon(expire, store, index, bell, stretch)
    nursery.start_soon(Schedules(store, announcer, bell, stretch=stretch).run)
    nursery.start_soon(Operations(store, index, announcer, bell, stretch=stretch).run)
    nursery.start_soon(Statistics(store, stretch=stretch).run)
    nursery.start_soon(BacklogAge(store, stretch=stretch).run)
    nursery.start_soon(Retention(store, events_keep_s=config.events_keep, stretch=stretch).run)
    keep_s = {"keep_succeeded_s": config.keep_succeeded, "keep_failed_s": config.keep_failed}
    nursery.start_soon(JobRetention(store, **keep_s).run)
    count = {"keep_succeeded": config.keep_succeeded_count, "keep_failed": config.keep_failed_count}
    nursery.start_soon(CountRetention(store, **count, stretch=stretch).run)
    nursery.start_soon(OwnAgeRetention(store, stretch=stretch).run)
    nursery.start_soon(KeyRetention(store, stretch=stretch).run)
    nursery.start_soon(TrailRetention(store, keep_s=config.keep_audit, stretch=stretch).run)
    if store.name != "memory":  # into which nobody else can put anything
        nursery.start_soon(InboxRetention(store, keep_failed_s=config.keep_failed).run)
