"""What cannot be done with a schedule, a queue, a node, the lease of a remote worker, or an operation."""

from __future__ import annotations

from tickr.errors.base import TickrError
from tickr.errors.jobs import VersionMismatch


class ScheduleError(TickrError):
    """What was asked about the schedule of that name cannot be done. Nothing was changed."""

    code = "schedule"

    def __init__(self, schedule: str, message: str) -> None:
        super().__init__(message)
        self.schedule = schedule


class ScheduleNotFound(ScheduleError):
    code = "schedule_not_found"

    def __init__(self, schedule: str, hint: str = "") -> None:
        super().__init__(schedule, f"There is no schedule {schedule}.{hint}")


class ScheduleExists(ScheduleError):
    """The caller wanted to make a new schedule."""

    code = "schedule_exists"

    def __init__(self, schedule: str) -> None:
        super().__init__(schedule, f"There is a schedule {schedule} already.")


class ScheduleMismatch(ScheduleError):
    """The caller wanted to change another version than ``version``, which the schedule is at."""

    code = VersionMismatch.code

    def __init__(self, schedule: str, version: int) -> None:
        super().__init__(schedule, f"Schedule {schedule} is at version {version} now; read it again.")
        self.version = version


class TooManySchedules(ScheduleError):
    code = "too_many_schedules"

    def __init__(self, schedule: str, most: int) -> None:
        super().__init__(schedule, f"There are {most} schedules already, as many as there may be.")


class QueueError(TickrError):
    """What was asked about the queue of that name cannot be done. Nothing was changed."""

    code = "queue"

    def __init__(self, queue: str, message: str) -> None:
        super().__init__(message)
        self.queue = queue


class QueueNotFound(QueueError):
    code = "queue_not_found"

    def __init__(self, queue: str, hint: str = "") -> None:
        super().__init__(queue, f"No job was ever in a queue {queue}, and nothing is set on it.{hint}")


class QueueNotEmpty(QueueError):
    """There are jobs in it that have not ended."""

    code = "queue_not_empty"

    def __init__(self, queue: str) -> None:
        told = f"There are jobs in the queue {queue} that have not ended. Empty it first, and wait for those that run."
        super().__init__(queue, told)


class NodeError(TickrError):
    """Something is not possible with this node."""

    code = "node"

    def __init__(self, node_id: str, message: str) -> None:
        super().__init__(message)
        self.node_id = node_id


class NodeNotFound(NodeError):
    """It never was, has stopped, or is lost."""

    code = "node_not_found"

    def __init__(self, node_id: str) -> None:
        super().__init__(node_id, f"There is no live node {node_id}.")


class TakesNoOrders(NodeError):
    """It runs no jobs, or it is the lease of a remote worker, which nobody can reach."""

    code = "takes_no_orders"


class LeaseError(TickrError):
    """Something about the lease of a remote worker. Nothing was changed."""

    code = "lease"

    def __init__(self, lease: str, message: str) -> None:
        super().__init__(message)
        self.lease = lease


class LeaseLost(LeaseError):
    """There is no such lease, or no more: what ran under it is others'."""

    code = "lease_lost"

    def __init__(self, lease: str) -> None:
        super().__init__(
            lease, f"There is no lease {lease}, or it has ended. Stop what runs under it, and take a new one."
        )


class LeaseMismatch(LeaseError):
    """The lease was taken for other types or queues; a lease is for the same to its end."""

    code = "lease_mismatch"

    def __init__(self, lease: str) -> None:
        super().__init__(lease, f"The lease {lease} is for other types or queues; take one of its own for these.")


class OperationError(TickrError):
    """What was asked about the operation of that id cannot be done. Nothing was changed."""

    code = "operation"

    def __init__(self, operation: str, message: str) -> None:
        super().__init__(message)
        self.operation = operation


class OperationNotFound(OperationError):
    code = "operation_not_found"

    def __init__(self, operation: str) -> None:
        super().__init__(operation, f"There is no operation {operation}.")


class OperationExists(OperationError):
    code = "duplicate_operation"

    def __init__(self, operation: str) -> None:
        super().__init__(operation, f"The id {operation} already belongs to another operation.")


class TooManyOperations(OperationError):
    code = "too_many_operations"

    def __init__(self, operation: str, most: int) -> None:
        super().__init__(operation, f"{most} operations are running already, as many as there may be.")


class TokenError(TickrError):
    """What was asked about the token of that id, or name, cannot be done. Nothing was changed."""

    code = "token"

    def __init__(self, token: str, message: str) -> None:
        super().__init__(message)
        self.token = token


class TokenNotFound(TokenError):
    code = "token_not_found"

    def __init__(self, token: str) -> None:
        super().__init__(token, f"There is no token {token}.")


class TokenExists(TokenError):
    """``token``: the name."""

    code = "token_exists"

    def __init__(self, token: str) -> None:
        super().__init__(token, f"A good token is named {token} already; revoke it, or take another name.")


class TokenOver(TokenError):
    code = "token_over"

    def __init__(self, token: str) -> None:
        super().__init__(token, f"The token {token} is revoked or expired; make a new one.")


class TooManyTokens(TokenError):
    """``token``: the name of the one that was to be made."""

    code = "too_many_tokens"

    def __init__(self, token: str, most: int) -> None:
        super().__init__(token, f"There are {most} tokens already that are good, as many as there may be.")
