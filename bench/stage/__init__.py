"""Where a load test takes place: private servers or given ones, nodes, and the processes round them."""
