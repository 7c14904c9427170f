"""Training of a registered network that can be resumed."""
