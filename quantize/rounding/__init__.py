"""Rounding of weights to second order, for the inputs that they will meet."""
