"""Run: one attempt, from a claimed job to its ``Outcome``. However the handler behaves, its attempt ends here.

    the payload is bound, the handler called, its value encoded   -> succeeded, also if a stop was asked for meanwhile
    a stop was asked for                                          -> cancelled, released, or a timeout: by its reason
    the handler raised, gave up or blocked the loop               -> retried or failed

The handler of an async job runs directly in the worker task, under that task's ``Leash``: a nursery and a task for
each, or even scopes of its own, would cost more than most jobs do. What follows for handlers that ignore their
cancellation is dealt with in ``pool.py``. A ``Cancelled`` from outside the attempt is the only thing that gets out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
import trio

from tickr.jobs import CANCELLED_ON_REQUEST, Failure, Outcome
from tickr.worker import failures
from tickr.worker.arguments import BadPayload
from tickr.worker.attempt import RunningJob, StopReason
from tickr.worker.elsewhere import Elsewhere
from tickr.worker.failures import BadResult, HandlerBlocked, ProcessEnded, Unresponsive
from tickr.worker.handlers import GiveUp, Job, RetryLater
from tickr.worker.leash import Leash
from tickr.worker.results import encode

MAX_LOGGED = 200
"""Characters of an error's message in a log line."""


class Conditions:
    """What all attempts of a node share.

    Args:
      chance: returns 0 <= x < 1, for the jitter of delays.
    """

    def __init__(
        self, *, max_result_bytes: int, patience_s: float, elsewhere: Elsewhere, chance: Callable[[], float]
    ) -> None:
        self.max_result_bytes = max_result_bytes
        self.patience_s = patience_s
        self.elsewhere = elsewhere
        self.chance = chance
        self.log: structlog.typing.FilteringBoundLogger = structlog.get_logger("tickr.worker")
        self.informs = self.log.is_enabled_for(logging.INFO)

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
    outcome: Outcome | None = None
    try:
        with leash:
            running.take(leash, clock_runs=running.handler.place == "loop")
            value = await _call(running, conditions)
            outcome = Outcome(job=running.job, kind="succeeded", result=encode(value, conditions.max_result_bytes))
            running.let_go()
    except BaseException as error:  # the boundary to code of others
        if any(isinstance(one, (trio.Cancelled, Unresponsive)) for one in failures.leaves(error)):
            # Raises if it is the node's work that ends. If not, it is one that a handler kept and raised again.
            await trio.lowlevel.checkpoint_if_cancelled()
        if outcome is None:
            outcome = raised(running, error, conditions)
        else:  # it succeeded, but left a cancel scope or nursery open, as a generator left in the middle does
            conditions.log.warning("job.left_open", job=running.job.id, type=running.job.type, error=str(error)[:200])
    return outcome or stopped(running, None, conditions)


async def _call(running: RunningJob, conditions: Conditions) -> Any:
    handler = running.handler
    arguments = handler.arguments.bind(running.job.payload)
    if handler.arguments.job_name is not None:
        arguments[handler.arguments.job_name] = Job(running.job, running)
    if handler.place == "loop":
        return await call_handler(handler.function, arguments)
    call = partial(handler.function, **arguments)
    if handler.place == "thread":
        return await conditions.elsewhere.in_thread(running, call)
    return await conditions.elsewhere.in_process(running, call)


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
        case BadPayload():
            return _failed(running, failures.failure("bad_payload", f"The payload does not fit the handler: {cause}"))
        case ProcessEnded():
            return _retried(running, failures.failure("exception", str(cause)), conditions)
        case BadResult():
            return _failed(running, failures.failure("bad_result", str(cause)))
        case RetryLater():
            why = failures.failure("retry_later", cause.reason)
            return _retried(running, why, conditions, delay_s=cause.seconds)
    if blocked:
        return _retried(running, failures.of_exception("blocked", error), conditions)
    return _retried(running, failures.of_exception("exception", cause), conditions)


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
        case StopReason.TIMEOUT:
            why = failures.failure("timeout", f"Not done within {running.job.timeout_us / 1_000_000:g} s.", trace)
            return _retried(running, why, conditions)
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
    return _retried(running, why, conditions) if reason is StopReason.TIMEOUT else _released(running, why)


def _retried(running: RunningJob, why: Failure, conditions: Conditions, *, delay_s: float | None = None) -> Outcome:
    """The attempt is spent: run again after ``delay_s`` (None: by the job's back-off), or failed if it was the last."""
    job = running.job
    if job.attempt >= job.max_attempts:
        return _failed(running, why)
    if delay_s is None:
        delay_s = job.backoff.delay_s(job.attempt, conditions.chance())
    return Outcome(job=job, kind="retried", failure=why, delay_us=int(delay_s * 1_000_000))


def _failed(running: RunningJob, why: Failure) -> Outcome:
    return Outcome(job=running.job, kind="failed", failure=why)


def _released(running: RunningJob, why: Failure) -> Outcome:
    return Outcome(job=running.job, kind="released", failure=why)


# -- what the log says -----------------------------------------------------------------------------------------------

_EVENTS = {
    "succeeded": ("job.succeeded", logging.INFO),
    "retried": ("job.retrying", logging.WARNING),
    "failed": ("job.failed", logging.ERROR),
    "cancelled": ("job.cancelled", logging.INFO),
    "released": ("job.released", logging.INFO),
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
        if why.kind != "bad_payload":  # its message may quote the payload
            said["message"] = why.message[:MAX_LOGGED]
    if outcome.kind == "retried":
        said["delay_s"] = outcome.delay_us / 1_000_000
    conditions.log.log(level, event, job=job.id, type=job.type, attempt=job.attempt, **said)
