"""Whole nodes in one trio program, on a virtual clock and a seeded scheduler, with faults drawn from the same seed.

plan      what a seed means: nodes, jobs, and what is done to them when
world     one run of a plan: starts the nodes, lets the faults loose, waits for the end
process   one node of it, which can be killed, frozen, stopped
faults    between a node and its store, index and bell
clients   who submits, cancels, drives again and listens, from outside
handlers  what the jobs do, and the ledger they keep
verdict   whether the promises were kept
chance    everything random follows from the seed
run       one seed from beginning to end; ``python -m tests.simulation`` runs many
"""
