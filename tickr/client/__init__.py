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
from tickr.client.errors import (
    ClientError,
    Closed,
    Conflict,
    CursorExpired,
    Denied,
    Fault,
    Invalid,
    NotFinal,
    NotFound,
    Refused,
    Unavailable,
    Unexpected,
)
from tickr.client.records import Event, EventData, EventJob, Failure, Job, NewJob, Submitted

__all__ = [
    "AsyncClient",
    "AsyncEvents",
    "AsyncJobList",
    "Client",
    "ClientError",
    "Closed",
    "Conflict",
    "CursorExpired",
    "Denied",
    "Event",
    "EventData",
    "EventJob",
    "Events",
    "Failure",
    "Fault",
    "Invalid",
    "Job",
    "JobList",
    "NewJob",
    "NotFinal",
    "NotFound",
    "Refused",
    "Submitted",
    "Unavailable",
    "Unexpected",
]
