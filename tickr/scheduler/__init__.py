"""The scheduler: duties that every node with the role does, each safe to do twice, so there is no leader."""
