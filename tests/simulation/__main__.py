"""``python -m tests.simulation``: runs many seeds, or one again that failed, with all that happened in it."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.run import Run, command, run

PROGRESS_S = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, metavar="NUMBER", help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="which seed to begin with")
    parser.add_argument("--seed", type=int, metavar="SEED", help="run this one only")
    parser.add_argument("--trace", action="store_true", help="print what happens, line by line")
    parser.add_argument("--keep-going", action="store_true", help="do not end at the first seed that fails")
    given = parser.parse_args()
    if given.seed is not None:
        return _one(given.seed, trace=given.trace)
    return _many(range(given.first, given.first + given.seeds), trace=given.trace, keep_going=given.keep_going)


def _one(seed: int, *, trace: bool) -> int:
    made = run(seed, trace=trace)
    print(made.plan)
    for line in made.trace:
        print(line)
    return _report(made)


def _report(made: Run) -> int:
    for line in made.wrong:
        print(f"WRONG: {line}")
    if made.wrong:
        print(f"seed {made.plan.seed} fails; repeat it with: {command(made.plan.seed)}", flush=True)
    return len(made.wrong) > 0


def _many(seeds: range, *, trace: bool, keep_going: bool) -> int:
    began = told = time.monotonic()
    failed, virtual_s, calls = 0, 0.0, 0
    for count, seed in enumerate(seeds, start=1):
        made = run(seed, trace=trace)
        virtual_s, calls = virtual_s + made.virtual_s, calls + made.calls
        failed += _report(made)
        if (failed and not keep_going) or count == len(seeds) or time.monotonic() - told > PROGRESS_S:
            told = time.monotonic()
            each_ms = (told - began) / count * 1000
            print(
                f"{count} seeds in {told - began:.1f} s ({each_ms:.1f} ms each), {virtual_s:.0f} virtual s, "
                f"{calls} calls; {failed} failed",
                file=sys.stderr,
            )
        if failed and not keep_going:
            break
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
