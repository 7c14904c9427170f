"""Resumable training of a registered network."""
