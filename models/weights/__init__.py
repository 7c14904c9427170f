"""Weights by name, and readers of files that hold them."""
