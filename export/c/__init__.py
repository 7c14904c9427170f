"""Portable C without an interpreter: memory plan, kernels and sources of an int8 network."""
