"""Datasets: one kind per file."""
