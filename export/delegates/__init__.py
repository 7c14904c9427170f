"""Operators that delegates and accelerators would leave to the CPU."""
