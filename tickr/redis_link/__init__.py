"""The way to Redis: one process's connections to one server, and whether it is there. redis-py is used here alone.

``address`` reads the URL, ``line`` is one connection that blocks, ``link`` owns them all, ``state`` is up or down.
"""
