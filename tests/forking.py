"""The process that nodes are forked off: it has imported Tickr and done nothing else. ``tests/forked.py`` starts it.

A node's start costs half a second of a processor, nearly all of it for imports, and the tests make hundreds of them.
Here it costs a fork: the child is a process of its own from its first instruction, with an id, a session, a folder, an
environment and files of its own, and it runs ``python -m tickr`` with the arguments given. Nothing of this process goes
with it but the modules: no thread was ever started here, trio never ran, and every file above 2 is closed.

It is a child of the tests', as any that they start themselves, so that they wait for it and learn its exit code from
the kernel: it is forked twice, the process between ends, and the kernel gives it to the tests, who have asked for it
(``PR_SET_CHILD_SUBREAPER``). What is random is not shared: ``os.fork`` has ``random`` seeded anew.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import runpy
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

MOST_BYTES = 2**18
MODULES = ("tickr.cli.serve", "tickr.store.memory", "tickr.store.sqlite", "tickr.store.mysql", "tickr.index.redis")
"""What a node imports, or may. Handlers, and what is imported only when needed, are not there."""


def main() -> None:
    """Fork as asked by the socket that is file number ``argv[1]``, until its other end is closed."""
    line = socket.socket(fileno=int(sys.argv[1]))
    own_path = sys.path[1 + len([part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]) :]
    for name in MODULES:
        with suppress(ImportError):  # the node says what is missing, if it needs that
            importlib.import_module(name)
    gc.freeze()  # else the first collection of every child would copy all of it
    while True:
        text, files, _, _ = socket.recv_fds(line, MOST_BYTES, 2)
        if not text:
            return
        asked = json.loads(text)
        pid = _fork(asked, files)
        if pid is None:
            line.detach()  # its file is closed already
            sys.path[:] = [asked["folder"], *asked["path"], *own_path]
            sys.argv[:] = ["tickr", *asked["words"]]
            runpy.run_module("tickr", run_name="__main__", alter_sys=True)
            return
        for file in files:
            os.close(file)
        line.send(b"%d" % pid)


def _fork(asked: dict[str, Any], files: Sequence[int]) -> int | None:
    """Return the id of a new process once it is what was asked for; in that process, None."""
    most = os.sysconf("SC_OPEN_MAX")
    hears, says = os.pipe()
    between = os.fork()
    if not between:
        if os.fork():
            os._exit(0)
        os.setsid()
        os.chdir(asked["folder"])
        for target, file in enumerate((files[0], files[1], files[1])):
            os.dup2(file, target)
        resource.setrlimit(resource.RLIMIT_NOFILE, asked["open_files"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.write(says, b"%d" % os.getpid())
        os.closerange(3, most)
        return None
    os.close(says)
    with open(hears, "rb") as told:
        pid = int(told.read())
    os.waitpid(between, 0)
    return pid


if __name__ == "__main__":
    main()
