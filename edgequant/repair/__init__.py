"""Repair of plans that lose too much accuracy, on held-out images."""
