"""What MariaDB does with a COMMIT whose replica is silent, on which docs/decisions/0058-three-nodes.md builds."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import do_without
from tests.deploy.site import SECRET, Database, Site, missing_for_site, site
from tests.servers import missing_for_mysql, missing_for_redis, program
from tests.waiting import eventually, happens

pytestmark = pytest.mark.slow

ENDED_AFTER_S = 1
WAITING = "SELECT ID, COMMAND FROM information_schema.processlist WHERE STATE LIKE 'Waiting for semi-sync ACK%'"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Site]:
    if missing := missing_for_mysql() or missing_for_redis() or missing_for_site():
        do_without(missing)
    with site(tmp_path) as found:
        yield found


def committing(server: Database) -> subprocess.Popen[bytes]:
    """Begin to insert a row, with as much time for each statement as ``ENDED_AFTER_S``."""
    sql = f"SET autocommit = 0, max_statement_time = {ENDED_AFTER_S}; INSERT INTO seen VALUES (1); COMMIT"
    client = program("mariadb")
    assert client is not None
    login = ["--user=administrator", f"--password={SECRET}", "--host=127.0.0.1", f"--port={server.port}"]
    words = [client, "--no-defaults", "--protocol=TCP", "--loose-skip-ssl", *login, "tickr", f"--execute={sql}"]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def test_nobody_sees_a_row_before_the_replica_has_it_not_even_if_its_commit_is_killed(servers: Site) -> None:
    primary, replica = servers.databases
    primary.execute("SET GLOBAL read_only = OFF; CREATE TABLE seen (id INT PRIMARY KEY)")
    servers.script("join.sh", primary.address, replica.address)
    await eventually(happens(lambda: primary.says("Rpl_semi_sync_master_clients") == "1"))
    replica.stop()
    with committing(primary) as client:
        try:
            await eventually(happens(lambda: primary.execute(WAITING)[-1:] != []))
            # Its time is over: the server has noted that it is to be ended.
            await eventually(happens(lambda: primary.execute(WAITING)[0][1] == "Killed"), within_s=20)
            primary.execute(f"KILL QUERY {primary.execute(WAITING)[0][0]}")
            assert primary.execute("DO SLEEP(0.5); SELECT * FROM seen") == []
            assert len(primary.execute(WAITING)) == 1
            # Nor does the server let itself be replaced as long as somebody waits.
            with pytest.raises(AssertionError, match=f"Stop {primary.address} first"):
                servers.script("promote.sh", replica.address, primary.address)
            replica.cont()
            await eventually(happens(lambda: primary.execute("SELECT * FROM seen") == [["1"]]))
            assert client.wait(10) == 0
        finally:
            client.kill()
    await eventually(happens(lambda: replica.execute("SELECT * FROM seen") == [["1"]]))
