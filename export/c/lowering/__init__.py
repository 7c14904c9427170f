"""Calls of C kernels for each kind of operator; a file for each kind, joined into one table."""
