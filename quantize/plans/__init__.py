"""The plan: every scale and integer of a network, as a value and as a file."""
