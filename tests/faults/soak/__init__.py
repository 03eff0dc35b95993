"""The soak: a fleet under load, everything under it broken again and again, and every promise checked at the end.

    load.py -> nodes.py (Tickr processes) -> MariaDB and Redis behind fault proxies <- torment.py
    pace.py tells how long seconds are on a busy machine
    run.py puts them together and hands the history to the checker; report.py shows what came out

``python -m tests.faults.soak --minutes 60`` or ``make soak MINUTES=60``.
"""
