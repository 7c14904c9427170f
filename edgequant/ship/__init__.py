"""Bundles for platforms, and their proofs."""
