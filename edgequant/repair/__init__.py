"""Artifacts that lose too much, repaired on held-out images."""
