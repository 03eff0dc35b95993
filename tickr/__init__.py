"""Tickr: background jobs over HTTP, durable and observable, on trio."""
