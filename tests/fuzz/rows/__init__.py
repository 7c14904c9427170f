"""Rows of ``PARSERS``: a file for each kind of foreign bytes."""
