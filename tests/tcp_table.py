"""What the kernel knows of TCP connections on this machine: the only witness of an end that its client never hears of.

A server that gives a stuck client up sends nothing that a full buffer could still take.
"""

from __future__ import annotations

from pathlib import Path

ESTABLISHED = "01"


def servers_end(port: int, client_port: int) -> tuple[str | None, int]:
    """Return (state, bytes waiting to be sent) of the end of a connection at ``port``; None once it is gone."""
    local, remote = f":{port:04X}", f":{client_port:04X}"
    with Path("/proc/net/tcp").open() as table:
        for line in table:
            fields = line.split()
            if fields[1].endswith(local) and fields[2].endswith(remote):
                return fields[3], int(fields[4].partition(":")[0], 16)
    return None, 0
