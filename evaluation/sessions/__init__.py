"""Runtimes behind one protocol, one file each."""
