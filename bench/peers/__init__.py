"""Tickr beside its peers: the same no-op work through each of them, in one run, on one machine.

``python -m bench.peers`` (or ``make bench-peers``) installs each peer into a folder of its own, starts private
brokers, and lets all of them work in alternating rounds. A peer is a folder here: ``adapter.py`` tells the runner how
to install, start and question it, ``app`` is what a user of that peer would write. README.md tells what is compared.
"""
