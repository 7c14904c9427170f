"""Runtimes behind one protocol, one per file."""
