"""Comparison of our files with those of other quantizers, measured in one run."""
