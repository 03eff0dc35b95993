"""The worker: claims jobs, runs their handlers and says how it went."""
