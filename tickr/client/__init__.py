"""The Python client: submit jobs, look at them, wait for them, listen to what happens to them.

    from tickr.client import Client

    with Client("http://127.0.0.1:8080") as client:
        job = client.submit("report", {"title": "Hello"})   # durable when it returns
        print(client.wait(job).result)

``Client`` blocks and is shared by threads, ``AsyncClient`` is for trio and asyncio; both have the same methods, and
submit many callers' jobs in few requests, each job once. It sits beside the server in the house and imports nothing of
it: a program that only submits loads neither a database driver nor a web server.
"""

from __future__ import annotations

from tickr.client.asynchronous import AsyncClient, AsyncEvents, AsyncJobList
from tickr.client.blocking import Client, Events, JobList
from tickr.client.chunks import chunks
from tickr.client.errors import (
    ClientError,
    Closed,
    Conflict,
    CursorExpired,
    Denied,
    Fault,
    Invalid,
    NotEnded,
    NotFinal,
    NotFound,
    Refused,
    Unavailable,
    Unexpected,
)
from tickr.client.event_records import Event, EventData, EventJob, EventQueue, EventRate, EventSchedule, Skipped
from tickr.client.node_records import Fleet, Node, RunningJob
from tickr.client.nodes import AsyncNodes, Nodes
from tickr.client.operation_records import Attempt, Changes, Count, Failure, Group, History, Operation, Redrive
from tickr.client.operations import AsyncOperations, Operations
from tickr.client.queues import AsyncQueues, Queues
from tickr.client.records import (
    Broadcast,
    Dependencies,
    Job,
    Log,
    LogLine,
    NewJob,
    Origin,
    Queue,
    Schedule,
    Submitted,
    Tree,
    TreeJob,
    Unique,
)
from tickr.client.schedules import AsyncSchedules, Schedules
from tickr.client.statistics import (
    Amounts,
    AsyncMarks,
    Backlog,
    BacklogAge,
    Mark,
    Marks,
    Point,
    Series,
    Statistics,
    Times,
)

__all__ = [
    "Amounts",
    "AsyncClient",
    "AsyncEvents",
    "AsyncJobList",
    "AsyncMarks",
    "AsyncNodes",
    "AsyncOperations",
    "AsyncQueues",
    "AsyncSchedules",
    "Attempt",
    "Backlog",
    "BacklogAge",
    "Broadcast",
    "Changes",
    "Client",
    "ClientError",
    "Closed",
    "Conflict",
    "Count",
    "CursorExpired",
    "Denied",
    "Dependencies",
    "Event",
    "EventData",
    "EventJob",
    "EventQueue",
    "EventRate",
    "EventSchedule",
    "Events",
    "Failure",
    "Fault",
    "Fleet",
    "Group",
    "History",
    "Invalid",
    "Job",
    "JobList",
    "Log",
    "LogLine",
    "Mark",
    "Marks",
    "NewJob",
    "Node",
    "Nodes",
    "NotEnded",
    "NotFinal",
    "NotFound",
    "Operation",
    "Operations",
    "Origin",
    "Point",
    "Queue",
    "Queues",
    "Redrive",
    "Refused",
    "RunningJob",
    "Schedule",
    "Schedules",
    "Series",
    "Skipped",
    "Statistics",
    "Submitted",
    "Times",
    "Tree",
    "TreeJob",
    "Unavailable",
    "Unexpected",
    "Unique",
    "chunks",
]
