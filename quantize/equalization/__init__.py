"""Rescaling and reordering of channels, so that integers fit them."""
