"""Tests of the reader of .keras files."""
