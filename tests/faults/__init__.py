"""Faults at every point, and a checker that decides from a history whether Tickr kept its promises."""
