"""Run by themselves the few tests that failed beside others: ``python -m tests.again``, which `make test` does.

Thousands of tests share a small machine with the servers that they start, four at a time, and some have to look at real
time. What fails there and passes twice alone has met that company and nothing else. It is told as ``FAILED IN COMPANY``
in the last lines and wants its cause found: a fault of the test, or of what it tests. What fails alone has failed, and
so have those of more files than MOST: then it is no company that they met. It is files that count, as a server that did
not start fails each test of its file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

MOST = 3
"""Files whose tests may be run again."""
TIMES = 2
FAILED = Path(".pytest_cache/v/cache/lastfailed")


def failed_tests(file: Path = FAILED) -> list[str]:
    """Names of the tests that failed when they were last run, as pytest notes them; none without its file."""
    return sorted(json.loads(file.read_text())) if file.exists() else []


def main(file: Path = FAILED) -> int:
    """Return the exit code: 0 if they are of few files and each passes each time, alone."""
    names = failed_tests(file)
    files = {name.partition("::")[0] for name in names}
    if not 0 < len(files) <= MOST:
        print(f"{len(names)} failed, in {len(files)} files: not run again, which is for one to {MOST}", file=sys.stderr)
        return 1
    print(f"{len(names)} failed beside others: run {TIMES} times alone …", flush=True)
    for _ in range(TIMES):
        if code := subprocess.call([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *names]):
            return code
    for name in names:
        print(f"FAILED IN COMPANY, passed alone: {name}")
    print("Find the cause: one day it fails alone.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
