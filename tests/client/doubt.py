"""What a user does where an answer was lost, about the calls that are not repeated by themselves and those that are
refused the second time: look, ask again. And about a job that was lost with its node too often: run it again.

``Careful`` is a client whose calls of this kind settle that, by the other calls alone; docs/client.md names them. From
whatever else is asked, ``Unavailable`` gets through, and fails the test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tickr.client import ClientError, NotFound

Look = Callable[[], Any]


def settled(call: Callable[[], Any], look: Look, then: Callable[[Any], Any] = lambda seen: seen) -> Any:
    """Return what ``call`` does; ``then`` of what ``look`` sees, where that changed although the answer was lost."""
    before = look()
    while True:
        try:
            return call()
        except ClientError as error:
            if not error.may_be_stored:
                raise
            if (now := look()) != before:
                return then(now)


def there(look: Look) -> Look:
    """Return ``look`` as one that sees None where there is nothing."""

    def see() -> Any:
        try:
            return look()
        except NotFound:
            return None

    return see


class _Careful:
    def __init__(self, asked: Any, client: Any) -> None:
        self._asked = asked
        self._all = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._asked, name)


class Careful(_Careful):
    """``client`` is one of ``faces``."""

    def __init__(self, client: Any) -> None:
        super().__init__(client, client)
        self.schedules = _Schedules(client.schedules, client)
        self.queues = _Queues(client.queues, client)
        self.marks = _Marks(client.marks, client)

    def cancel(self, job: Any, **options: Any) -> Any:
        return settled(lambda: self._asked.cancel(job, **options), there(lambda: self._asked.get(job)))

    def retry(self, job: Any, **options: Any) -> Any:
        return settled(lambda: self._asked.retry(job, **options), there(lambda: self._asked.get(job)))

    def wait(self, job: Any, timeout_s: float | None = None, **options: Any) -> Any:
        while (ended := self._asked.wait(job, timeout_s, **options)).error is not None:
            if ended.error.kind != "crashed":
                break
            self.retry(job)
        return ended

    def edit(self, job: Any, **changes: Any) -> Any:
        """What is not about one version is repeated, and refused then if the job has started meanwhile."""
        return settled(lambda: self._asked.edit(job, **changes), there(lambda: self._asked.get(job)))

    def delete(self, job: Any, **options: Any) -> None:
        settled(lambda: self._asked.delete(job, **options), there(lambda: self._asked.get(job)))


class _Schedules(_Careful):
    def put(self, name: str, *args: Any, version: int | None = None, **wish: Any) -> Any:
        if version is None:
            return self._asked.put(name, *args, **wish)
        return settled(lambda: self._asked.put(name, *args, version=version, **wish), self._of(name))

    def pause(self, name: str, *, version: int | None = None) -> Any:
        return self._change(self._asked.pause, name, version)

    def resume(self, name: str, *, version: int | None = None) -> Any:
        return self._change(self._asked.resume, name, version)

    def run(self, name: str) -> Any:
        """The newest job of the schedule is that of a lost answer."""
        newest = lambda: next(iter(self._all.listed(schedule=name, limit=1)), None)  # noqa: E731
        return settled(lambda: self._asked.run(name), newest)

    def delete(self, name: str, **options: Any) -> None:
        settled(lambda: self._asked.delete(name, **options), self._of(name), lambda seen: None)

    def _change(self, change: Callable[..., Any], name: str, version: int | None) -> Any:
        return change(name) if version is None else settled(lambda: change(name, version=version), self._of(name))

    def _of(self, name: str) -> Look:
        return there(lambda: self._asked.get(name))


class _Queues(_Careful):
    def pause(self, name: str, *length: Any, **until: Any) -> Any:
        if not length:
            return self._asked.pause(name, **until)
        return settled(lambda: self._asked.pause(name, *length), there(lambda: self._asked.get(name)))

    def delete(self, name: str) -> None:
        settled(lambda: self._asked.delete(name), there(lambda: self._asked.get(name)), lambda seen: None)


class _Marks(_Careful):
    def delete(self, mark: Any) -> None:
        settled(lambda: self._asked.delete(mark), lambda: self._asked.list(), lambda seen: None)
