"""The feed: everything that happens to jobs, in order, to everyone who listens, from any place in the log on."""
