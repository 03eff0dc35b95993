"""What makes the load, in processes of its own that answer orders over a pipe."""
