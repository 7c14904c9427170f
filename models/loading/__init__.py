"""Anybody's model, checked before use."""
