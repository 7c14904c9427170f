"""Which numbers an activation takes: float passes, observers, ranges."""
