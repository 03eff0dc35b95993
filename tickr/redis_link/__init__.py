"""The way to Redis: one process's connections to one server, and whether it is there. A node uses redis-py here alone.

``address`` reads the URL, ``line`` is one connection, ``link`` owns them all, ``state`` is up or down.
"""
