"""Rewriting of networks into equal ones: branches merged, contracts folded."""
