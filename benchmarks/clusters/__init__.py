"""Clusters of this machine that sweeps are measured on: real, killed and simulated workers."""
