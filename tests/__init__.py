"""The tests. `conftest.py` has the servers and databases they may ask for, `processes.py` real nodes to kill."""
