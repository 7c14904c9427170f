"""Sweeps: many tasks on many processes and machines, each done once and kept in a store."""
