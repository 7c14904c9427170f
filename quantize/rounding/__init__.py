"""Weights rounded to second order, on the inputs that they will meet."""
