"""The service: one node, from opening the store to closing it. The only file that knows all the others.

``Service.live`` holds the nursery tree. Nesting is dependency order, so it is also stop order: what is innermost needs
everything round it and stops first.

    store > index > bell            opened first, closed last
      what handlers share           entered before the first claim (``lifespan.py``)
      lease                         renewed until the last outcome is stored
        outcomes                    stores what the workers say, to the last word
          pool                      runs jobs
            scheduler, claims       bring work
              intake, feed > http   take requests, tell what happens

A stop has two phases. *Drain*: ``/readyz`` says so, the listener closes, claims end, running jobs have ``grace``
seconds. *Now* (a second signal, a cancelled scope, the end of the grace): what still runs is cancelled and handed back.
Every wait after that has a deadline of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import outcome
import structlog
import trio

from tickr.announce import Announcer
from tickr.api import program
from tickr.api.certificate import certificate_of
from tickr.api.context import Context
from tickr.api.doors import Doors, open_doors, serve_doors
from tickr.bell import Bell, Ring, open_bell
from tickr.config import Config
from tickr.configuring import Given, read
from tickr.declared import keep, told
from tickr.declared import read as read_declared
from tickr.errors import ConfigError
from tickr.failpoints import reach
from tickr.feed.feed import Feed
from tickr.handle import Handle, Stop, url_of
from tickr.index.contract import Index
from tickr.index.open import open_index
from tickr.intake import Intake
from tickr.lease import Lease, describe_node, forget_dead_neighbours
from tickr.metrics.jobs import Tallied
from tickr.metrics.scrape import measured
from tickr.orders import Orders
from tickr.own_node import SIGNALS_KEPT, OwnNode, heed, tell_when_stopping
from tickr.own_process import calm_collector, end_now, ending_within, obey_signals, take_signals
from tickr.readiness import Notify, nobody_waits, notify_of_stop
from tickr.remote.leases import leases_on
from tickr.scheduler.audit import Audit
from tickr.scheduler.duties import start_duties
from tickr.scheduler.foretell import Foretell
from tickr.scheduler.links import Links
from tickr.scheduler.promote import promote
from tickr.sealing import vault_of
from tickr.start import Announced, Ports, Started, Supervisor, unwrap
from tickr.store.contract import Clock, Store
from tickr.store.open import open_store
from tickr.surroundings import USUAL, Surroundings
from tickr.timetable import Timetable
from tickr.worker import builtin
from tickr.worker.handlers import Jobs
from tickr.worker.living import living
from tickr.worker.retirement import Bounds
from tickr.worker.worker import Worker

RELEASE_S = 2.0
"""How long taking its own row away may take at a stop, in seconds; otherwise the row ends by itself."""
ENDS_WITHIN_S = 8.0
"""How long a node that an error has ended waits for handlers that ignore their cancellation, in seconds."""

log = structlog.get_logger("tickr.service")


async def serve(
    jobs: Jobs | None = None,
    *,
    config: Config | None = None,
    clock: Clock | None = None,
    task_status: trio.TaskStatus[Handle] = trio.TASK_STATUS_IGNORED,
    **settings: Any,
) -> None:
    """Run a node until it is stopped; ``await nursery.start(tickr.serve, jobs)`` starts it inside another trio program.

    Args:
      jobs: handlers of one's own, beside the built-in ones.
      config: settings, checked already; ``settings`` are fields of ``Config`` that go before it, as an operator would
        write them or as they are kept: ``workers=5``, ``grace="1m"``.
      clock: in place of the store's own clock, for tests.
      task_status: is given a ``Handle`` once the node serves.
    Raises: ConfigError, StoreUnavailable, SchemaMismatch, LifespanFailed: it could not start. TypeError: no ``Jobs``.
    Cancellation: like a stop at once. Running jobs are cancelled and handed back, their outcomes stored, before
      ``Cancelled`` goes on; all of that has deadlines. Only a handler that ignores its cancellation for good holds up.
    """
    if jobs is not None and not isinstance(jobs, Jobs):
        raise TypeError(f"jobs must be a tickr.Jobs, the object that handlers are registered with, not {jobs!r:.100}")
    given = {name: Given(value, name) for name, value in settings.items()}
    config = read(given, config) if given else config or Config()
    if config.processes.most > 1:
        raise ConfigError(["processes is for the command `tickr serve`: a program that embeds Tickr is one process"])
    node = Service(config, jobs, clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.stop.end_when_cancelled)
        # The shield needs no deadline of its own: after ``stop.now`` each wait of the node has one.
        with trio.CancelScope(shield=True):
            ended = await outcome.acapture(node.live, task_status)
        nursery.cancel_scope.cancel()
    unwrap(ended)


async def run_until_signalled(
    config: Config,
    jobs: Jobs,
    *,
    announce: Callable[[Handle], None],
    notify: Notify = nobody_waits,
    supervisor: Supervisor | None = None,
    burst: bool = False,
) -> None:
    """Run a node until SIGTERM or Ctrl-C: the first drains, the second ends it at once. For a process of its own.

    Args:
      announce: called once, with the handle, when the node serves.
      notify: tells whoever started the program that it serves, and that it stops.
      burst: end by itself, too, once nothing is left that this node may start now.
      supervisor: has the last word. A signal only drains then, a second one is the same: whoever stops all processes
        of a group (systemd does) reaches this one twice, directly and through the supervisor.
    Raises: as ``serve``. Does not return if a handler is left that cannot be stopped: when everything is stored and
      closed, it ends the process. Nor if a handler blocks the event loop for a whole lease, past every interrupt: then
      the process ends where it stands.
    """
    node = Service(config, jobs, owns_process=True, supervisor=supervisor, burst=burst)
    calm_collector()
    with take_signals(to_the_end=supervisor is not None) as signals:
        async with trio.open_nursery() as nursery:
            stop = node.stop.drain if supervisor else node.stop.ask
            nursery.start_soon(partial(obey_signals, signals, stop, node.tell, grace_s=config.grace))
            if supervisor:
                nursery.start_soon(supervisor.attend, node)
            nursery.start_soon(notify_of_stop, node.stop.draining, notify)
            ended = await outcome.acapture(node.live, Announced(announce, notify))
            nursery.cancel_scope.cancel()
    unwrap(ended)


class Service:
    """One node's parts and their nursery tree.

    Attributes:
      worker: while it lives, for a node that has the role. foretell: while it lives.
      vault: the encryption keys, at work.
    """

    def __init__(
        self,
        config: Config,
        jobs: Jobs | None,
        clock: Clock | None = None,
        *,
        owns_process: bool = False,
        supervisor: Supervisor | None = None,
        burst: bool = False,
        surroundings: Surroundings = USUAL,
    ) -> None:
        self.config = config
        self.stop = Stop()
        self.worker: Worker | None = None
        self.foretell: Foretell | None = None
        self._tell, self._signals = trio.open_memory_channel[int](SIGNALS_KEPT)
        self.vault = vault_of(config)
        self._clock = clock
        self._surroundings = surroundings
        self._certificate = certificate_of(config)
        self._doors = supervisor.doors if supervisor else None  # None: they are opened
        self._seat, self._tallied = (supervisor.seat if supervisor else None), Tallied()
        self._burst = burst  # ends by itself when nothing is left to do
        self._owns_process = owns_process  # and may end it, when a handler leaves no other way
        # A copy, so that its middleware is round the built-in handlers, too. One without handlers may have schedules.
        self._jobs = Jobs() if jobs is None else jobs.copy()
        builtin.register(self._jobs, http_allow_private=config.http_allow_private, smtp=config.smtp)

    async def live(self, started: Started) -> None:
        """Open everything, serve until asked to stop, close everything."""
        with contextlib.closing(self._doors or open_doors(self.config)) as doors:  # for a start that fails
            await self._live_at(doors, started)

    async def _live_at(self, doors: Doors, started: Started) -> None:
        with contextlib.ExitStack() as ended:
            # Outermost, since a handler that cannot be stopped stays in it while all the rest is closed.
            async with trio.open_nursery() as tasks:
                try:
                    async with (
                        open_store(self.config.store, clock=self._clock) as store,
                        open_index(self.config.index) as index,
                        open_bell(self.config.index) as bell,
                    ):
                        worker = await self.live_on(self.wired(store, index, bell), tasks, doors, started)
                except BaseException as error:  # Cancelled, if it is a worker task that failed
                    if self._owns_process:
                        ended.enter_context(ending_within(ENDS_WITHIN_S, error))
                    raise
                if worker and worker.zombies:
                    # Everything is stored and closed; what is left are handlers that no cancellation ends.
                    log.error("node.handlers_left_behind", jobs=worker.zombies)
                    if self._owns_process:
                        end_now(0)

    def wired(self, store: Store, index: Index, bell: Bell) -> Ports:
        """Return open ports as this node works on them."""
        store.on_events(partial(bell.ring_nowait, Ring("feed")))
        store.on_tally(self._tallied.take)
        return Ports(store, index, bell, Announcer(store, index if self._serves(index) else None, bell))

    async def live_on(self, ports: Ports, tasks: trio.Nursery, doors: Doors, started: Started) -> Worker | None:
        """Live within what the handlers share, if there are any to run."""
        async with living(self._jobs if "worker" in self.config.roles else Jobs(), self.stop) as entered:
            return await self._live_within(ports, tasks, doors, started) if entered else None

    async def _live_within(self, ports: Ports, tasks: trio.Nursery, doors: Doors, started: Started) -> Worker | None:
        """The nursery tree: going down the page everything starts, and it stops coming back up.

        Args:
          tasks: where handlers live; outermost of the program, see ``Pool``.
          doors: where to serve HTTP; without any, submissions come through the handle alone.
        """
        declared = read_declared(self._jobs, ports.store.now_us(), self.vault)
        self.foretell = Foretell(told(declared), ports.store, ports.bell, stretch=self._surroundings.stretch)
        await forget_dead_neighbours(ports.store)
        about = describe_node(self.config, self._jobs, [one.mark for one in declared], self.vault.ordered)
        lease = Lease(ports.store, about, lease_s=self.config.lease)
        await lease.register()
        worker = self.worker = self._worker(ports, lease) if "worker" in self.config.roles else None
        own = OwnNode(lease, worker, self._obey_stop)
        orders = Orders(ports.store, ports.bell, stretch=self._surroundings.stretch)
        async with trio.open_nursery() as leasing:
            leasing.start_soon(self._keep_lease, lease, worker)
            leasing.start_soon(orders.obey, own)
            leasing.start_soon(heed, self._signals, own, orders)
            leasing.start_soon(tell_when_stopping, self.stop.draining, own, orders)
            if self._burst and worker:
                leasing.start_soon(self._end_burst, worker)
            async with trio.open_nursery() as working:
                if worker:
                    working.start_soon(worker.run, tasks)
                async with trio.open_nursery() as scheduling:
                    audit = self._schedule(ports, scheduling)
                    timetable = Timetable(ports.store, ports.bell, ports.announcer, self.vault)
                    await scheduling.start(keep, declared, ports.store, timetable, self._surroundings.stretch)
                    if self.foretell.tellers:
                        scheduling.start_soon(self.foretell.run)
                    async with trio.open_nursery() as taking:
                        starter = worker.direct if worker else None
                        intake = Intake(ports.store, ports.bell, ports.announcer, starter, self.vault)
                        feed = Feed(ports.store, ports.bell)
                        taking.start_soon(intake.run)
                        async with trio.open_nursery() as telling:
                            telling.start_soon(feed.run)
                            if "scheduler" in self.config.roles:
                                duty = Links(ports.store, feed, ports.announcer, ports.bell, self._surroundings.stretch)
                                telling.start_soon(duty.run)
                            context = self._context(ports, intake, timetable, feed, orders, own)
                            telling.start_soon(context.leases.run)
                            if any(doors):
                                context = measured(context, lease, worker, audit, self._tallied, self._seat, telling)
                            await self._take_requests(context, lease, worker, doors, started)
                            telling.cancel_scope.cancel()
                        intake.close()
                    scheduling.cancel_scope.cancel()
                if worker:
                    await worker.drain(grace_s=self.config.grace, now=self.stop.now)
            await reach("stop.before_release")
            with trio.move_on_after(RELEASE_S):
                await lease.release()
            await reach("stop.after_release")
            leasing.cancel_scope.cancel()
        log.info("node.stopped", node=lease.node_id)
        return worker

    async def _keep_lease(self, lease: Lease, worker: Worker | None) -> None:
        """Hold the lease and claim under it; when it is lost, let go of everything and start over under a new id."""
        while True:
            async with trio.open_nursery() as session:
                if worker:
                    session.start_soon(worker.claim, lease.node_id)
                await lease.keep(worker.heard_from_store if worker else None)
                if worker:
                    worker.lose_lease()
                session.cancel_scope.cancel()
            if worker:
                worker.lose_lease()  # what a claim brought that was in COMMIT just then
            await lease.register_patiently()

    def _schedule(self, ports: Ports, scheduling: trio.Nursery) -> Audit | None:
        """Start the scheduler's duties. An index of this process alone is kept up by whoever works from it.

        Returns: the audit of the index, if this node makes it.
        """
        schedules, stretch = "scheduler" in self.config.roles, self._surroundings.stretch
        if schedules:
            start_duties(scheduling, ports.store, ports.index, ports.bell, ports.announcer, self.config, stretch)
        if schedules if ports.index.shared else self._serves(ports.index):
            scheduling.start_soon(promote, ports.store, ports.index, ports.bell, stretch)
            audit = Audit(ports.store, ports.index, ports.bell, stretch=stretch)
            scheduling.start_soon(audit.run)
            return audit
        return None

    def _serves(self, index: Index) -> bool:
        """Whether somebody takes out what this node puts into the index."""
        return index.shared or "worker" in self.config.roles

    async def _take_requests(
        self, context: Context, lease: Lease, worker: Worker | None, doors: Doors, started: Started
    ) -> None:
        """Serve until asked to stop and the requests at work are answered. Claims end when the listener closes."""
        at, lookout = doors.addresses
        handle = Handle(context, self.stop, lease, at)
        async with trio.open_nursery() as listening:
            await listening.start(partial(serve_doors, doors, context, self.stop.draining, self._certificate))
            told = {"metrics": url_of(lookout, self.config)} if lookout else {}
            log.info("node.serving", node=lease.node_id, url=handle.url, **told, **context.kinds)
            started.started(handle)
            await self.stop.draining.wait()
            await reach("stop.draining")
            if worker:
                worker.stop_claiming()

    def tell(self, signal: int) -> None:
        """Have the node do what a signal wants that does not end it; see ``own_node.heed``."""
        with contextlib.suppress(trio.WouldBlock, trio.BrokenResourceError):
            self._tell.send_nowait(signal)

    async def _end_burst(self, worker: Worker) -> None:
        await worker.wait_nothing_left(schedules="scheduler" in self.config.roles)
        self.stop.drain()

    def _obey_stop(self) -> None:
        if not self.stop.draining.is_set():
            log.info("node.stopping", asked_by="order", grace_s=self.config.grace)
        self.stop.drain()

    def _context(
        self, ports: Ports, intake: Intake, timetable: Timetable, feed: Feed, orders: Orders, own: OwnNode
    ) -> Context:
        return Context(
            intake=intake,
            orders=orders,
            own=own,
            timetable=timetable,
            leases=leases_on(
                *(ports.store, ports.index, ports.bell, feed, ports.announcer),
                lease_s=self.config.lease,
                max_result_bytes=self.config.max_result,
                kept_lines=self.config.job_log,
                stopping=self.stop.draining,
                chance=self._surroundings.chance,
                vault=self.vault,
            ),
            store=ports.store,
            index=ports.index,
            feed=feed,
            config=self.config,
            vault=self.vault,
            stopping=self.stop.draining,
            defaults=self._jobs.get,
        )

    def _worker(self, ports: Ports, lease: Lease) -> Worker:
        return Worker(
            self._jobs,
            ports.store,
            ports.index,
            ports.bell,
            ports.announcer,
            slots=self.config.workers,
            max_result_bytes=self.config.max_result,
            kept_lines=self.config.job_log,
            lease_s=self._surroundings.blocked_s or self.config.lease,
            holds_lease=lambda: lease.holds,
            describe=partial(program.read, ports.store, self._jobs.get),
            queues=dict(self.config.queues) if self.config.queues is not None else None,
            queue_order=self.config.queue_order or (),
            bounds=Bounds(self.config.process_jobs, self.config.process_memory),
            has_debugger=self.config.debugger,
            owns_process=self._owns_process,
            vault=self.vault,
            stretch=self._surroundings.stretch,
            chance=self._surroundings.chance,
        )
