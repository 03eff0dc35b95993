"""Run: one attempt, from a claimed job to its ``Outcome``. However the handler behaves, its attempt ends here.

    the payload is bound, the handler called, its value encoded   -> succeeded, also if a stop was asked for meanwhile
    its middleware has swallowed an error, and no stop was asked for -> succeeded, without a result
    a stop was asked for                                          -> cancelled, released, or a timeout: by its reason
    the handler wants to be called another time                   -> released, or awaiting its children
    the handler raised, gave up or blocked the loop               -> retried or failed

The handler of an async job runs directly in the worker task, under that task's ``Leash``: a nursery and a task for
each, or even scopes of its own, would cost more than most jobs do. What follows for handlers that ignore their
cancellation is dealt with in ``pool.py``. A ``Cancelled`` from outside the attempt is the only thing that gets out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import msgspec
import structlog
import trio

from tickr.errors import BadSignature, CannotOpen
from tickr.jobs import CANCELLED_ON_REQUEST, Failure
from tickr.reasons import CHILDREN, is_own
from tickr.reports import Outcome
from tickr.retry import MAX_DELAY_S
from tickr.sealing import NO_VAULT, Vault
from tickr.worker import failures
from tickr.worker.arguments import BadPayload
from tickr.worker.attempt import RunningJob, StopReason
from tickr.worker.elsewhere import Elsewhere
from tickr.worker.endings import Drop, GiveUp, Later, RetryLater, Snooze
from tickr.worker.failures import BadResult, HandlerBlocked, ProcessEnded, Unresponsive
from tickr.worker.gathering import Gatherings
from tickr.worker.handlers import Pause
from tickr.worker.kin import ChildrenFailed
from tickr.worker.leash import Leash
from tickr.worker.middleware import call_within
from tickr.worker.results import encode
from tickr.worker.view import Job

MAX_LOGGED = 200
"""Characters of an error's message in a log line."""


class Conditions:
    """What all attempts of a node share.

    Args:
      gatherings: where the attempts of a batch meet.
      chance: returns 0 <= x < 1, for the jitter of delays.
      vault: opens encrypted payloads.
    """

    def __init__(
        self,
        *,
        max_result_bytes: int,
        patience_s: float,
        elsewhere: Elsewhere,
        gatherings: Gatherings,
        chance: Callable[[], float],
        vault: Vault = NO_VAULT,
    ) -> None:
        self.vault = vault
        self.max_result_bytes = max_result_bytes
        self.patience_s = patience_s
        self.elsewhere = elsewhere
        self.gatherings = gatherings
        self.chance = chance
        self.log: structlog.typing.FilteringBoundLogger = structlog.get_logger("tickr.worker")
        self.informs = self.log.is_enabled_for(logging.INFO)

    def is_looked_after(self, running: RunningJob) -> bool:
        """Whether it waits for what runs elsewhere, and gives up by itself what does not end."""
        return running in self.elsewhere.in_threads or running in self.gatherings.waiting

    def work_as(self, node: str) -> None:
        """Let the log name this node so from now on: it gets a new id whenever it registers anew."""
        self.log = self.log.bind(node=node)


async def run_attempt(running: RunningJob, leash: Leash, conditions: Conditions) -> Outcome:
    """Run the attempt and return how it ended; the handler has ended by then, and ``leash`` is free for another.

    Cancellation: one from outside goes on as soon as the handler has ended, and there is no outcome.
    """
    running.began_at = trio.current_time()
    if running.reason is not None:  # before it started
        return stopped(running, None, conditions)
    if conditions.informs:
        job = running.job
        conditions.log.info("job.started", job=job.id, type=job.type, attempt=job.attempt)
    if closed := _open(running, conditions):
        return closed
    outcome: Outcome | None = None
    try:
        with leash:
            handler = running.handler
            if handler.place == "loop" and not handler.middleware and handler.batch is None:  # the quick ones
                running.take(leash, clock_runs=True)
                outcome = succeeded(
                    running, await call_handler(handler.function, handler.bind(running.record, running)), conditions
                )
            else:
                running.take(leash, clock_runs=bool(handler.middleware))
                outcome = await (_call_within if handler.middleware else _call)(running, conditions)
            running.let_go()
    except BaseException as error:  # the boundary to code of others
        if any(isinstance(one, (trio.Cancelled, Unresponsive)) for one in failures.leaves(error)):
            # Raises if it is the node's work that ends. If not, it is one that a handler kept and raised again.
            await trio.lowlevel.checkpoint_if_cancelled()
        if outcome is None:
            outcome = raised(running, error, conditions)
        else:  # it succeeded, but left a cancel scope or nursery open, as a generator left in the middle does
            said = _loggable(running, error)
            conditions.log.warning("job.left_open", job=running.job.id, type=running.job.type, error=said)
    return outcome or stopped(running, None, conditions)


def _open(running: RunningJob, conditions: Conditions) -> Outcome | None:
    """Open the payload for the handler; return the outcome if that cannot be done."""
    try:
        running.record = conditions.vault.open_to_run(running.job)
    except BadSignature as error:
        return _failed(running, failures.failure("bad_signature", str(error)))
    except CannotOpen as error:
        return _failed(running, failures.failure("cannot_decrypt", str(error)))
    return None


async def _call(running: RunningJob, conditions: Conditions, job: Job | None = None) -> Outcome:
    """Call the handler, by itself or with others; ``job`` is the view of it that its middleware has, if it has any."""
    handler = running.handler
    arguments = handler.bind(running.record, running, job)
    if handler.batch is None:
        value = await _call_there(running, arguments, conditions)
    else:
        ((name, view),) = arguments.items()

        async def call(views: list[Job]) -> Any:
            return await _call_there(running, {name: views}, conditions)

        value = await conditions.gatherings.join(running, view, handler.batch, call)
    outcome = succeeded(running, value, conditions)
    if job is not None:
        job.returned(value)
    return outcome


async def _call_there(running: RunningJob, arguments: dict[str, Any], conditions: Conditions) -> Any:
    """Return what the handler returns, wherever it runs."""
    handler = running.handler
    if handler.place == "loop":
        return await call_handler(handler.function, arguments)
    call = partial(handler.function, **arguments)
    if handler.place == "thread":
        return await conditions.elsewhere.in_thread(running, call)
    return await conditions.elsewhere.in_process(running, call)


async def _call_within(running: RunningJob, conditions: Conditions) -> Outcome:
    """Call the handler inside its middleware. If that swallows an error, the attempt has succeeded without a result."""
    job = Job(running.record, running)
    outcome: Outcome | None = None

    async def call() -> None:
        nonlocal outcome
        outcome = await _call(running, conditions, job)

    with nullcontext() if running.handler.batch is None else conditions.gatherings.expecting(running):
        await call_within(running.handler.middleware, job, call)
    if outcome is None:
        await trio.lowlevel.checkpoint_if_cancelled()  # a stop is not theirs to swallow
    return outcome or Outcome(job=running.job, kind="succeeded")


async def call_handler(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Call an async handler. The watchdog knows by this frame that what runs inside is the handler's."""
    return await function(**arguments)


# -- how it ended ----------------------------------------------------------------------------------------------------


def raised(running: RunningJob, error: BaseException, conditions: Conditions) -> Outcome:
    """Return the outcome of an attempt whose handler raised ``error``. A recorded stop decides before the error."""
    cause = failures.cause(error)
    blocked = any(isinstance(one, HandlerBlocked) for one in failures.leaves(error))
    if not blocked:  # or else its time has run out while nothing could notice
        running.notice_timeout()
    if isinstance(cause, Unresponsive):
        return unresponsive(running, cause.stack, conditions)
    if running.reason is not None:
        return stopped(running, error, conditions)
    match cause:
        case GiveUp():
            return _failed(running, failures.failure("give_up", str(cause)))
        case Drop():
            return Outcome(job=running.job, kind="cancelled", failure=failures.failure("dropped", str(cause)))
        case BadPayload():
            return _failed(running, failures.failure("bad_payload", f"The payload does not fit the handler: {cause}"))
        case ProcessEnded():
            return _retried(running, failures.failure("exception", str(cause)), conditions, cause)
        case BadResult():
            return _failed(running, failures.failure("bad_result", str(cause)))
        case ChildrenFailed():
            return _failed(running, failures.failure("child_failed", str(cause)))
        case CannotOpen():  # how another job has ended, which it has asked for
            return _retried(running, failures.failure("cannot_decrypt", str(cause)), conditions, cause)
        case Snooze():
            why = failures.failure("snoozed", cause.reason)
            delay_us = int(cause.seconds * 1_000_000)
            return _as_asked(Outcome(job=running.job, kind="released", failure=why, delay_us=delay_us), cause)
        case RetryLater():
            why = failures.failure("retry_later", cause.reason)
            return _as_asked(_retried(running, why, conditions, cause), cause)
    if blocked:
        return _retried(running, failures.of_exception("blocked", error), conditions, cause)
    if isinstance(cause, running.handler.give_up_on):
        return _failed(running, failures.of_exception("give_up", cause))
    return _retried(running, failures.of_exception("exception", cause), conditions, cause)


def succeeded(running: RunningJob, value: Any, conditions: Conditions) -> Outcome:
    """Return the outcome of an attempt whose handler returned ``value``. Raises: BadResult."""
    return Outcome(job=running.job, kind="succeeded", result=encode(value, conditions.max_result_bytes))


def stopped(running: RunningJob, error: BaseException | None, conditions: Conditions) -> Outcome:
    """Return the outcome that the recorded reason asks for; ``error`` is what the handler raised on its way out."""
    running.notice_timeout()
    trace = None if error is None else failures.trace(error)
    match running.reason:
        case StopReason.CANCELLED:
            return Outcome(job=running.job, kind="cancelled", failure=CANCELLED_ON_REQUEST)
        case StopReason.SHUTDOWN:
            return _released(running, failures.failure("shutdown", "Its node stopped before it was done."))
        case StopReason.LEASE_LOST:
            return _released(running, failures.failure("lease_lost", "Its node lost the right to run it."))
        case StopReason.CHILDREN:
            return Outcome(job=running.job, kind="awaiting", failure=CHILDREN)
        case StopReason.BATCH:
            return _released(running, failures.failure("batch_stopped", "Another job of its batch was stopped."))
        case StopReason.TIMEOUT:
            why = failures.failure("timeout", f"Not done within {running.job.timeout_us / 1_000_000:g} s.", trace)
            return _retried(running, why, conditions, TimeoutError(why.message))
        case None:
            raise AssertionError("an attempt's scope is cancelled by RunningJob.stop or its deadline, by nobody else")


def not_started(running: RunningJob, conditions: Conditions) -> Outcome:
    """Return the outcome of an attempt for which there was no slot."""
    if running.reason is not None:
        return stopped(running, None, conditions)
    return _released(running, failures.failure("not_started", "Its node had claimed it and found no time for it."))


def unresponsive(running: RunningJob, stack: str, conditions: Conditions) -> Outcome:
    """Return the outcome of an attempt that was asked to stop and goes on; ``stack`` is where it hangs."""
    reason = running.reason or StopReason.TIMEOUT
    message = f"Asked to stop ({reason.value}), it did not within {conditions.patience_s:g} s, and was left behind."
    why = failures.failure("unresponsive", message, stack)
    if reason is StopReason.CANCELLED:
        return Outcome(job=running.job, kind="cancelled", failure=why)
    if reason is StopReason.TIMEOUT:
        return _retried(running, why, conditions, TimeoutError(message))
    return _released(running, why)


def _retried(running: RunningJob, why: Failure, conditions: Conditions, error: BaseException) -> Outcome:
    """The attempt is spent: run again after a pause, or failed if it was the last. ``error`` is what ended it."""
    job = running.job
    if job.attempt >= job.max_attempts:
        return _failed(running, why)
    return Outcome(job=job, kind="retried", failure=why, delay_us=int(_pause_s(running, error, conditions) * 1_000_000))


def _pause_s(running: RunningJob, error: BaseException, conditions: Conditions) -> float:
    """Return the seconds that the handler asks for, or its function, or the job's back-off: the first that does."""
    job = running.job
    if isinstance(error, RetryLater):
        return error.seconds
    asked = None if running.handler.pause is None else _asked(running.handler.pause, running, error, conditions)
    return job.backoff.delay_s(job.attempt, conditions.chance()) if asked is None else asked


def _as_asked(outcome: Outcome, asked: Later) -> Outcome:
    """Return ``outcome`` with what the handler asks for beside the time."""
    return msgspec.structs.replace(outcome, queue=asked.queue, priority=asked.priority, hold_us=asked.hold_us)


def _asked(pause: Pause, running: RunningJob, error: BaseException, conditions: Conditions) -> float | None:
    try:
        seconds = pause(running.job.attempt, error)
        if seconds is None or 0 <= seconds <= MAX_DELAY_S:
            return seconds
        raise ValueError(f"{seconds!r} is not 0 to {MAX_DELAY_S:g} seconds")
    except Exception as fault:  # code of others
        job = running.job
        conditions.log.warning("job.backoff_failed", job=job.id, type=job.type, error=_loggable(running, fault))
        return None


def _loggable(running: RunningJob, error: BaseException) -> str:
    """Return what the log may tell of an error: of an encrypted job its type alone, as it may quote the payload."""
    return type(error).__qualname__ if running.record.extras.sealed else failures.describe(error)[:MAX_LOGGED]


def _failed(running: RunningJob, why: Failure) -> Outcome:
    return Outcome(job=running.job, kind="failed", failure=why)


def _released(running: RunningJob, why: Failure) -> Outcome:
    """The node gives the job back; whether its attempt had begun counts for jobs that may not be begun twice."""
    return Outcome(job=running.job, kind="released", failure=why, cut_off=running.has_begun)


# -- what the log says -----------------------------------------------------------------------------------------------

_EVENTS = {
    "succeeded": ("job.succeeded", logging.INFO),
    "retried": ("job.retrying", logging.WARNING),
    "failed": ("job.failed", logging.ERROR),
    "cancelled": ("job.cancelled", logging.INFO),
    "released": ("job.released", logging.INFO),
    "awaiting": ("job.awaiting", logging.INFO),
}


def tell(outcome: Outcome, running: RunningJob, conditions: Conditions) -> None:
    """Log how the attempt ended. Never the payload, the result or the traceback."""
    event, level = _EVENTS[outcome.kind]
    if level == logging.INFO and not conditions.informs:
        return
    job, why = running.job, outcome.failure
    said: dict[str, Any] = {"duration_s": round(trio.current_time() - running.began_at, 6)}
    if why is not None:
        said["error"] = why.kind
        quotes = why.kind == "bad_payload" or (job.extras.sealed is not None and not is_own(why.kind))
        if not quotes:  # the payload, perhaps
            said["message"] = why.message[:MAX_LOGGED]
    if outcome.kind == "retried" or outcome.delay_us:
        said["delay_s"] = outcome.delay_us / 1_000_000
    conditions.log.log(level, event, job=job.id, type=job.type, attempt=job.attempt, **said)
