"""Ranges of activations: float passes, observers, and the choice of a range."""
