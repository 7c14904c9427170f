"""Operators without an integer form, or with a poor one, as others of the same function.

Each file has ``RULES``, joined in ``network.rewriting``.
"""
