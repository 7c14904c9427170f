"""Measurements behind our claims, one file each; `make bench` runs all of them."""
