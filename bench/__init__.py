"""How fast Tickr is: load tests for its users, and where we stand. ``python -m bench`` lists the commands.

Each command is a file about one thing. What they share: ``stage/`` sets up servers, nodes and the processes round them,
``load/`` makes the load in processes of its own, ``report/`` turns rounds into figures, a table, a plot and a raw file.
"""
