"""Proofs that a platform's own runtime agrees with the expected outputs, one runtime per file."""
