"""Several processes behind one port: who starts and watches them, and what such a process has of it.

``supervisor.py`` runs in the program that was started and holds no store; ``supervised.py`` runs in each of its
processes, which are ordinary nodes; ``link.py`` is what they say to each other.
"""
