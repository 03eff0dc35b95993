"""A store that freezes: whoever asks for a change is answered within two seconds, wherever in the line it was."""

from __future__ import annotations

import httpx2
import pytest
import trio

import tickr
from tests.servers import MariaDB
from tickr.handle import Handle

pytestmark = pytest.mark.slow

WITHIN_S = 2.3
"""The two seconds, and a little for a busy machine; without a common deadline the second batch takes 3.6."""


async def test_a_frozen_mysql_is_a_503_in_time_for_everybody(mysql_private_server: MariaDB) -> None:
    async with trio.open_nursery() as nursery:
        handle: Handle = await nursery.start(
            lambda task_status: tickr.serve(
                store=mysql_private_server.url, port=0, roles="api", task_status=task_status
            )
        )
        async with httpx2.AsyncClient(base_url=handle.url, timeout=20, verify=False) as http:
            waiting = (await http.post("/jobs", json={"type": "a"})).json()["id"]
            mysql_private_server.stop()
            answers: list[tuple[str, float, httpx2.Response]] = []

            async def ask(path: str, body: dict[str, object] | None = None) -> None:
                began = trio.current_time()
                answer = await http.post(path, json=body)
                answers.append((path, trio.current_time() - began, answer))

            async with trio.open_nursery() as asking:
                for number in range(5):
                    asking.start_soon(ask, "/jobs", {"type": "a", "labels": {"number": str(number)}})
                asking.start_soon(ask, "/api/v2/jobs", {"jobtype": "a"})
                asking.start_soon(ask, f"/jobs/{waiting}/cancel")
                asking.start_soon(ask, f"/jobs/{waiting}/retry")
            mysql_private_server.cont()

            assert len(answers) == 8
            for path, took_s, answer in answers:
                assert answer.status_code == 503, path
                assert took_s < WITHIN_S, path
            submissions = [answer.json() for path, _, answer in answers if path == "/jobs"]
            # What is said not to be stored is not stored afterwards. Who was in which batch is up to the network.
            for job_id in [told["job_id"] for told in submissions if not told["outcome_unknown"]]:
                assert (await http.get(f"/jobs/{job_id}")).status_code == 404
        handle.stop()
