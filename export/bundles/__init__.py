"""Bundles for platforms; one ship target per file."""
