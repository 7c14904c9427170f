"""How good is it? Sessions, metrics, intervals, latency."""
