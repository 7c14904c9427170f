"""Checks for faults of a foreign model, measured on labelled images; one check per file."""
