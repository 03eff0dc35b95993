"""Metrics: what a node tells Prometheus; docs/metrics.md lists it, decision 0051 says why it is as it is.

    the parts' meters -> own.py ----------------\\
    the other processes' -> board.py -----------> scrape.py -> exposition.py -> GET /metrics
    the store, asked at most once a second -> asked.py -/
"""
