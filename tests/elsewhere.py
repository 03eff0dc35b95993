"""All tests on a bare Debian of another release: ``python -m tests.elsewhere trixie``, which `make elsewhere` does.

There are another Python, MariaDB, Redis, Node and browser, and nothing but ``make`` and ``git`` until `make test` has
installed it: so it finds what this machine only happens to have. Comes in: a codename, and arguments for `make`. Goes
out: what `make test` of the last commit says there, and its exit code.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.debian import KEPT, copy, debian, missing, shell

ROOT = Path(__file__).parent.parent
PACKAGES = ("ca-certificates", "git", "make", "procps", "python3")
STEPS = "apt-get -q update >/dev/null && cd /root/tickr && CI=true make test {}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("codename", help="of a Debian: bookworm, trixie, forky …")
    parser.add_argument("arguments", nargs="*", help='for make, like ARGS="tests/store -k claims"')
    given = parser.parse_args()
    if reason := missing():
        parser.error(reason)
    print(f"a bare {given.codename}, in {KEPT} (the first time takes minutes) …", flush=True)
    bare = debian(given.codename, *PACKAGES)
    with tempfile.TemporaryDirectory(prefix="tickr-elsewhere-", dir="/var/tmp") as folder:
        root = Path(folder, "root")
        copy(bare, root)
        subprocess.run(["git", "clone", "--quiet", ROOT, root / "root/tickr"], check=True)
        return subprocess.run(shell(root, STEPS.format(shlex.join(given.arguments))), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
