"""Channels rescaled and reordered so that integers fit them."""
